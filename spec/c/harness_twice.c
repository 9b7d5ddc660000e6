/*
** harness_twice.c: what has been there before: hashes (seen.h), briefs (briefs.h) and examples
** (twice.h), by property, against the plain way to do it; and what one example is (canon.h).
*/
#include "examples.h"
#include "twice.h"

#include <fcntl.h>

static Tally tally;
static Memory memory;
static Example first;

/* ---- seen ---- */

static ft_hash hash_of(uint64_t n) { /* alike in most bits, as no real ones are */
  ft_hash h = {n << 50 | n, n >> 3};
  return h;
}

static void seen(size_t n) {
  ft_seen s;
  long wrong = 0;
  ft_seen_init(&s, plain_alloc, NULL);
  for (size_t i = 0; i < n; i++)
    wrong += ft_seen_add(&s, hash_of(i)) != 1;
  for (size_t i = 0; i < n; i += 7)
    wrong += ft_seen_add(&s, hash_of(i)) != 0;
  for (size_t i = 0; i < 2 * n; i += 5)
    wrong += ft_seen_has(&s, hash_of(i)) != (i < n);
  check(&tally, wrong == 0 && s.count == n, "a hash was forgotten, or made up");
  check(&tally, s.bytes <= 64 * n + 256 * 256, "more than 4 slots a hash");
  ft_seen_free(&s);
  ft_seen_free(&s);
  check(&tally, !ft_seen_has(&s, hash_of(3)) && ft_seen_add(&s, hash_of(3)) == 1, "not empty");
  check(&tally, ft_seen_has(&s, hash_of(3)) && s.count == 1, "a hash that was added is not there");
  ft_seen_free(&s);
}

static void seen_without_memory(void) {
  for (long n = 1; n < 40; n++) {
    Memory m = {0};
    ft_seen s;
    long failed = 0;
    ft_seen_init(&s, memory_alloc, &m);
    m.on = 1, m.fail_at = n, m.fails = 1;
    for (uint64_t i = 0; i < 500; i++) {
      int r = ft_seen_add(&s, hash_of(i));
      failed += r < 0;
      if (r < 0) /* it is as if it had not been tried */
        r = ft_seen_add(&s, hash_of(i));
      check(&tally, r == 1 && ft_seen_add(&s, hash_of(i)) == 0, "a hash after a failure");
    }
    check(&tally, failed == m.fired, "a failure that was not told");
    ft_seen_free(&s);
    check(&tally, m.live == 0, "the set keeps memory");
  }
}

/* ---- briefs ---- */

static uint64_t brief_of_number(uint64_t n) { /* alike in most of the bits that count */
  return n << 62 | n << 28;
}

static void briefs(size_t n) {
  ft_briefs b;
  long wrong = 0;
  ft_briefs_init(&b, plain_alloc, NULL);
  for (uint64_t i = 0; i < n; i++)
    wrong += ft_briefs_find(&b, brief_of_number(i)) != NULL ||
             !ft_briefs_add(&b, brief_of_number(i), i * 7 % FT_PLACE_NONE);
  for (uint64_t i = 0; i < 2 * n; i++) {
    uint64_t *slot = ft_briefs_find(&b, brief_of_number(i) | 12345); /* bits that do not count */
    wrong += (slot != NULL) != (i < n) || (slot != NULL && ft_briefs_place(slot) != i * 7);
  }
  check(&tally, wrong == 0, "a brief was forgotten, made up, or moved");
  check(&tally, b.bytes <= 32 * n + 256 * 128, "more than 4 slots a brief");
  for (uint64_t i = 0; i < n; i += 3)
    ft_briefs_move(ft_briefs_find(&b, brief_of_number(i)), i % 2 ? 0 : FT_PLACE_NONE);
  for (uint64_t i = 0; i < n; i++)
    wrong += ft_briefs_place(ft_briefs_find(&b, brief_of_number(i))) != (i % 3 != 0 ? i * 7
                                                                         : i % 2    ? 0
                                                                                 : FT_PLACE_NONE);
  check(&tally, wrong == 0, "a place was not moved, or another one was");
  ft_briefs_free(&b);
  ft_briefs_free(&b);
  check(&tally, ft_briefs_find(&b, brief_of_number(0)) == NULL, "not empty");
}

/* ---- one example in several spellings ---- */

static void add_utf8(ft_buf *b, unsigned c) {
  char s[4] = {(char)c};
  if (c >= 0x800)
    s[0] = (char)(0xE0 | c >> 12), s[1] = (char)(0x80 | (c >> 6 & 0x3F)),
    s[2] = (char)(0x80 | (c & 0x3F));
  else if (c >= 0x80)
    s[0] = (char)(0xC0 | c >> 6), s[1] = (char)(0x80 | (c & 0x3F));
  add(b, s, c >= 0x800 ? 3 : c >= 0x80 ? 2 : 1);
}

/* The way `how` to write a character: 0 if there is none such */
static int add_spelling(ft_buf *b, unsigned c, int how) {
  static const char letters[] = "\"\"\\\\//\bb\ff\nn\rr\tt";
  char s[8];
  if (how < 2) {
    snprintf(s, sizeof s, how == 0 ? "\\u%04x" : "\\u%04X", c);
    adds(b, s);
    return 1;
  }
  if (how == 2) {
    if (c < 0x20 || c == '"' || c == '\\')
      return 0;
    add_utf8(b, c);
    return 1;
  }
  for (size_t i = 0; letters[i] != '\0'; i += 2)
    if ((unsigned)letters[i] == c) {
      char escape[] = {'\\', letters[i + 1], '\0'};
      adds(b, escape);
      return 1;
    }
  return 0;
}

/* ["xxx...CHARACTERxxx..."]: 0 if there is no such spelling */
static int hash_spelling(unsigned c, int how, int before, ft_hash *h, uint64_t *brief) {
  static ft_buf text;
  text_init(&text, &memory);
  adds(&text, "[\"");
  for (int i = 0; i < before; i++)
    adds(&text, "x");
  int there = add_spelling(&text, c, how);
  adds(&text, "0123456789 0123456789 \"]");
  if (there && scanned_buf(&first, &text)) {
    *h = ft_canon(&first.e, 5);
    *brief = ft_canon_brief(&first.e, 5);
  } else
    check(&tally, !there, "a text that is none");
  ft_buf_free(&text);
  return there;
}

static void spellings(void) {
  long wrong = 0, alike = 0, same = 0;
  ft_hash was = {0, 0};
  for (int before = 0; before < 40; before++)
    for (unsigned c = 1; c < 0x900; c += c < 0x100 ? 1 : 0x55) {
      ft_hash one = {0, 0}, h;
      uint64_t brief = 0, b;
      hash_spelling(c, 0, before, &one, &brief);
      for (int how = 1; how < 4; how++)
        if (hash_spelling(c, how, before, &h, &b)) {
          alike++;
          wrong += h.a != one.a || h.b != one.b || b != brief;
        }
      same += one.a == was.a && one.b == was.b;
      was = one;
    }
  check(&tally, alike > 20000 && wrong == 0, "a spelling makes another example of it");
  check(&tally, same == 0, "two characters are one");
}

/* ---- examples in a file ---- */

enum { LINES = 3000 };

static char path[] = "/tmp/finetune-twice-XXXXXX";

static struct {
  ft_buf text; /* of all, a line break behind each */
  size_t at[LINES + 1];
  ft_hash hash[LINES];
} lines;

static void line_end(size_t i) {
  size_t n = lines.text.len - lines.at[i];
  scanned(&first, lines.text.data + lines.at[i], n);
  lines.hash[i] = ft_canon(&first.e, 1);
  adds(&lines.text, "\n");
  lines.at[i + 1] = lines.text.len;
}

/* One in `share` says what an earlier one says, spelled anew; some only look like one in brief */
static void make_lines(size_t share) {
  char s[128];
  ft_buf_clear(&lines.text);
  for (size_t i = 0; i < LINES; i++) {
    size_t other = i > 0 ? below(i) : 0, n = lines.at[other + 1] - lines.at[other] - 1;
    lines.at[i] = lines.text.len;
    if (i > 0 && below(share) == 0 && scanned(&first, lines.text.data + lines.at[other], n)) {
      size_t begin = lines.text.len;
      ft_buf copy; /* the text grows, and may move */
      text_init(&copy, &memory);
      respell(&copy, &first.e, 0);
      for (size_t k = 0; k < copy.len; k++) /* spaces() makes line breaks */
        copy.data[k] = copy.data[k] == '\n' || copy.data[k] == '\r' ? ' ' : copy.data[k];
      add(&lines.text, copy.data, copy.len);
      ft_buf_free(&copy);
      check(&tally, lines.text.len > begin, "nothing was written");
    } else if (below(4) == 0) {
      snprintf(s, sizeof s, "{\"a\":\"the beginning is the same %04zu\",\"b\":[]}", below(5000));
      adds(&lines.text, s);
    } else {
      random_value(&lines.text, 0);
      for (size_t k = lines.at[i]; k < lines.text.len; k++)
        if (lines.text.data[k] == '\n' || lines.text.data[k] == '\r')
          lines.text.data[k] = ' ';
    }
    line_end(i);
  }
}

static int was_before(size_t i) {
  for (size_t k = 0; k < i; k++)
    if (lines.hash[k].a == lines.hash[i].a && lines.hash[k].b == lines.hash[i].b)
      return 1;
  return 0;
}

static void scan_line(size_t i) {
  scanned(&first, lines.text.data + lines.at[i], lines.at[i + 1] - lines.at[i] - 1);
}

static int write_lines(size_t n) {
  int fd = open(path, O_RDWR | O_TRUNC);
  check(&tally, fd >= 0 && write(fd, lines.text.data, n) == (ssize_t)n, "the file is not written");
  return fd;
}

/* `some`: only one line in so many has a place, the others came from elsewhere */
static void twice(size_t share, size_t some) {
  ft_twice t;
  make_lines(share);
  int fd = write_lines(lines.text.len);
  ft_twice_init(&t, 1, plain_alloc, NULL);
  check(&tally, ft_twice_places(&t, 3, fd) && !ft_twice_places(&t, 4, fd), "whose places?");
  close(fd);
  long wrong = 0;
  for (size_t i = 0; i < LINES; i++) {
    scan_line(i);
    int before = was_before(i);
    wrong += ft_twice_has(&t, &first.e) != before;
    wrong += ft_twice_add(&t, &first.e, below(some) == 0 ? (long long)lines.at[i] : -1) == before;
    wrong += ft_twice_has(&t, &first.e) != 1;
  }
  check(&tally, wrong == 0, "an example was forgotten, or made up");
  check(&tally, t.again <= LINES / 8 + 65, "too many were read again");
  ft_twice_free(&t);
  ft_twice_free(&t);
}

/* Without ft_twice_has() in between nothing is hashed that need not be */
static void hashes_few(void) {
  ft_twice t;
  make_lines(1000);
  int fd = write_lines(lines.text.len);
  ft_twice_init(&t, 1, plain_alloc, NULL);
  ft_twice_places(&t, 1, fd);
  close(fd);
  for (size_t i = 0; i < LINES; i++) {
    scan_line(i);
    check(&tally, ft_twice_add(&t, &first.e, (long long)lines.at[i]) == !was_before(i),
          "miscounted");
  }
  check(&tally, t.hashes.count < t.briefs.count, "all were hashed");
  ft_twice_free(&t);
}

/* A file that is cut short meanwhile, or written anew: that is told, and nothing is made up */
static void changed(int cut) {
  ft_twice t;
  long told = 0;
  make_lines(3);
  int fd = write_lines(lines.text.len);
  ft_twice_init(&t, 1, plain_alloc, NULL);
  ft_twice_places(&t, 1, fd);
  check(&tally, !ft_twice_changed(&t), "changed too early");
  for (size_t i = 0; i < LINES; i++) {
    if (i == LINES / 2 && cut)
      check(&tally, ftruncate(fd, (off_t)lines.at[LINES / 4] + 3) == 0, "not cut");
    else if (i == LINES / 2)
      for (size_t k = 0; k < LINES; k++)
        check(&tally, pwrite(fd, "[\"another\"]", 11, (off_t)lines.at[k]) == 11, "not written");
    scan_line(i);
    int added = ft_twice_add(&t, &first.e, (long long)lines.at[i]);
    told += added == FT_TWICE_CHANGED;
    check(&tally, added != 0 || was_before(i), "made up");
    check(&tally, added >= 0 || (added == FT_TWICE_CHANGED && i >= LINES / 2), "another failure");
  }
  check(&tally, told > 0 && ft_twice_changed(&t), "nobody was told");
  close(fd);
  ft_twice_free(&t);
}

static void twice_without_memory(void) {
  make_lines(2);
  int fd = write_lines(lines.text.len);
  for (long n = 1; n < 60; n++) {
    Memory m = {0};
    ft_twice t;
    long failed = 0;
    ft_twice_init(&t, 1, memory_alloc, &m);
    ft_twice_places(&t, 1, fd);
    m.on = 1, m.fail_at = n, m.fails = 1;
    for (size_t i = 0; i < 200; i++) {
      scan_line(i);
      failed += ft_twice_add(&t, &first.e, (long long)lines.at[i]) < 0;
    }
    check(&tally, failed == m.fired, "a failure that was not told");
    ft_twice_free(&t);
    check(&tally, m.live == 0, "memory was kept");
  }
  close(fd);
}

int main(int argc, char **argv) {
  chance = argc > 1 ? strtoull(argv[1], NULL, 10) | 1 : 1;
  hang_guard(300);
  int fd = mkstemp(path);
  if (fd < 0)
    return EXIT_FAILURE;
  close(fd);
  text_init(&lines.text, &memory);
  seen(1);
  seen(300000);
  seen_without_memory();
  briefs(1);
  briefs(300000);
  spellings();
  twice(2, 1);
  twice(20, 1);
  twice(3, 2);
  hashes_few();
  changed(0);
  changed(1);
  twice_without_memory();
  ft_buf_free(&lines.text);
  check(&tally, memory.live == 0, "memory was kept");
  remove(path);
  return summary(&tally);
}
