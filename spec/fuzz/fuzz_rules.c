/*
** fuzz_rules.c: the rules over arbitrary text, for libFuzzer (`make fuzz`). The first byte of an
** input chooses the format and what is counted, the second which allocation fails (0: none), the
** third seeds severities and limits; the rest is an example. Checked: every finding is in bounds
** and may be printed, the counts fit, the verdict is the same with and without the statistics,
** nothing is found where every rule is off, the characters of each string are as counted one by
** one (in every variant of that code), and memory is given back. With -DFUZZ_MAIN a program of its
** own, which runs the files it is given.
*/
#define FUZZER "fuzz_rules"

#include "fuzz.h"
#include "rules.h"

/* ---- findings ---- */

typedef struct Seen {
  size_t n, told[2];
} Seen;

static int printable(const char *s) {
  for (; *s != '\0'; s++)
    if ((unsigned char)*s < 0x20 || *s == 0x7F ||
        ((unsigned char)s[0] == 0xC2 && (unsigned char)s[1] < 0xA0))
      return 0;
  return 1;
}

static void found(void *ud, const ft_finding *f) {
  Seen *seen = ud;
  seen->told[f->warning]++;
  check(f->index >= 0 && f->index < FT_RULE_COUNT, "a rule that does not exist");
  check(strcmp(f->rule, ft_rule_table[f->index].id) == 0, "a rule by two names");
  check(f->column <= seen->n + 1, "a column out of the record");
  check(*f->message != '\0' && strlen(f->message) < FT_MESSAGE_MAX, "a message of no length");
  check(strlen(f->path) < FT_MESSAGE_MAX, "a path too long");
  check(strlen(f->excerpt) <= FT_EXCERPT_MAX, "an excerpt too long");
  check(printable(f->message) && printable(f->path) && printable(f->excerpt), "not printable");
}

/* ---- an example ---- */

enum { ROOM = 1 << 16 };

static void set_up(ft_rules *r, Memory *m, Seen *seen, const uint8_t *data) {
  unsigned seed = data[2];
  ft_rules_init(r, allocate, m);
  r->format = (enum ft_format)(data[0] % FT_FORMATS);
  r->findings.keep = data[0] & 8 ? 2 : 100;
  r->findings.found = found;
  r->findings.ud = seen;
  for (int i = 0; i < FT_RULE_COUNT && seed != 0; i++) {
    seed = seed * 1103515245u + 12345u;
    r->grade[i] = (unsigned char)(seed >> 16 & 3);
  }
  r->limits.images = seed >> 8 & 3;
  r->limits.messages = seed >> 10 & 3;
  r->limits.tools = seed >> 12 & 3;
  r->limits.image_bytes = seed >> 14 & 7;
}

static void check_counts(const ft_findings *f, const Seen *seen) {
  size_t all = 0;
  for (int i = 0; i < FT_RULE_COUNT; i++)
    all += f->counts[i];
  check(all == f->errors + f->warnings, "the counts by rule are not all");
  check(seen->told[0] == (f->errors < f->keep ? f->errors : f->keep), "errors were lost");
  check(seen->told[1] == (f->warnings < f->keep ? f->warnings : f->keep), "warnings were lost");
}

/* A verdict on the text; with every rule off nothing is ever found */
static int judge(const uint8_t *data, const ft_example *e, int facts_too, int off) {
  Memory m = {off ? -1 : (int)data[1] - 1, 0};
  Seen seen = {e->n, {0, 0}};
  ft_facts facts;
  ft_rules r;
  set_up(&r, &m, &seen, data);
  if (off)
    memset(r.grade, FT_GRADE_OFF, sizeof r.grade);
  int verdict = ft_rules_example(&r, e, facts_too ? &facts : NULL);
  check_counts(&r.findings, &seen);
  check(verdict < 0 || verdict == (r.findings.errors == 0), "verdict and errors disagree");
  check(!off || (verdict == 1 && r.findings.warnings == 0), "found with every rule off");
  ft_rules_free(&r);
  check(m.bytes == 0, "memory was kept");
  return verdict;
}

/* What the scanner refused */
static void judge_text(const uint8_t *data, const char *s, size_t n, size_t at, const char *why) {
  Memory m = {-1, 0};
  Seen seen = {n, {0, 0}};
  ft_rules r;
  set_up(&r, &m, &seen, data);
  ft_rules_not_json(&r, s, n, at, why);
  check_counts(&r.findings, &seen);
  ft_rules_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static ft_node nodes[ROOM];
  const char *why;
  if (n < 3)
    return 0;
  char *text = malloc(n - 2); /* of its own: a byte beyond it is seen by the sanitizer */
  ft_example e = {text, n - 3, nodes, 0};
  memcpy(text, data + 3, e.n);
  ptrdiff_t at = ft_scan_nodes(text, e.n, FT_EXAMPLE_DEPTH, nodes, ROOM, &e.count, &why);
  if (at >= 0)
    judge_text(data, text, e.n, (size_t)at, why);
  else if (e.count <= ROOM) {
    int with = judge(data, &e, 1, 0), without = judge(data, &e, 0, 0);
    check(with == without, "the statistics change the verdict");
    judge(data, &e, 1, 1);
  }
  free(text);
  return 0;
}
