/*
** harness_transform.c: what is done to a set of examples (split, shuffled, truncated, counted),
** by property, against the plain way to do it.
*/
#include "canon.h"
#include "examples.h"
#include "shuffle.h"
#include "stats.h"
#include "truncate.h"

#include <errno.h>
#include <fcntl.h>

static Tally tally;
static Memory memory;
static Example first, second;
static ft_buf text, out;

/* ---- the split ---- */

static ft_hash hash_of_line(int i) {
  static char s[32];
  snprintf(s, sizeof s, "[\"example %d\"]", i);
  scanned(&first, s, strlen(s));
  return ft_canon(&first.e, 0);
}

static void split(void) {
  static const double fractions[] = {0, 0.001, 0.05, 0.1, 0.5, 0.9, 1};
  enum { N = 40000 };
  for (size_t k = 0; k < sizeof fractions / sizeof *fractions; k++) {
    double f = fractions[k];
    long count = 0, moved = 0, both = 0;
    for (int i = 0; i < N; i++) {
      ft_hash h = hash_of_line(i);
      int side = ft_canon_side(h, 1, f), other = ft_canon_side(h, 2, f);
      count += side;
      both += side && other;
      moved += side && !ft_canon_side(h, 1, f + 0.01); /* a greater part holds the smaller */
    }
    double sd = f * (1 - f) / N; /* within 5 standard deviations */
    double off = (double)count / N - f, chance_off = (double)both / N - f * f;
    check(&tally, off * off <= 25 * sd, "the fraction is another");
    check(&tally, chance_off * chance_off <= 25 * f * f * (1 - f * f) / N, "seeds are alike");
    check(&tally, moved == 0, "an example changed its side");
  }
}

/* ---- the shuffle ---- */

static void uniform(void) {
  enum { N = 4, ORDERS = 24, EACH = 1000 };
  long counts[256] = {0};
  double chi = 0;
  for (uint64_t seed = 0; seed < (uint64_t)ORDERS * EACH; seed++) {
    ft_shuffle s;
    ft_line line;
    unsigned order = 0;
    ft_shuffle_init(&s, plain_alloc, NULL, seed);
    for (size_t i = 0; i < N; i++)
      ft_shuffle_add(&s, 1);
    while (ft_shuffle_draw(&s, &line))
      order = order << 2 | (unsigned)line.at;
    counts[order & 255]++;
    ft_shuffle_free(&s);
  }
  long orders = 0;
  for (int i = 0; i < 256; i++)
    if (counts[i] > 0) {
      double d = (double)counts[i] - EACH;
      orders++;
      chi += d * d / EACH;
    }
  check(&tally, orders == ORDERS, "not every order comes");
  check(&tally, chi < 60, "some orders come more often"); /* 23 degrees: 60 is 4 in 100,000 */
}

/* The order for a seed is for ever */
static void known_order(void) {
  static const uint64_t orders[2][10] = {{4, 2, 6, 1, 5, 8, 9, 0, 3, 7},
                                         {1, 8, 0, 6, 5, 4, 7, 2, 3, 9}};
  for (uint64_t seed = 0; seed < 2; seed++) {
    ft_shuffle s;
    ft_line line;
    int alike = 1;
    ft_shuffle_init(&s, plain_alloc, NULL, seed);
    for (size_t i = 0; i < 10; i++)
      ft_shuffle_add(&s, 1);
    for (size_t i = 0; ft_shuffle_draw(&s, &line); i++)
      alike &= line.at == orders[seed][i];
    check(&tally, alike, "the order of a seed is another than it was");
    ft_shuffle_free(&s);
  }
}

static char folder[] = "/tmp/finetune-transform-XXXXXX";
static char from_path[64], to_path[64];

/* A file of lines, "N xxx...\n"; `big`: one of them is longer than a block */
static int lines_file(ft_shuffle *s, int n, int big) {
  FILE *f = fopen(from_path, "wb");
  for (int i = 0; f != NULL && i < n; i++) {
    int length = big && i == n / 2 ? 700000 : (int)below(300);
    int head = fprintf(f, "%d ", i);
    for (int k = 0; k < length; k++)
      fputc('a' + k % 26, f);
    fputc('\n', f);
    if (!ft_shuffle_add(s, (size_t)(head + length + 1)))
      n = 0;
  }
  if (f != NULL)
    fclose(f);
  return open(from_path, O_RDONLY);
}

static char *file_text(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  char *s = malloc(1 << 23);
  *n = f != NULL && s != NULL ? fread(s, 1, 1 << 23, f) : 0;
  if (f != NULL)
    fclose(f);
  return s;
}

/* Are these `most` different lines of those n, each whole? */
static void check_lines(const char *s, size_t n, int total, int most) {
  static char had[4096];
  int count = 0, wrong = 0, sorted = 1, last = -1;
  memset(had, 0, sizeof had);
  for (size_t at = 0; at < n; count++) {
    const char *end = memchr(s + at, '\n', n - at), *p = memchr(s + at, ' ', n - at);
    int number = atoi(s + at);
    if (end == NULL || p == NULL || number < 0 || number >= total || had[number])
      wrong = 1;
    if (end == NULL)
      break;
    for (int k = 0; p != NULL && ++p < end; k++)
      wrong |= *p != 'a' + k % 26;
    had[number & 4095] = 1;
    sorted &= number > last;
    last = number;
    at = (size_t)(end - s) + 1;
  }
  check(&tally, !wrong && count == most, "lines were changed, lost or doubled");
  check(&tally, !sorted || most < 3, "they are in their old order");
}

static void copy(int total, int most, int big, double seconds) {
  ft_shuffle s;
  ft_outfile f;
  size_t n;
  int r = -1, slices = 0;
  ft_shuffle_init(&s, memory_alloc, &memory, 17);
  int fd = lines_file(&s, total, big);
  if (ft_outfile_open(&f, to_path) == 0) {
    while ((r = ft_shuffle_copy(&s, fd, &f, (size_t)most, seconds)) == FT_SHUFFLE_MORE)
      slices++;
    ft_outfile_commit(&f);
  }
  check(&tally, r == FT_SHUFFLE_DONE, "the copy failed");
  check(&tally, seconds > 0 || total < 1000 || slices > 3, "it is not done in slices");
  char *s_text = file_text(to_path, &n);
  check_lines(s_text, n, total, most < total ? most : total);
  free(s_text);
  close(fd);
  ft_shuffle_free(&s);
  ft_shuffle_free(&s);
}

static void copies(void) {
  copy(0, 10, 0, 1);
  copy(1, 10, 0, 1);
  copy(4000, 1 << 30, 0, 0);
  copy(4000, 100, 0, 1);
  copy(2000, 0, 0, 1);
  copy(300, 1 << 30, 1, 0);
}

/* The source became shorter; memory fails */
static void copy_faults(void) {
  ft_shuffle s;
  ft_outfile f;
  ft_shuffle_init(&s, memory_alloc, &memory, 3);
  int fd = lines_file(&s, 100, 0);
  check(&tally, truncate(from_path, 2000) == 0, "the file cannot be made shorter");
  if (ft_outfile_open(&f, to_path) == 0) {
    check(&tally, ft_shuffle_copy(&s, fd, &f, 100, 1) == -EIO, "a short file is no error");
    ft_outfile_abort(&f);
  }
  close(fd);
  ft_shuffle_free(&s);
  for (long n = 1; n < 12; n++) {
    Memory m = {0};
    m.on = 1, m.fail_at = n, m.fails = 1;
    ft_shuffle_init(&s, memory_alloc, &m, 3);
    for (int i = 0; i < 100000; i++)
      if (!ft_shuffle_add(&s, 1) && !ft_shuffle_add(&s, 1))
        i = 1 << 30;
    check(&tally, s.count == 100000 && s.bytes == 100000, "a line after a failure");
    ft_shuffle_free(&s);
    check(&tally, m.live == 0 && (n > 8 || m.fired), "the index keeps memory");
  }
}

/* ---- statistics ---- */

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static int near(double a, double b) { /* within 0.4 %: the two of a median are off by 0.2 % each */
  return a - b <= b * 0.004 && b - a <= b * 0.004;
}

static void check_bars(const ft_stats *s, const uint64_t *values, size_t n) {
  ft_bar bars[FT_STATS_BARS];
  size_t count = ft_stats_bars(s, bars);
  uint64_t sum = 0, least = 0;
  int gaps = 0;
  for (size_t i = 0; i < count; i++) {
    sum += bars[i].count;
    gaps |= bars[i].from > bars[i].to || (i > 0 && bars[i].from != bars[i - 1].to + 1);
  }
  check(&tally, count > 0 && count <= FT_STATS_BARS && sum == n && !gaps, "the bars");
  check(&tally, bars[0].from <= values[0] && bars[count - 1].to >= values[n - 1], "bars' range");
  if (values[n - 1] >= 512)
    return;
  for (size_t i = 0; i < n && values[i] <= bars[0].to; i++)
    least++;
  check(&tally, least == bars[0].count, "a bar of small values is exact");
}

/* kinds: all alike, a few small ones, any up to 2^bits evenly or by powers of two */
static uint64_t random_number(size_t kind, unsigned bits) {
  if (kind == 0)
    return bits;
  if (kind == 1)
    return below(300);
  uint64_t v = draw() >> 20 & ((UINT64_C(1) << bits) - 1);
  return kind == 2 ? v : v >> below(bits);
}

static void statistics(void) {
  enum { MOST = 3000 };
  static uint64_t v[MOST];
  static ft_stats s;
  for (int round = 0; round < 400; round++) {
    size_t n = 1 + below(round % 2 ? 6 : MOST), kind = below(4);
    unsigned bits = 1 + (unsigned)below(32);
    double sum = 0;
    ft_stats_init(&s);
    for (size_t i = 0; i < n; i++) {
      v[i] = random_number(kind, bits);
      ft_stats_add(&s, v[i]);
      sum += (double)v[i];
    }
    qsort(v, n, sizeof *v, compare);
    double median = n % 2 ? (double)v[n / 2] : ((double)v[n / 2 - 1] + (double)v[n / 2]) / 2;
    double p95 = (double)v[(n * 95 + 99) / 100 - 1];
    int exact = v[n - 1] < 512;
    check(&tally, s.least == v[0] && s.greatest == v[n - 1] && s.count == n, "the extremes");
    check(&tally, near(ft_stats_mean(&s), sum / (double)n), "the mean");
    check(&tally, near(ft_stats_median(&s), median), "the median");
    check(&tally, near(ft_stats_quantile(&s, 0.95), p95), "the quantile");
    check(&tally, near(ft_stats_quantile(&s, 1), (double)v[n - 1]), "the last quantile");
    check(&tally, !exact || ft_stats_median(&s) - median == 0, "the median of small values");
    check(&tally, !exact || ft_stats_quantile(&s, 0.95) - p95 == 0, "a small quantile");
    check_bars(&s, v, n);
  }
  ft_stats_init(&s);
  check(&tally, ft_stats_mean(&s) + ft_stats_median(&s) + ft_stats_quantile(&s, 0.95) == 0,
        "the statistics of nothing");
  ft_stats_add(&s, UINT64_MAX);
  ft_bar bars[FT_STATS_BARS];
  check(&tally, s.greatest == UINT32_MAX && ft_stats_bars(&s, bars) == 1, "a number too great");
}

/* ---- truncation ---- */

static int roles[64]; /* of the messages of the text: s u a t */
static int messages;

static void conversation(void) {
  static const char *const heads[] = {"\"system\"", "\"user\"", "\"assistant\"", "\"tool\""};
  static const char names[] = "suat";
  messages = 0;
  ft_buf_clear(&text);
  adds(&text, "{\"x\":[],\"messages\":[");
  for (int n = (int)below(20); messages < n; messages++) {
    size_t role = messages > 0 && roles[messages - 1] == 'a' ? below(4) : below(3);
    char head[64];
    roles[messages] = names[role];
    snprintf(head, sizeof head, "%s{\"n\":%d,\"content\":\"", messages > 0 ? ", " : "", messages);
    adds(&text, head);
    for (size_t k = below(30); k > 0; k--)
      adds(&text, below(3) ? "x" : below(2) ? "\\n" : "\xC3\xA9");
    adds(&text, "\",\"role\":");
    adds(&text, heads[role]);
    adds(&text, "}");
  }
  adds(&text, "] }");
}

static int last_of(char role) {
  int i = messages - 1;
  while (i >= 0 && roles[i] != role)
    i--;
  return i;
}

/* The numbers of the messages that are left, in order, as they are written */
static int left_over(const ft_example *e, int *numbers) {
  size_t list = ft_example_member(e, 0, "messages");
  int n = 0;
  for (size_t m = list + 1; m < e->nodes[list].next; m = e->nodes[m].next)
    numbers[n++] = atoi(ft_example_slice(e, ft_example_member(e, m, "n")).s);
  return n;
}

static void check_left(const int *numbers, int n, const ft_truncation *t) {
  int user = last_of('u'), last = last_of('a') > user ? last_of('a') : user, there[64] = {0};
  int orphan = 0, order = 1, gone_first = 0, gone_user = 0;
  for (int i = 0; i < n; i++) {
    there[numbers[i]] = 1;
    order &= i == 0 || numbers[i] > numbers[i - 1];
  }
  for (int i = 0; i < messages; i++) {
    order &= there[i] || (roles[i] != 's' && i != user && i != last);
    orphan |= roles[i] == 't' && there[i] && roles[i - 1] == 'a' && !there[i - 1];
    gone_first |= i > user && !there[i]; /* newer ones go after all the older */
    gone_user |= i < user && roles[i] != 's' && there[i];
  }
  check(&tally, order, "what should stay has gone, or moved");
  check(&tally, !orphan, "a tool's answer without its call");
  check(&tally, !(gone_first && gone_user), "newer messages went before older ones");
  check(&tally, (int)t->dropped == messages - n, "the count of what was left out");
}

static int64_t weight_of(const ft_example *e, ft_weigh *weigh) {
  size_t list = ft_example_member(e, 0, "messages");
  int64_t sum = weigh(NULL, e, 0);
  for (size_t m = list + 1; m < e->nodes[list].next; m = e->nodes[m].next)
    sum += weigh(NULL, e, m);
  return sum;
}

static void truncate_one(int64_t most, ft_weigh *weigh, long *cuts) {
  ft_truncation t;
  int numbers[64];
  ft_buf_clear(&out);
  int r = ft_truncate(&first.e, FT_FORMAT_CHAT, most, weigh, NULL, &out, &t);
  check(&tally, t.before == weight_of(&first.e, weigh), "the weight");
  if (r == FT_TRUNCATE_FITS)
    check(&tally, t.before <= most && out.len == 0, "it does not fit");
  else if (r == FT_TRUNCATE_CANNOT)
    check(&tally, t.after > most && out.len == 0, "it could be done");
  else if (check(&tally, r == FT_TRUNCATE_DONE && scanned_buf(&second, &out), "no JSON")) {
    check(&tally, t.after <= most && t.before > most, "more than is allowed");
    check(&tally, t.after == weight_of(&second.e, weigh), "another weight than was told");
    check_left(numbers, left_over(&second.e, numbers), &t);
    ++*cuts;
  }
}

static void truncations(void) {
  long cuts = 0;
  for (int round = 0; round < 3000; round++) {
    conversation();
    if (!check(&tally, scanned_buf(&first, &text), "no JSON"))
      continue;
    truncate_one((int64_t)below(20), ft_weigh_message, &cuts);
    truncate_one((int64_t)below(200), ft_weigh_characters, &cuts);
  }
  check(&tally, cuts > 500, "hardly anything was truncated");
}

static int64_t weigh_nothing(void *ud, const ft_example *e, size_t node) { /* no memory, at last */
  int *calls = ud;
  (void)e;
  return --*calls < 0 ? -1 : node > 0;
}

static void truncation_faults(void) {
  static const char s[] = "{\"messages\":[{\"role\":\"user\"},{\"role\":\"user\"},"
                          "{\"role\":\"user\"},{\"role\":\"assistant\"}]}";
  ft_truncation t;
  scanned(&first, s, sizeof s - 1);
  for (int n = 0; n < 7; n++) { /* 5 to look, 2 to leave out */
    int calls = n;
    ft_buf_clear(&out);
    check(&tally,
          ft_truncate(&first.e, FT_FORMAT_CHAT, 2, weigh_nothing, &calls, &out, &t) ==
                  FT_TRUNCATE_NOMEM &&
              out.len == 0,
          "a weight that is not known");
  }
  for (long n = 1; n < 3; n++) {
    Memory m = {0};
    ft_buf failing;
    m.on = 1, m.fail_at = n, m.fails = 1;
    ft_buf_init(&failing, memory_alloc, &m, TEXT_MAX);
    int r = ft_truncate(&first.e, FT_FORMAT_CHAT, 2, ft_weigh_message, NULL, &failing, &t);
    check(&tally, r == (m.fired ? FT_TRUNCATE_NOMEM : FT_TRUNCATE_DONE), "a failing allocation");
    check(&tally, r == FT_TRUNCATE_DONE || failing.len == 0, "a part was written");
    ft_buf_free(&failing);
  }
}

int main(int argc, char **argv) {
  chance = argc > 1 ? strtoull(argv[1], NULL, 10) | 1 : 1;
  hang_guard(300);
  if (mkdtemp(folder) == NULL)
    return EXIT_FAILURE;
  snprintf(from_path, sizeof from_path, "%s/from", folder);
  snprintf(to_path, sizeof to_path, "%s/to", folder);
  text_init(&text, &memory);
  text_init(&out, &memory);
  split();
  uniform();
  known_order();
  copies();
  copy_faults();
  statistics();
  truncations();
  truncation_faults();
  ft_buf_free(&text);
  ft_buf_free(&out);
  check(&tally, memory.live == 0, "memory was kept");
  remove(from_path);
  remove(to_path);
  check(&tally, rmdir(folder) == 0, "a file was left behind");
  return summary(&tally);
}
