#include "dataset.h"
#include "truncate.h"

#include <stdio.h>
#include <string.h>

/* ---- text to nodes ---- */

/* Tells what is wrong with it, and what the reader thinks of it */
static int not_json(ft_dataset *d, const char *s, size_t n, size_t at, const char *why) {
  char words[FT_MESSAGE_MAX];
  const char *hint = ft_record_hint(&d->record);
  if (d->comparing)
    return 0;
  if (hint != NULL) {
    snprintf(words, sizeof words, "byte %zu: %s; %s", at + 1, why, hint);
    ft_rules_found(&d->rules, FT_RULE_SYNTAX, s, n, at + 1, words);
  } else
    ft_rules_not_json(&d->rules, s, n, at, why);
  return 0;
}

/* 1: e is made, its nodes in `nodes`; 0: it is no JSON, or a fault */
static int scan(ft_dataset *d, ft_buf *nodes, const ft_buf *strings, const char *s, size_t n,
                ft_example *e) {
  const char *why;
  ptrdiff_t at;
  int got = ft_example_read(e, s, n, FT_EXAMPLE_DEPTH, strings, nodes, &at, &why);
  if (got == 0)
    return not_json(d, s, n, (size_t)at, why);
  if (got < 0 && !nodes->full)
    return ft_dataset_fail_memory(d);
  if (got < 0)
    ft_rules_found(&d->rules, FT_RULE_TOO_MANY_VALUES, s, n, 0,
                   "more values and keys than are taken");
  return got > 0;
}

/* ---- what it says ---- */

/* 1: valid; 0: not, or a fault of the world */
static int judge(ft_dataset *d, const ft_example *e, ft_facts *facts) {
  memset(facts, 0, sizeof *facts);
  int verdict = ft_rules_example(&d->rules, e, facts);
  return verdict >= 0 ? verdict : ft_dataset_fail_memory(d);
}

/* The same of a text that was made here, in the format of the output. Findings are told by the
   place of the record that it was made of; of a rule that was broken there, too, they were told. */
static int judge_made(ft_dataset *d, ft_example *e, ft_facts *facts) {
  enum ft_format from = d->rules.format;
  unsigned char grade[FT_RULE_COUNT];
  int made = d->record.made;
  memcpy(grade, d->rules.grade, sizeof grade);
  for (int i = 0; i < FT_RULE_COUNT; i++)
    if (d->rules.findings.counts[i] > d->counts_before[i])
      d->rules.grade[i] = FT_GRADE_OFF;
  d->rules.format = ft_dataset_format(d);
  d->record.made = FT_MADE_HERE;
  int good =
      scan(d, &d->nodes_made, &d->strings, d->made.data, d->made.len, e) && judge(d, e, facts);
  d->record.made = made;
  d->rules.format = from;
  memcpy(d->rules.grade, grade, sizeof grade);
  return good;
}

/* May the text be another one in the end? */
static int is_remade(const ft_dataset_options *o) {
  return o->to != FT_FORMAT_NONE || o->max_messages > 0 || o->max_characters > 0 ||
         o->max_tokens > 0;
}

/* The errors of a text that was made here are told by the source's record as well */
static int told(ft_dataset *d, enum ft_rule rule, size_t at, const char *words) {
  ft_rules_found(&d->rules, rule, d->record.s, d->record.n, at, words);
  return ft_rules_severity(&d->rules, rule) != FT_GRADE_ERROR;
}

/* e becomes the example in the output's format. 1; 0: it cannot, or a fault */
static int convert(ft_dataset *d, ft_example *e, ft_facts *facts) {
  ft_conversion c = {d->rules.format, d->options.to, d->options.drop, &d->strings};
  ft_lost lost;
  ft_buf_clear(&d->made);
  int done = ft_convert(e, &c, &d->made, &lost);
  if (done < 0)
    return ft_dataset_fail_memory(d);
  if (done == 0) {
    told(d, FT_RULE_LOST, lost.at + 1, lost.words);
    return 0;
  }
  return judge_made(d, e, facts);
}

/* ---- what is too long ---- */

static int shorten_by(ft_dataset *d, ft_example *e, ft_facts *facts, size_t most, ft_weigh *weigh) {
  ft_truncation t = {0, 0, 0};
  ft_buf_clear(&d->shorter);
  int done =
      ft_truncate(e, ft_dataset_format(d), (int64_t)most, weigh, d->count_ud, &d->shorter, &t);
  if (done == FT_TRUNCATE_FITS)
    return 1;
  if (done == FT_TRUNCATE_NOMEM)
    return ft_dataset_fail_memory(d);
  if (done == FT_TRUNCATE_CANNOT) {
    told(d, FT_RULE_TOO_HEAVY, 0, "too long, also without all messages that may be left out");
    return 0;
  }
  ft_buf_clear(&d->strings); /* they were of that one */
  ft_buf spare = d->made;    /* what was made first is still read until here */
  d->made = d->shorter;
  d->shorter = spare;
  d->shortened++;
  return judge_made(d, e, facts);
}

static int shorten(ft_dataset *d, ft_example *e, ft_facts *facts) {
  const ft_dataset_options *o = &d->options;
  return (o->max_messages == 0 || shorten_by(d, e, facts, o->max_messages, ft_weigh_message)) &&
         (o->max_characters == 0 ||
          shorten_by(d, e, facts, o->max_characters, ft_weigh_characters)) &&
         (o->max_tokens == 0 || shorten_by(d, e, facts, o->max_tokens, d->weigh));
}

/* ---- the set ---- */

/* What is to be learned: the content of the last message, the completion, the output ... */
static ft_slice answer_of(const ft_example *e, enum ft_format format) {
  static const char *const keys[FT_FORMATS] = {[FT_FORMAT_CHAT] = "messages",
                                               [FT_FORMAT_COMPLETION] = "completion",
                                               [FT_FORMAT_TEXT] = "text",
                                               [FT_FORMAT_INSTRUCTION] = "output",
                                               [FT_FORMAT_SHAREGPT] = "conversations",
                                               [FT_FORMAT_PREFERENCE] = "preferred_output"};
  ft_slice none = {NULL, 0};
  size_t i = keys[format] != NULL ? ft_example_member(e, 0, keys[format]) : 0, last = 0;
  if (i == 0)
    return none;
  if (e->nodes[i].type == '[') {
    for (size_t k = i + 1; k < e->nodes[i].next; k = e->nodes[k].next)
      last = k;
    i = last == 0 ? 0
                  : ft_example_member(e, last, format == FT_FORMAT_SHAREGPT ? "value" : "content");
  }
  return i == 0 || e->nodes[i].type != '"' ? none : ft_example_slice(e, i);
}

/* Are all answers one so far? */
static int compare_answers(ft_dataset *d, const ft_example *e, enum ft_format format) {
  ft_slice a = answer_of(e, format);
  if (a.s == NULL)
    return d->answers = 2, 1;
  if (d->answers == 0) {
    d->answers = 1;
    return ft_buf_add(&d->answer, a.s, a.n) ? 1 : ft_dataset_fail_memory(d);
  }
  ft_slice first = {d->answer.data, d->answer.len};
  int same = a.n == first.n && (a.n == 0 || memcmp(a.s, first.s, a.n) == 0);
  if (!same && ft_json_compare(a, first) != 0) /* not in another spelling either */
    d->answers = 2;
  return 1;
}

/* Where in its file the example stands, as it came; -1: nowhere, or not for this set */
static long long place(const ft_dataset *d, ft_twice *set, const ft_example *e) {
  const ft_record *r = &d->record;
  int there = r->at >= 0 && e->s == r->s && ft_twice_places(set, d->source, d->reader.fd);
  return there ? r->at : -1;
}

static int fail_twice(ft_dataset *d, const ft_twice *set, int why) {
  if (why == FT_TWICE_MEMORY)
    return ft_dataset_fail_memory(d);
  return ft_dataset_fail(
      d, "data",
      "%s: somebody wrote to it while it was read, so nobody knows which examples "
      "say the same; run it again when the file is whole",
      ft_dataset_source(d, set->source));
}

static int leaks(ft_dataset *d, const ft_example *e) {
  int has = ft_rules_severity(&d->rules, FT_RULE_LEAKED_VALIDATION) != FT_GRADE_OFF
                ? ft_twice_has(&d->against, e)
                : 0;
  return has < 0 ? fail_twice(d, &d->against, has) : has;
}

/* Is it asked whether an example was there before? */
static int wants_first(const ft_dataset *d) {
  return d->options.dedupe ||
         ft_rules_severity(&d->rules, FT_RULE_DUPLICATE_EXAMPLE) != FT_GRADE_OFF;
}

/* 1: go on with it; 0: it is left out, or a fault */
static int is_first(ft_dataset *d, const ft_example *e, int leaked) {
  if (leaked) {
    d->leaked++;
    if (!told(d, FT_RULE_LEAKED_VALIDATION, 0, "this example is in the validation file too"))
      return ft_dataset_invalid(d), 0;
  }
  if (!wants_first(d))
    return 1;
  int added = ft_twice_add(&d->seen, e, place(d, &d->seen, e));
  if (added < 0)
    return fail_twice(d, &d->seen, added);
  d->duplicates += !added;
  if (added || d->options.dedupe)
    return added;
  if (told(d, FT_RULE_DUPLICATE_EXAMPLE, 0, "an example before this one says the same"))
    return 1;
  return ft_dataset_invalid(d), 0;
}

/* ---- the end of its way ---- */

static int write_example(ft_dataset *d, const ft_example *e, const ft_facts *facts, int joined) {
  const ft_dataset_options *o = &d->options;
  int side = o->validation > 0 && ft_canon_side(ft_canon(e, o->seed), o->seed, o->validation)
                 ? FT_VALIDATION
                 : FT_TRAINING;
  ft_sink *sink = &d->sinks[side];
  if (!ft_dataset_measure(d, e, facts, side))
    return 0;
  if (d->doomed)
    return 1;
  long long before = sink->bytes;
  int error = ft_sink_put(sink, e->s, e->n, joined);
  if (error != 0)
    return ft_dataset_fail_output(d, sink, error);
  if (side == FT_TRAINING && o->shuffle &&
      !ft_shuffle_add(&d->shuffle, (size_t)(sink->bytes - before)))
    return ft_dataset_fail_memory(d);
  if (!o->shuffle && o->max_examples > 0 && d->sinks[FT_TRAINING].written >= o->max_examples)
    d->full = 1;
  return 1;
}

/* What was written goes at once, the rest is only checked. */
void ft_dataset_doom(ft_dataset *d) {
  d->doomed = 1;
  for (int side = 0; side < FT_SIDES; side++)
    ft_sink_drop(&d->sinks[side]);
}

/* Without skip_invalid one invalid example decides; but one that is so by rules that the user
   calls no errors is only left out. */
int ft_dataset_invalid(ft_dataset *d) {
  d->invalid++;
  if (!d->options.skip_invalid && !d->doomed && d->rules.findings.errors > d->errors_before)
    ft_dataset_doom(d);
  return d->kind == NULL;
}

int ft_dataset_example(ft_dataset *d, const char *s, size_t n, int joined) {
  ft_example e;
  ft_facts facts;
  d->examples++;
  if (is_remade(&d->options))
    memcpy(d->counts_before, d->rules.findings.counts, sizeof d->counts_before);
  int good = scan(d, &d->nodes, NULL, s, n, &e);
  if (good && wants_first(d))
    ft_twice_look(&d->seen, &e);
  good = good && judge(d, &e, &facts);
  d->formats[d->rules.format] += good;
  const char *came = e.s;
  int leaked = good && leaks(d, &e); /* as it came, or as it goes out */
  if (good && d->options.to != FT_FORMAT_NONE && d->options.to != d->rules.format)
    good = convert(d, &e, &facts), joined = 0;
  good = good && shorten(d, &e, &facts) && (d->judge == NULL || d->judge(d->judge_ud, d, &e));
  if (!good)
    return d->kind == NULL && ft_dataset_invalid(d);
  if (d->answers < 2 && !compare_answers(d, &e, ft_dataset_format(d)))
    return 0;
  if (!is_first(d, &e, leaked || (e.s != came && leaks(d, &e))))
    return d->kind == NULL;
  return write_example(d, &e, &facts, joined);
}

/* It is one to look out for. What is no JSON is only counted: whoever checks that file is told. */
int ft_dataset_look_out(ft_dataset *d, const char *s, size_t n) {
  ft_example e;
  if (!scan(d, &d->nodes, NULL, s, n, &e)) {
    d->unread++;
    return d->kind == NULL;
  }
  int added = ft_twice_add(&d->against, &e, place(d, &d->against, &e));
  return added >= 0 || fail_twice(d, &d->against, added);
}
