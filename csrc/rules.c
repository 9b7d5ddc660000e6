#include "rules.h"

#include "message.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes ---- */

static void check_conversation(ft_check *c, size_t node, enum ft_talk kind) {
  if (ft_check_array(c, node, ft_check_message, 1) > 0)
    ft_talk_end(c, node, kind);
}

static void check_chat_messages(ft_check *c, size_t node) {
  check_conversation(c, node, FT_TALK_LEARN);
}

static void check_input_messages(ft_check *c, size_t node) {
  check_conversation(c, node, FT_TALK_INPUT);
}

static void check_prompt_messages(ft_check *c, size_t node) {
  check_conversation(c, node, FT_TALK_REINFORCE);
}

static void check_turns(ft_check *c, size_t node) {
  if (ft_check_array(c, node, ft_check_turn, 1) > 0)
    ft_talk_end(c, node, FT_TALK_LEARN);
}

static void check_outputs(ft_check *c, size_t node) {
  long n = ft_check_array(c, node, ft_check_output, 1);
  if (n > 1)
    ft_check_found(c, FT_RULE_OUTPUT_COUNT, node, NULL,
                   "holds %ld messages; an output is one assistant message", n);
}

static void check_parallel(ft_check *c, size_t node) {
  ft_check_found(c, FT_RULE_PARALLEL_TOOL_CALLS, node, NULL, "this service does not know it");
  ft_check_boolean(c, node);
}

static void check_sample_weight(ft_check *c, size_t node) {
  ft_check_found(c, FT_RULE_SAMPLE_WEIGHT, node, NULL,
                 "a weight of the whole example is not known to every service");
  if (c->nodes[node].type != '0' || c->e->s[c->nodes[node].at] == '-') {
    ft_check_type_error(c, node, "a number that is not negative");
    ft_check_any(c, node);
  }
}

static void check_learned(ft_check *c, size_t node) {
  if (c->nodes[node].type == '"' && c->nodes[node].n == 0)
    ft_check_found(c, FT_RULE_EMPTY_COMPLETION, node, NULL,
                   "is empty: nothing can be learned from it");
  ft_check_text(c, node);
}

static void check_optional_text(ft_check *c, size_t node) {
  if (c->nodes[node].type != 'n')
    ft_check_text(c, node);
}

/* ---- formats ---- */

#define TALK_FIELDS(check)                                                                         \
  FT_FIELD("messages", check, 1), FT_FIELD("tools", ft_check_tools, 0),                            \
      FT_FIELD("functions", ft_check_functions, 0),                                                \
      FT_FIELD("parallel_tool_calls", check_parallel, 0)

static const ft_field chat_fields[] = {TALK_FIELDS(check_chat_messages),
                                       FT_FIELD("weight", check_sample_weight, 0), FT_FIELD_END};
static const ft_field input_fields[] = {TALK_FIELDS(check_input_messages), FT_FIELD_END};
static const ft_field reinforcement_fields[] = {TALK_FIELDS(check_prompt_messages), FT_FIELD_END};

static void check_input(ft_check *c, size_t node) {
  uint32_t at[FT_FIELDS_MAX];
  ft_check_object(c, node, input_fields, FT_RULE_UNKNOWN_KEY, at);
}

enum { PREFERRED, NOT_PREFERRED };

static const ft_field preference_fields[] = {
    FT_FIELD("preferred_output", check_outputs, 1),
    FT_FIELD("non_preferred_output", check_outputs, 1), FT_FIELD("input", check_input, 1),
    FT_FIELD("weight", check_sample_weight, 0), FT_FIELD_END};

static const ft_field completion_fields[] = {
    FT_FIELD("prompt", ft_check_text, 1), FT_FIELD("completion", check_learned, 1),
    FT_FIELD("weight", check_sample_weight, 0), FT_FIELD_END};

static const ft_field text_fields[] = {FT_FIELD("text", check_learned, 1),
                                       FT_FIELD("weight", check_sample_weight, 0), FT_FIELD_END};

static const ft_field instruction_fields[] = {
    FT_FIELD("instruction", ft_check_text, 1), FT_FIELD("output", check_learned, 1),
    FT_FIELD("input", check_optional_text, 0), FT_FIELD("system", check_optional_text, 0),
    FT_FIELD_END};

static const ft_field sharegpt_fields[] = {FT_FIELD("conversations", check_turns, 1),
                                           FT_FIELD("system", check_optional_text, 0),
                                           FT_FIELD("tools", check_optional_text, 0), FT_FIELD_END};

static const struct {
  const char *name;   /* what it is called in reports */
  const char *others; /* names that are understood too, a space behind each */
  const ft_field *fields;
  int decisive; /* the first so many fields belong to this format alone */
} formats[FT_FORMATS] = {
    {NULL, "", NULL, 0},
    {"chat", "messages conversational ", chat_fields, 1},
    {"completion", "prompt prompt_completion prompt/completion ", completion_fields, 2},
    {"preference", "dpo ", preference_fields, 2},
    {"reinforcement", "rft ", reinforcement_fields, 0}, /* like chat: is_reinforcement() */
    {"text", "plain ", text_fields, 1},
    {"instruction", "alpaca ", instruction_fields, 1},
    {"sharegpt", "conversations ", sharegpt_fields, 1},
};

static int has_word(const char *words, const char *word) {
  size_t n = strlen(word);
  for (const char *p = words; n > 0 && *p != '\0'; p = strchr(p, ' ') + 1)
    if (strncmp(p, word, n) == 0 && p[n] == ' ')
      return 1;
  return 0;
}

enum ft_format ft_format_find(const char *name) {
  for (int f = FT_FORMAT_CHAT; f < FT_FORMATS; f++)
    if (strcmp(name, formats[f].name) == 0 || has_word(formats[f].others, name))
      return (enum ft_format)f;
  return FT_FORMAT_NONE;
}

const char *ft_format_name(enum ft_format format) {
  return formats[format].name;
}

/* the format that a top-level key gives away */
static enum ft_format key_format(const ft_check *c, size_t key) {
  for (int f = FT_FORMAT_CHAT; f < FT_FORMATS; f++)
    for (int i = 0; i < formats[f].decisive; i++)
      if (ft_check_is(c, key, formats[f].fields[i].name, formats[f].fields[i].len))
        return (enum ft_format)f;
  return FT_FORMAT_NONE;
}

/* What the object at the root is. A key of `now` settles it (usually the first: the rest is not
   looked at); else messages count before the other formats' keys. */
static enum ft_format guess(const ft_check *c, enum ft_format now) {
  enum ft_format best = FT_FORMAT_NONE;
  for (size_t k = 1; k < c->e->count; k = c->nodes[k + 1].next) {
    enum ft_format f = key_format(c, k);
    if (f == FT_FORMAT_CHAT && now == FT_FORMAT_REINFORCEMENT)
      return now;
    if (f != FT_FORMAT_NONE && f == now)
      return f;
    if (f != FT_FORMAT_NONE && (best == FT_FORMAT_NONE || f == FT_FORMAT_CHAT))
      best = f;
  }
  return best;
}

/* Messages, the last of them a user's, and a key that chat does not have: for reinforcement */
FT_RARE static int is_reinforcement(const ft_check *c) {
  size_t messages = ft_example_member(c->e, 0, "messages"), last = 0, extra = 0;
  if (c->nodes[messages].type != '[')
    return 0;
  for (size_t i = messages + 1; i < c->nodes[messages].next; i = c->nodes[i].next)
    last = i;
  size_t role = last != 0 ? ft_example_member(c->e, last, "role") : 0;
  if (role == 0 || c->nodes[role].type != '"' || !ft_check_is(c, role, "user", 4))
    return 0;
  for (size_t k = 1; k < c->e->count; k = c->nodes[k + 1].next) {
    int known = 0;
    for (const ft_field *f = chat_fields; f->name != NULL; f++)
      known |= ft_check_is(c, k, f->name, f->len);
    extra += !known;
  }
  return extra > 0;
}

/* formats that exist elsewhere, by a key, and how to come from there */
FT_RARE static const char *foreign(const ft_check *c) {
  static const char *const known[][2] = {
      {"chosen", "write \"input\": {\"messages\": ...}, \"preferred_output\" and "
                 "\"non_preferred_output\""},
      {"contents", "this looks like Gemini; write \"messages\" with \"role\" and \"content\""},
      {"token_ids", "this is text that was tokenized before; give the text"},
      {"input_ids", "this is text that was tokenized before; give the text"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (ft_example_member(c->e, 0, known[i][0]) != 0)
      return known[i][1];
  return "chat has \"messages\", completion \"prompt\" and \"completion\", preference \"input\", "
         "\"preferred_output\" and \"non_preferred_output\", plain text \"text\", instruction "
         "\"instruction\" and \"output\", ShareGPT \"conversations\"";
}

/* 1: the example is of r->format (or should be: what is missing will be told) */
static int settle_format(ft_check *c) {
  ft_rules *r = c->rules;
  enum ft_format f = guess(c, r->format);
  if (f == FT_FORMAT_NONE && r->format == FT_FORMAT_NONE) {
    ft_check_found(c, FT_RULE_FORMAT, 0, NULL, "no known format; %s", foreign(c));
    return 0;
  }
  if (r->format == FT_FORMAT_NONE) {
    r->format = f == FT_FORMAT_CHAT && is_reinforcement(c) ? FT_FORMAT_REINFORCEMENT : f;
    r->guessed = 1;
    return 1;
  }
  if (f == FT_FORMAT_NONE || f == r->format)
    return 1;
  if (f == FT_FORMAT_CHAT && is_reinforcement(c))
    f = FT_FORMAT_REINFORCEMENT;
  ft_check_found(c, FT_RULE_FORMAT, 0, NULL,
                 r->guessed ? "a %s example among %s examples; keep one format in a file"
                            : "a %s example, but the format asked for is %s",
                 formats[f].name, formats[r->format].name);
  return 0;
}

static void check_same_outputs(ft_check *c, const uint32_t *at) {
  if (at[PREFERRED] == 0 || at[NOT_PREFERRED] == 0)
    return;
  ft_slice a = ft_check_slice(c, at[PREFERRED]), b = ft_check_slice(c, at[NOT_PREFERRED]);
  if (a.n == b.n && memcmp(a.s, b.s, a.n) == 0)
    ft_check_found(c, FT_RULE_SAME_OUTPUTS, at[NOT_PREFERRED], NULL,
                   "is the same as \"preferred_output\"");
}

static void check_format(ft_check *c) {
  uint32_t at[FT_FIELDS_MAX];
  enum ft_format format = c->rules->format; /* graders read what else there is */
  enum ft_rule unknown = format == FT_FORMAT_REINFORCEMENT ? FT_RULE_COUNT : FT_RULE_EXTRA_KEY;
  if (!ft_check_object(c, 0, formats[format].fields, unknown, at))
    return;
  ft_check_declared(c);
  if (format == FT_FORMAT_PREFERENCE)
    check_same_outputs(c, at);
}

/* ---- life ---- */

enum {
  PLAIN_MAX = 1 << 28,
  KEEP = 1 << 20
}; /* bytes; of work space, from one example to the next */

void ft_rules_init(ft_rules *r, lua_Alloc alloc, void *ud) {
  memset(r, 0, sizeof *r);
  ft_buf_init(&r->plain, alloc, ud, PLAIN_MAX);
  ft_names_init(&r->open, alloc, ud);
  ft_names_init(&r->declared, alloc, ud);
  ft_names_init(&r->called, alloc, ud);
}

void ft_rules_free(ft_rules *r) {
  ft_buf_free(&r->plain);
  ft_names_free(&r->open);
  ft_names_free(&r->declared);
  ft_names_free(&r->called);
}

enum ft_severity ft_rules_severity(const ft_rules *r, enum ft_rule rule) {
  enum ft_severity own = (enum ft_severity)r->grade[rule];
  return own != FT_GRADE_USUAL ? own : ft_rule_table[rule].severity;
}

const char *ft_rules_apply(ft_rules *r, const char *id, const char *severity) {
  static const char *const words[] = {"off", "warning", "error"};
  int rule = ft_rule_find(id);
  if (rule < 0)
    return "there is no such rule";
  for (int i = 0; i < 3; i++)
    if (strcmp(severity, words[i]) == 0) {
      r->grade[rule] = (unsigned char)(FT_GRADE_OFF + i);
      return NULL;
    }
  return "a severity is \"error\", \"warning\" or \"off\"";
}

/* ---- an example ---- */

static void check_begin(ft_check *c, ft_rules *r, const ft_example *e, ft_facts *facts) {
  memset(c, 0, sizeof *c);
  if (facts != NULL)
    memset(facts, 0, sizeof *facts);
  c->rules = r;
  c->e = e;
  c->nodes = e->nodes;
  c->facts = facts;
  c->special = ft_check_on(c, FT_RULE_SPECIAL_TOKEN) && ft_text_may_be_special(e->s, e->n);
  r->open.list.len = r->declared.list.len = r->called.list.len = 0;
}

static void check_end(ft_check *c) {
  ft_rules *r = c->rules;
  if (c->facts != NULL)
    c->facts->images = c->images;
  if (r->plain.cap + r->open.list.cap + r->declared.list.cap + r->called.list.cap > KEEP)
    ft_rules_free(r);
}

int ft_rules_example(ft_rules *r, const ft_example *e, ft_facts *facts) {
  size_t errors = r->findings.errors;
  ft_check c;
  check_begin(&c, r, e, facts);
  int type = e->nodes[0].type;
  if (type != '{')
    ft_check_found(&c, FT_RULE_TYPE, 0, NULL, "an example must be an object, %s",
                   type == '[' ? "not an array; write each of its items on a line of its own"
                               : "in braces");
  if (type == '{' && settle_format(&c))
    check_format(&c);
  else
    ft_check_any(&c, 0);
  check_end(&c);
  return c.nomem ? -1 : errors == r->findings.errors;
}

/* what is not JSON: the rule says of which kind the fault is */
void ft_rules_not_json(ft_rules *r, const char *s, size_t n, size_t at, const char *why) {
  enum ft_rule rule = why == ft_scan_utf8   ? FT_RULE_UTF8
                      : why == ft_scan_deep ? FT_RULE_DEPTH
                                            : FT_RULE_SYNTAX;
  if (at == 0 && n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0)
    why = "a byte order mark is allowed at the beginning of a file only; remove it";
  else if (at == 0 && n >= 2 && (memcmp(s, "\xFF\xFE", 2) == 0 || memcmp(s, "\xFE\xFF", 2) == 0))
    rule = FT_RULE_UTF8, why = "this is UTF-16; save it as UTF-8";
  else if (at == 0 && n >= 2 && memcmp(s, "\x1F\x8B", 2) == 0)
    why = "this is a gzip file; unpack it first";
  char message[FT_MESSAGE_MAX];
  snprintf(message, sizeof message, "byte %zu: %s", at + 1, why);
  ft_rules_found(r, rule, s, n, at + 1, message);
}
