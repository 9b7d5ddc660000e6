/*
** harness_convert.c: conversions and hashes, by property, on random examples. Each pair of formats
** there and back gives the same example; whatever would be lost on the way is refused. A hash
** is the same for each spelling of a value, and another for each other value.
*/
#include "canon.h"
#include "convert.h"
#include "examples.h"

static Example first, second, third;
static Memory memory;
static ft_buf text, other, back, strings;
static Tally tally;

static void bad(const char *what, const ft_buf *b) {
  char words[512];
  if (++tally.failed > 20)
    return; /* the rest is counted */
  tally.failed--;
  snprintf(words, sizeof words, "%s: %.*s", what, (int)(b->len < 400 ? b->len : 400),
           b->data != NULL ? b->data : "");
  check(&tally, 0, words);
}

static int same(const ft_example *a, const ft_example *b) {
  ft_hash x = ft_canon(a, 7), y = ft_canon(b, 7);
  return x.a == y.a && x.b == y.b;
}

/* ---- random examples of a format ---- */

static void member(const char *before) { /* ..."key":"text" */
  adds(&text, before);
  random_text(&text);
  adds(&text, "\"");
}

static void list(int sharegpt) {
  static const char *const chat[] = {"{\"role\":\"system\",\"content\":\"", "{\"content\":\"",
                                     "{\"role\":\"assistant\",\"content\":\""};
  static const char *const gpt[] = {"{\"from\":\"system\",\"value\":\"", "{\"value\":\"",
                                    "{\"from\":\"gpt\",\"value\":\""};
  size_t extra = below(4), turns = 0;
  adds(&text, sharegpt ? "{\"conversations\":[" : "{\"messages\":[");
  for (size_t i = below(2); i < 3 + extra; i++, turns++) {
    size_t role = i < 3 ? i : below(3);
    adds(&text, turns > 0 ? "," : "");
    member(sharegpt ? gpt[role] : chat[role]);
    if (role == 1) /* a word may be spelled with escapes too */
      adds(&text, sharegpt ? ",\"from\":\"hum\\u0061n\"" : ",\"rol\\u0065\":\"user\"");
    if (role == 2 && below(4) == 0)
      adds(&text, below(2) ? ",\"weight\":0" : ",\"weight\" : 1");
    adds(&text, "}");
  }
  adds(&text, "]");
}

enum Odd { PLAIN, EXTRA, INNER, ODDS };

static size_t plain; /* of the text: what is behind it says nothing */
static int absent;   /* an instruction without input */

static void random_instruction(void) {
  static const char *const nothing[] = {"", ",\"system\":\"\"", ",\"system\":null"};
  member("{\"output\":\"");
  member(",\"instruction\":\"");
  absent = below(3) == 0;
  if (!absent)
    member(",\"input\":\"");
  plain = text.len;
  adds(&text, nothing[below(3)]);
}

/* One of this format, that is there to be converted; EXTRA: with a member that has no place */
static void random_example(enum ft_format format, int odd) {
  ft_buf_clear(&text);
  if (format == FT_FORMAT_CHAT || format == FT_FORMAT_SHAREGPT)
    list(format == FT_FORMAT_SHAREGPT);
  else if (format == FT_FORMAT_INSTRUCTION)
    random_instruction();
  else if (format == FT_FORMAT_COMPLETION) {
    below(4) == 0 ? adds(&text, "{\"prompt\":\"\"") : member("{\"prompt\":\"");
    member(",\"completion\":\"");
  } else
    member("{\"text\":\"");
  if (format != FT_FORMAT_INSTRUCTION && format != FT_FORMAT_SHAREGPT && below(5) == 0)
    adds(&text, ",\"w\\u0065ight\":0.50");
  adds(&text, odd == EXTRA ? ",\"odd\":[1,{}]}" : "}");
}

/* Puts a member into the first message (the first object in an array) of the text */
static int add_inner(void) {
  char *at = text.data != NULL ? memchr(text.data, '[', text.len) : NULL;
  if (at == NULL)
    return 0;
  size_t head = (size_t)(at - text.data) + 2;
  ft_buf_clear(&other);
  add(&other, text.data, head);
  adds(&other, "\"nam\\u0065\":\"x\",");
  add(&other, text.data + head, text.len - head);
  ft_buf_clear(&text);
  add(&text, other.data, other.len);
  return 1;
}

/* ---- there and back ---- */

static long converted[FT_FORMAT_SHAREGPT + 1][FT_FORMAT_SHAREGPT + 1];

static void check_lost(const ft_conversion *c, const ft_lost *lost) {
  check(&tally, back.len == 3 && memcmp(back.data, "abc", 3) == 0, "a refusal wrote something");
  check(&tally, *lost->words != '\0' && lost->at < text.len, "a refusal without words or place");
  if (ft_convert_never(c->from, c->to) != NULL)
    check(&tally, strcmp(lost->words, ft_convert_never(c->from, c->to)) == 0, "other words");
}

/* The text as `first`, converted to `second` and back to `third`; 1: it could be */
static int there_and_back(const ft_conversion *c) {
  ft_conversion return_trip = {c->to, c->from, NULL, NULL};
  ft_lost lost;
  ft_buf_clear(&back);
  adds(&back, "abc");
  int verdict = ft_convert(&first.e, c, &back, &lost);
  if (verdict != 1)
    return check(&tally, verdict == 0, "no memory"), check_lost(c, &lost), 0;
  ft_buf_clear(&other);
  add(&other, back.data + 3, back.len - 3);
  if (!scanned_buf(&second, &other) || memchr(other.data, '\n', other.len) != NULL)
    return bad("no line of JSON", &other), 1;
  if (!scanned_alike(&second, &strings))
    bad("its known strings are others", &other);
  ft_buf_clear(&back);
  verdict = ft_convert(&second.e, &return_trip, &back, &lost);
  if (verdict != 1 || !scanned_buf(&third, &back))
    return bad(verdict == 1 ? "no JSON" : lost.words, &other), 1;
  tally.passed++;
  return 1;
}

/* What says nothing does not come back, and an absent input comes back as an empty one: that is
   what the first is compared as. */
static void plain_instruction(void) {
  text.len = plain;
  adds(&text, absent ? ",\"input\":\"\"}" : "}");
  if (!scanned_buf(&first, &text))
    bad("no JSON", &text);
}

static void round_trip(enum ft_format from, enum ft_format to, int odd) {
  static const char *const dropped[] = {"id", "odd", "name", NULL};
  ft_conversion c = {from, to, NULL, &strings};
  random_example(from, odd);
  if (odd == INNER && ((from != FT_FORMAT_CHAT && from != FT_FORMAT_SHAREGPT) || !add_inner()))
    return;
  if (!scanned_buf(&first, &text)) {
    bad("no JSON", &text);
    return;
  }
  int could = there_and_back(&c);
  if (odd == PLAIN && could) {
    converted[from][to]++;
    if (from == FT_FORMAT_INSTRUCTION)
      plain_instruction();
    if (!same(&first.e, &third.e))
      bad("not the same", &text), bad("  via", &other);
  } else if (odd != PLAIN && !check(&tally, !could, "something was lost"))
    bad("  of", &text);
  if (odd != PLAIN && ft_convert_never(from, to) == NULL) {
    c.drop = dropped; /* now as good as if it were not there */
    converted[from][to] += there_and_back(&c);
  }
}

static void round_trips(int rounds) {
  static const enum ft_format formats[] = {FT_FORMAT_CHAT, FT_FORMAT_COMPLETION, FT_FORMAT_TEXT,
                                           FT_FORMAT_INSTRUCTION, FT_FORMAT_SHAREGPT};
  enum { N = sizeof formats / sizeof *formats };
  for (int from = 0; from < N; from++)
    for (int to = 0; to < N; to++) {
      if (from == to)
        continue;
      for (int k = 0; k < rounds; k++)
        round_trip(formats[from], formats[to], k % 4 == 0 ? EXTRA : k % 4 == 1 ? INNER : PLAIN);
      long n = converted[formats[from]][formats[to]];
      check(&tally, (n > 0) == (ft_convert_never(formats[from], formats[to]) == NULL),
            "a pair that never, or always, can be converted");
    }
}

/* In the format already: the same bytes, but on one line */
static void untouched(int rounds) {
  ft_lost lost;
  for (int k = 0; k < rounds; k++) {
    ft_conversion c = {FT_FORMAT_REINFORCEMENT, FT_FORMAT_REINFORCEMENT, NULL, NULL};
    ft_buf_clear(&text);
    ft_buf_clear(&other);
    ft_buf_clear(&back);
    random_value(&text, 0);
    if (!scanned_buf(&first, &text) || ft_convert(&first.e, &c, &back, &lost) != 1 ||
        back.len != text.len || memcmp(back.data, text.data, text.len) != 0)
      bad("was touched", &text);
    respell(&other, &first.e, 0);
    ft_buf_clear(&back);
    if (!scanned_buf(&second, &other) || ft_convert(&second.e, &c, &back, &lost) != 1 ||
        back.len != other.len || memchr(back.data, '\n', back.len) != NULL ||
        memchr(back.data, '\r', back.len) != NULL || !scanned_buf(&third, &back) ||
        !same(&first.e, &third.e))
      bad("is another value on one line", &text);
    else
      tally.passed++;
  }
}

/* ---- hashes ---- */

/* Another value: a string longer, a number, a container with one more, two items swapped */
static void change(const ft_example *e, size_t i) {
  const ft_node *node = &e->nodes[i];
  size_t at = node->at, end = at + node->n;
  ft_buf_clear(&other);
  if (node->type == '"') {
    at = end = node->at + (below(2) ? node->n : 0);
    add(&other, e->s, at);
    adds(&other, below(2) ? "\\u0000" : "x");
  } else if (node->type == '{' || node->type == '[') {
    int brace = node->type == '{', empty = node->next == i + 1;
    add(&other, e->s, end - 1);
    adds(&other, empty ? "" : ",");
    adds(&other, brace ? "\"new\":null" : "null");
    end--;
  } else {
    add(&other, e->s, at);
    adds(&other, node->type == '0' ? "77" : "17");
  }
  add(&other, e->s + end, e->n - end);
}

static void hashes(int rounds) {
  for (int k = 0; k < rounds; k++) {
    ft_buf_clear(&text);
    ft_buf_clear(&back);
    random_value(&text, 0);
    if (!scanned_buf(&first, &text)) {
      bad("no JSON", &text);
      continue;
    }
    respell(&back, &first.e, 0);
    if (!scanned_buf(&second, &back) || !same(&first.e, &second.e))
      bad("another spelling, another hash", &text), bad("  of", &back);
    change(&first.e, below(first.e.count));
    if (!scanned_buf(&second, &other) || same(&first.e, &second.e))
      bad("another value, the same hash", &text), bad("  of", &other);
    tally.passed += 2;
  }
}

static void pair(const char *a, const char *b, int alike) {
  ft_buf_clear(&text);
  adds(&text, a);
  if (!scanned(&first, a, strlen(a)) || !scanned(&second, b, strlen(b)) ||
      same(&first.e, &second.e) != alike)
    bad(b, &text);
  tally.passed++;
}

static void pairs(void) {
  pair("{\"a\":1,\"b\":2}", " { \"b\" : 2 , \"\\u0061\" : 1 } ", 1);
  pair("\"\xC3\xA9\\/\\n\"", "\"\\u00E9/\\u000a\"", 1);
  pair("\"\xF0\x9F\x98\x80\"", "\"\\uD83D\\uDE00\"", 1);
  pair("[1,2]", "[2,1]", 0);
  pair("[1]", "[1.0]", 0);
  pair("[1]", "[\"1\"]", 0);
  pair("[null]", "[\"null\"]", 0);
  pair("[]", "{}", 0);
  pair("[]", "[[]]", 0);
  pair("[[],[]]", "[[[]]]", 0);
  pair("[[1],2]", "[[1,2]]", 0);
  pair("\"\"", "\"\\u0000\"", 0);
  pair("\"ab\"", "\"ab\\u0000\"", 0);
  pair("[\"ab\",\"c\"]", "[\"a\",\"bc\"]", 0);
  pair("{\"a\":\"b\"}", "{\"b\":\"a\"}", 0);
  pair("{\"a\":{\"b\":1},\"c\":2}", "{\"a\":{\"c\":2},\"b\":1}", 0);
  pair("{\"a\":1,\"a\":1}", "{\"a\":1}", 0);
  pair("{\"a\":\"\"}", "{\"\":\"a\"}", 0);
  pair("\"0123456789abcdef\"", "\"0123456789abcdeg\"", 0);
}

/* Files may be split on one machine and checked on another: these numbers never change. */
static void known(void) {
  static const struct {
    const char *text;
    uint64_t seed, a, b;
  } cases[] = {{"{}", 0, 0x1A41454797F76A30, 0x7A83A52B54C55A49},
               {"[\"0123456789abcdef0123\\u00e9\",-1.5e3,{\"a\":null,\"b\":true}]", 42,
                0xB43601B38FDCA610, 0xB2650AA9BD113888}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (!scanned(&first, cases[i].text, strlen(cases[i].text)))
      continue;
    ft_hash h = ft_canon(&first.e, cases[i].seed);
    if (!check(&tally, h.a == cases[i].a && h.b == cases[i].b, "the hash is another than it was"))
      fprintf(stderr, "  0x%016llX, 0x%016llX of %s\n", (unsigned long long)h.a,
              (unsigned long long)h.b, cases[i].text);
  }
}

/* Each bit of the hash of short texts is as often 1 as 0, and no two are alike */
static void spread(void) {
  enum { COUNT = 20000 };
  static ft_hash all[COUNT];
  long ones[128] = {0}, twice = 0;
  char s[32];
  for (int i = 0; i < COUNT; i++) {
    snprintf(s, sizeof s, "{\"n\":%d}", i);
    scanned(&first, s, strlen(s));
    all[i] = ft_canon(&first.e, 0);
    for (int bit = 0; bit < 64; bit++) {
      ones[bit] += (long)(all[i].a >> bit & 1);
      ones[64 + bit] += (long)(all[i].b >> bit & 1);
    }
    for (int k = 0; k < i; k++) /* half of the bits would tell that many apart */
      twice += all[k].a == all[i].a || all[k].b == all[i].b;
  }
  check(&tally, twice == 0, "two of 20,000 hashes share 64 bits");
  for (int bit = 0; bit < 128; bit++) /* 5 standard deviations */
    check(&tally, labs(ones[bit] - COUNT / 2) < 354, "a bit leans to one side");
}

static int by_half(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Long texts of the same few words, in every order: neither half of two hashes is alike */
static void orders(void) {
  enum { WORDS = 8, KINDS = 3, COUNT = 6561 /* KINDS to the power of WORDS */ };
  static const char kinds[KINDS][9] = {"aaaaaaaa", "bbbbbbbb", "aaaabbbb"};
  static uint64_t halves[2][COUNT];
  char s[WORDS * 8 + 8] = "\"";
  for (int i = 0; i < COUNT; i++) {
    int n = 1;
    for (int word = 0, left = i; word < WORDS; word++, left /= KINDS)
      n += snprintf(s + n, sizeof s - (size_t)n, "%s", kinds[left % KINDS]);
    memcpy(s + n, "\"", 2);
    scanned(&first, s, strlen(s));
    ft_hash h = ft_canon(&first.e, 0);
    halves[0][i] = h.a, halves[1][i] = h.b;
  }
  for (int half = 0; half < 2; half++) {
    int twice = 0;
    qsort(halves[half], COUNT, sizeof *halves[half], by_half);
    for (int i = 1; i < COUNT; i++)
      twice += halves[half][i] == halves[half][i - 1];
    check(&tally, twice == 0, "orders of the same words share 64 bits");
  }
}

/* ---- a lack of memory ---- */

static void no_memory(void) {
  static const char s[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"0123456789\"},"
                          "{\"role\":\"assistant\",\"content\":\"0123456789\"}]}";
  static const enum ft_format to[] = {FT_FORMAT_CHAT, FT_FORMAT_COMPLETION, FT_FORMAT_SHAREGPT,
                                      FT_FORMAT_INSTRUCTION};
  ft_lost lost;
  scanned(&first, s, sizeof s - 1);
  for (size_t k = 0; k < sizeof to / sizeof *to; k++) {
    ft_conversion c = {FT_FORMAT_CHAT, to[k], NULL, &strings};
    for (size_t max = 0; max < 200; max++) { /* however little there is room for */
      ft_buf small;
      ft_buf_init(&small, memory_alloc, &memory, max);
      int verdict = ft_convert(&first.e, &c, &small, &lost);
      check(&tally, verdict == 1 || (verdict == -1 && small.len == 0), "a part was written");
      ft_buf_free(&small);
    }
    for (long n = 1; n < 5; n++) { /* or when memory fails */
      ft_buf small;
      Memory failing = {0};
      failing.on = 1, failing.fail_at = n, failing.fails = 1000;
      ft_buf_init(&small, memory_alloc, &failing, TEXT_MAX);
      int verdict = ft_convert(&first.e, &c, &small, &lost);
      check(&tally, verdict == (failing.fired ? -1 : 1), "a failing allocation");
      check(&tally, verdict == 1 || small.len == 0, "a part was written");
      ft_buf_free(&small);
      check(&tally, failing.live == 0, "memory was kept");
    }
  }
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1000;
  chance = argc > 2 ? strtoull(argv[2], NULL, 10) | 1 : 1;
  hang_guard(300);
  text_init(&text, &memory);
  text_init(&other, &memory);
  text_init(&back, &memory);
  text_init(&strings, &memory);
  round_trips(rounds);
  untouched(rounds);
  hashes(rounds);
  pairs();
  known();
  spread();
  orders();
  no_memory();
  ft_buf_free(&text);
  ft_buf_free(&other);
  ft_buf_free(&back);
  ft_buf_free(&strings);
  check(&tally, memory.live == 0, "memory was kept");
  return summary(&tally);
}
