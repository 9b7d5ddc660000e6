/*
** fuzz_convert.c: the transformations of an example over arbitrary bytes, for libFuzzer (`make
** fuzz`). The first byte of an input chooses the formats, the second which allocation fails (0:
** none); the rest is the example. What was converted is one line of JSON, and the way back gives
** the same example; what was refused has words and left nothing; what was truncated is JSON of
** the weight that was told. With -DFUZZ_MAIN a program of its own, which runs the files it is
** given.
*/
#define FUZZER "fuzz_convert"

#include "canon.h"
#include "convert.h"
#include "fuzz.h"
#include "truncate.h"

enum { DEPTH = 64, NODES = 1 << 16 };

static ft_node nodes[3][NODES];

/* The text as an example with these nodes; 0: it is none */
static int scan(ft_example *e, int which, const char *s, size_t n) {
  const char *why;
  ft_example x = {s, n, nodes[which], 0};
  if (ft_scan_nodes(s, n, DEPTH, nodes[which], NODES, &x.count, &why) >= 0 || x.count > NODES)
    return 0;
  *e = x;
  return 1;
}

static int same(const ft_example *a, const ft_example *b) {
  ft_hash x = ft_canon(a, 1), y = ft_canon(b, 1);
  return x.a == y.a && x.b == y.b;
}

/* The strings that were copied are known, and make no difference */
static void check_known(const ft_buf *line, const ft_buf *strings) {
  const char *why;
  size_t count;
  ft_example e;
  check(scan(&e, 1, line->data, line->len), "what was converted is no JSON");
  check(ft_scan_made(e.s, e.n, DEPTH, (const ft_node *)(const void *)strings->data,
                     strings->len / sizeof(ft_node), nodes[2], NODES, &count, &why) < 0 &&
            count == e.count,
        "with known strings it is something else");
  for (size_t i = 0; i < count; i++) {
    const ft_node *a = &nodes[1][i], *b = &nodes[2][i];
    check(a->at == b->at && a->n == b->n && a->next == b->next && a->type == b->type &&
              a->flags == b->flags && a->extra == b->extra,
          "with known strings a node is another");
  }
}

/* Members that may come back otherwise (convert.h): an instruction is compared by what it says */
static int comes_back_alike(enum ft_format from) {
  return from != FT_FORMAT_INSTRUCTION && from != FT_FORMAT_SHAREGPT;
}

/* The copy that was made of e: once more there and back, which must now change nothing */
static void check_way_back(const ft_example *e, const ft_conversion *c, const ft_buf *line) {
  Memory m = {-1, 0};
  ft_conversion return_trip = {c->to, c->from, NULL, NULL};
  ft_example there, back, again;
  ft_buf text, third;
  ft_lost lost;
  ft_buf_init(&text, allocate, &m, SIZE_MAX / 2);
  ft_buf_init(&third, allocate, &m, SIZE_MAX / 2);
  check(memchr(line->data, '\n', line->len) == NULL, "more than one line");
  check(scan(&there, 1, line->data, line->len), "what was converted is no JSON");
  check(ft_convert(&there, &return_trip, &text, &lost) == 1, "there is no way back");
  check(scan(&back, 2, text.data, text.len), "what came back is no JSON");
  check(!comes_back_alike(c->from) || same(e, &back), "it came back otherwise");
  check(ft_convert(&back, c, &third, &lost) == 1, "there is no second way there");
  check(scan(&again, 2, third.data, third.len), "the second is no JSON");
  check(same(&there, &again), "the second way leads elsewhere");
  ft_buf_free(&text);
  ft_buf_free(&third);
  check(m.bytes == 0, "memory was kept");
}

static void convert(const ft_example *e, unsigned formats, int fail) {
  static const char *const drop[] = {"weight", "name", NULL};
  Memory m = {fail, 0};
  ft_conversion c = {FT_FORMAT_NONE, FT_FORMAT_NONE, formats & 0x80 ? drop : NULL, NULL};
  ft_buf out, strings;
  ft_lost lost = {0, 0, "", ""};
  c.from = (enum ft_format)(1 + formats % 7);
  c.to = (enum ft_format)(1 + formats / 7 % 7);
  ft_buf_init(&out, allocate, &m, SIZE_MAX / 2);
  ft_buf_init(&strings, allocate, &m, SIZE_MAX / 2);
  c.strings = &strings;
  int verdict = ft_convert(e, &c, &out, &lost);
  check(verdict == 1 || out.len == 0, "a part was written");
  check(verdict >= 0 || m.until_failure == 0, "no memory, though there was");
  if (verdict == 0)
    check(*lost.words != '\0' && lost.node < e->count && lost.at < e->n, "a refusal of nothing");
  if (verdict == 1)
    check(c.from == c.to || ft_convert_never(c.from, c.to) == NULL, "that never goes");
  if (verdict == 1)
    check_known(&out, &strings);
  c.strings = NULL;
  if (verdict == 1 && c.drop == NULL && c.from != c.to)
    check_way_back(e, &c, &out);
  ft_buf_free(&out);
  ft_buf_free(&strings);
  check(m.bytes == 0, "memory was kept");
}

static int64_t weight_of_all(ft_weigh *weigh, const ft_example *e, enum ft_format format) {
  ft_truncation t;
  ft_buf none;
  ft_buf_init(&none, allocate, NULL, 0);
  check(ft_truncate(e, format, INT64_MAX, weigh, NULL, &none, &t) == FT_TRUNCATE_FITS, "too heavy");
  return t.before;
}

static void shorten(const ft_example *e, unsigned formats, int most, int fail) {
  Memory m = {fail, 0};
  enum ft_format format = (enum ft_format)(1 + formats % 7);
  ft_weigh *weigh = formats & 0x80 ? ft_weigh_message : ft_weigh_characters;
  ft_truncation t;
  ft_example left;
  ft_buf out;
  ft_buf_init(&out, allocate, &m, SIZE_MAX / 2);
  int verdict = ft_truncate(e, format, most, weigh, NULL, &out, &t);
  check(verdict == FT_TRUNCATE_DONE || out.len == 0, "a part was written");
  if (verdict == FT_TRUNCATE_DONE) {
    check(scan(&left, 1, out.data, out.len), "what was truncated is no JSON");
    check(t.after <= most && weight_of_all(weigh, &left, format) == t.after, "another weight");
  }
  ft_buf_free(&out);
  check(m.bytes == 0, "memory was kept");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  ft_example e;
  if (n < 2)
    return 0;
  char *exact = malloc(n); /* a byte read too far is seen */
  if (exact == NULL)
    return 0;
  memcpy(exact, data + 2, n - 2);
  exact = realloc(exact, n > 2 ? n - 2 : 1);
  if (exact != NULL && scan(&e, 0, exact, n - 2)) {
    convert(&e, data[0], data[1] < 8 ? data[1] - 1 : -1);
    shorten(&e, data[0], data[1], data[1] < 8 ? data[1] - 1 : -1);
  }
  free(exact);
  return 0;
}
