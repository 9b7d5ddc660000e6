/*
** harness_scan.c: the scanner's variants against each other and against their promises: what
** they say does not depend on where a text lies, and no byte outside of it is read (it lies
** between pages that cannot be). Without arguments a test of its own; spec/scan_spec.lua uses
**   harness_scan verdicts|everywhere FILE   a verdict for each text of the file, on a line:
**                                           "ok", or the offset of the fault and its sentence
**   harness_scan big                        100 MB in a line, 100,000 levels, 1,000,000 keys
**   harness_scan variants                   those that this machine has
** The file holds texts one behind another, each as its length in decimal, a line feed, its bytes.
*/
#include "scan_check.h"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 128, MUTANTS = 20000, ALIGNMENTS = 64, HUGE_TEXT = 100 * 1000 * 1000 };

static long passed;

/* ---- memory with a fence on either side ---- */

typedef struct Fenced {
  char *begin, *end; /* what may be touched */
} Fenced;

static Fenced fenced(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (n + page) / page * page;
  char *p =
      mmap(NULL, inner + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  claim(p != MAP_FAILED, "no memory");
  claim(mprotect(p, page, PROT_NONE) == 0, "no fence before");
  claim(mprotect(p + page + inner, page, PROT_NONE) == 0, "no fence behind");
  Fenced f = {p + page, p + page + inner};
  return f;
}

static void fence_free(Fenced f) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  munmap(f.begin - page, (size_t)(f.end - f.begin) + 2 * page);
}

/* ---- one text, in all places ---- */

static void same(Verdict a, Verdict b, const char *words) {
  claim(a.at == b.at && a.count == b.count && (a.why == b.why || strcmp(a.why, b.why) == 0), words);
}

/* up to a fence behind, then up to one before */
static Verdict at_fences(const char *s, size_t n, Fenced f) {
  char *last = f.end - n;
  memcpy(last, s, n);
  Verdict v = check_text(last, n, DEPTH);
  memcpy(f.begin, s, n);
  same(v, check_text(f.begin, n, DEPTH), "the verdict depends on the fence");
  return v;
}

/* at each alignment, with bytes around it that would change the verdict if they were seen */
static void at_alignments(const char *s, size_t n, Fenced f, Verdict v) {
  static const char around[] = "\"\\\xc3\xff]0u}";
  for (size_t i = 0; i < ALIGNMENTS; i++) {
    memset(f.begin, around[i % (sizeof around - 1)], n + 2 * ALIGNMENTS);
    memcpy(f.begin + i, s, n);
    same(v, check_variants(f.begin + i, n, DEPTH), "the verdict depends on what is around");
  }
}

static void truncated(const char *s, size_t n, Fenced f) {
  for (size_t i = 0; i < n; i++)
    at_fences(s, i, f);
}

static Verdict everywhere(const char *s, size_t n) {
  Fenced f = fenced(n + 2 * ALIGNMENTS);
  Verdict v = at_fences(s, n, f);
  at_alignments(s, n, f, v);
  truncated(s, n, f);
  fence_free(f);
  return v;
}

static Verdict once(const char *s, size_t n) {
  Fenced f = fenced(n);
  Verdict v = at_fences(s, n, f);
  fence_free(f);
  return v;
}

/* ---- the file of texts ---- */

static void file(const char *path, Verdict (*check)(const char *s, size_t n)) {
  FILE *f = fopen(path, "rb");
  size_t n;
  claim(f != NULL, "the file cannot be opened");
  while (fscanf(f, "%zu", &n) == 1 && fgetc(f) == '\n') {
    char *s = malloc(n + 1);
    claim(s != NULL && fread(s, 1, n, f) == n, "the file is cut");
    Verdict v = check(s, n);
    if (v.at < 0)
      printf("ok\n");
    else
      printf("%td %s\n", v.at, v.why);
    free(s);
  }
  claim(feof(f), "the file is no list of texts");
  fclose(f);
}

/* ---- duplicate keys ---- */

/* an object of `count` keys, some of which may be the same, written in different ways */
static size_t random_object(uint32_t *state, char *s, uint32_t count) {
  static const char *const forms[] = {"k%u", "\\u006b%u", "%u", "k\\u00%u"};
  size_t n = 0;
  uint32_t range = count * (1 + scan_random(state) % 40);
  s[n++] = '{';
  for (uint32_t i = 0; i < count; i++) {
    n += (size_t)sprintf(s + n, i > 0 ? ",\"" : "\"");
    n += (size_t)sprintf(s + n, forms[scan_random(state) % 4], 10 + scan_random(state) % range);
    n += (size_t)sprintf(s + n, i % 3 == 0 ? "\":[{\"k1\":1}]" : "\":0");
  }
  s[n++] = '}';
  return n;
}

static void duplicates(void) {
  static char s[1 << 16];
  static uint32_t room[1024];
  uint32_t state = 5;
  long with = 0, without = 0;
  for (int round = 0; round < 4000; round++) {
    size_t n = random_object(&state, s, 1 + scan_random(&state) % 100);
    Verdict v = check_text(s, n, DEPTH);
    claim(v.at < 0, "an object that is none");
    size_t keys = ft_scan_keys(scan_nodes[0], 0), hand = duplicate_by_hand(s, scan_nodes[0], 0);
    claim(ft_scan_duplicate(s, scan_nodes[0], 0, room, keys) == hand, "another duplicate");
    claim(keys <= FT_SCAN_FEW ||
              ft_scan_duplicate(s, scan_nodes[0], 0, room, keys - 1) == FT_SCAN_ROOM,
          "it sorts without room");
    hand > 0 ? with++ : without++;
  }
  claim(with > 500 && without > 500, "one sort of objects is missing");
  passed++;
}

/* ---- sizes ---- */

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void filled(char *s, size_t n, const char *with) {
  size_t len = strlen(with), i = 0;
  for (; i + len <= n; i += len)
    memcpy(s + i, with, len);
  memset(s + i, 'x', n - i);
}

/* a string of 100 MB, good and then with its last character cut */
static void one_line(const char *with) {
  Fenced f = fenced(HUGE_TEXT);
  char *s = f.end - HUGE_TEXT;
  s[0] = s[HUGE_TEXT - 1] = '"';
  filled(s + 1, HUGE_TEXT - 2, with);
  claim(check_variants(s, HUGE_TEXT, DEPTH).at == -1, "100 MB are refused");
  claim(scan_nodes[0][0].n == HUGE_TEXT - 2, "100 MB are cut");
  s[HUGE_TEXT - 1] = ' ';
  claim(check_variants(s, HUGE_TEXT, DEPTH).at == HUGE_TEXT, "an open string of 100 MB");
  s[HUGE_TEXT - 2] = (char)0xC3, s[HUGE_TEXT - 1] = '"';
  claim(check_variants(s, HUGE_TEXT, DEPTH).at == HUGE_TEXT - 2, "a cut character behind 100 MB");
  fence_free(f);
  passed++;
}

static void levels(size_t count, const char *open, const char *close) {
  size_t a = strlen(open), b = strlen(close), n = count * (a + b) + 1;
  Fenced f = fenced(n);
  char *s = f.end - n;
  filled(s, count * a, open);
  s[count * a] = '1';
  filled(s + count * a + 1, count * b, close);
  for (int depth = 0; depth <= FT_SCAN_DEPTH + 1; depth += depth < FT_SCAN_DEPTH - 1 ? 31 : 1) {
    Verdict v = check_variants(s, n, depth);
    size_t allowed = depth < FT_SCAN_DEPTH ? (size_t)depth : FT_SCAN_DEPTH;
    claim(count <= allowed ? v.at == -1 : v.at == (ptrdiff_t)(allowed * a) && v.why == ft_scan_deep,
          "a wrong limit of depth");
  }
  fence_free(f);
  passed++;
}

/* 1,000,000 keys that begin alike; the last one is there already */
static void many_keys(const char *format) {
  enum { KEYS = 1000 * 1000 };
  char *s = malloc(64 * (size_t)KEYS);
  ft_node *nodes = malloc((2 * (size_t)KEYS + 1) * sizeof *nodes);
  uint32_t *room = malloc(KEYS * sizeof *room);
  size_t n = 0, count;
  const char *why;
  claim(s != NULL && nodes != NULL && room != NULL, "no memory");
  for (unsigned i = 0; i < KEYS; i++) {
    s[n++] = i == 0 ? '{' : ',';
    n += (size_t)sprintf(s + n, format,
                         i < KEYS - 1 ? (unsigned)(i * UINT64_C(7919) % KEYS) : 4711u);
  }
  s[n++] = '}';
  claim(ft_scan_nodes(s, n, DEPTH, nodes, 2 * KEYS + 1, &count, &why) < 0, "a million is refused");
  double began = seconds();
  claim(ft_scan_duplicate(s, nodes, 0, room, KEYS) == count - 2, "the duplicate is not found");
  printf("%.2f s for 1,000,000 keys\n", seconds() - began);
  claim(seconds() - began < 30, "a million keys take too long");
  free(s), free(nodes), free(room);
  passed++;
}

static void big(void) {
  one_line("plain ASCII ");
  one_line("\\n\\u00e9\\\"");
  one_line("\xd0\x9f\xf0\x9f\x98\x80\xe2\x82\xac");
  levels(100000, "[", "]");
  levels(100000, "{\"\":", "}");
  many_keys("\"a key of some length %u\":1");
  many_keys("\"\\u0061 key of some length %u\":1");
}

/* ---- without arguments ---- */

static void mutants(void) {
  char text[SCAN_TEXT_MAX];
  uint32_t state = 1;
  long accepted = 0;
  Fenced f = fenced(SCAN_TEXT_MAX);
  for (int i = 0; i < MUTANTS; i++) {
    size_t n = scan_mutant(&state, text);
    accepted += at_fences(text, n, f).at < 0;
  }
  claim(accepted > MUTANTS / 4 && accepted < MUTANTS * 3 / 4, "one sort of texts is missing");
  fence_free(f);
  passed++;
}

static void some_everywhere(void) {
  char text[SCAN_TEXT_MAX];
  uint32_t state = 3;
  for (size_t i = 0; i < sizeof scan_texts / sizeof *scan_texts; i++)
    claim(everywhere(scan_texts[i], strlen(scan_texts[i])).at < 0, "a good text is refused");
  for (int i = 0; i < 50; i++)
    everywhere(text, scan_random_text(&state, text));
  passed++;
}

/* where there is little room the count is the same, and what is written, too */
static void little_room(void) {
  const char *s = scan_texts[0], *why;
  size_t count, whole = check_text(s, strlen(s), DEPTH).count;
  for (int variant = 0; variant < SCAN_VARIANTS; variant++)
    for (size_t room = 0; room <= whole && ft_scan_use(variant); room++) {
      ft_node nodes[64] = {{0}};
      claim(ft_scan_nodes(s, strlen(s), DEPTH, nodes, room, &count, &why) < 0, "refused");
      claim(count == whole, "the count depends on the room");
      claim(memcmp(nodes, scan_nodes[0], room * sizeof *nodes) == 0, "another node");
      claim(nodes[room].next == 0, "a node where there is no room");
    }
  passed++;
}

static void variants(void) {
  for (int i = 0; i < SCAN_VARIANTS; i++)
    if (ft_scan_use(i))
      printf("%s\n", scan_names[i]);
  claim(!ft_scan_use(SCAN_VARIANTS) && !ft_scan_use(-2), "a variant that nobody wrote");
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "variants") == 0)
    return variants(), 0;
  if (argc == 3 && strcmp(mode, "verdicts") == 0)
    return file(argv[2], once), 0;
  if (argc == 3 && strcmp(mode, "everywhere") == 0)
    return file(argv[2], everywhere), 0;
  if (strcmp(mode, "big") == 0)
    big();
  else if (argc == 1) {
    mutants();
    some_everywhere();
    little_room();
    duplicates();
    levels(FT_SCAN_DEPTH, "[", "]");
    levels(FT_SCAN_DEPTH + 1, "{\"\":", "}");
  } else
    return fprintf(stderr, "usage: harness_scan [variants|big|verdicts FILE|everywhere FILE]\n"), 2;
  printf("%ld passed, 0 failed\n", passed);
  return 0;
}
