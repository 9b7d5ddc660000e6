#include "shuffle.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  CHUNK = 1 << 14,   /* lines: 256 KiB */
  BLOCK = 256 * 1024 /* bytes written at a time */
};

/* ---- chance ---- */

/* splitmix64 (Steele, Lea and Flood, 2014): a counter, mixed */
static uint64_t next(ft_shuffle *s) {
  uint64_t z = s->random += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return z ^ z >> 31;
}

/* 0 .. n - 1, all alike: what does not fit is drawn again, less than twice on average */
static uint64_t below(ft_shuffle *s, uint64_t n) {
  uint64_t mask = n - 1, drawn;
  for (int shift = 1; shift < 64; shift *= 2)
    mask |= mask >> shift;
  do
    drawn = next(s) & mask;
  while (drawn >= n);
  return drawn;
}

/* ---- the index ---- */

void ft_shuffle_init(ft_shuffle *s, lua_Alloc alloc, void *ud, uint64_t seed) {
  memset(s, 0, sizeof *s);
  s->random = seed;
  ft_buf_init(&s->chunks, alloc, ud, SIZE_MAX / 2);
  ft_buf_init(&s->block, alloc, ud, SIZE_MAX / 2);
}

static ft_line *line_of(const ft_shuffle *s, size_t i) {
  ft_line *chunk;
  memcpy(&chunk, s->chunks.data + i / CHUNK * sizeof chunk, sizeof chunk);
  return &chunk[i % CHUNK];
}

static int add_chunk(ft_shuffle *s) {
  ft_line *chunk;
  if (!ft_buf_reserve(&s->chunks, sizeof chunk))
    return 0;
  chunk = s->chunks.alloc(s->chunks.ud, NULL, 0, CHUNK * sizeof *chunk);
  return chunk != NULL && ft_buf_add(&s->chunks, &chunk, sizeof chunk);
}

int ft_shuffle_add(ft_shuffle *s, size_t n) {
  if (s->count >= UINT32_MAX || n > UINT32_MAX)
    return 0;
  if (s->count == s->chunks.len / sizeof(ft_line *) * CHUNK && !add_chunk(s))
    return 0;
  ft_line *line = line_of(s, s->count);
  line->at = s->bytes;
  line->n = (uint32_t)n;
  line->number = (uint32_t)s->count++;
  s->bytes += n;
  return 1;
}

int ft_shuffle_draw(ft_shuffle *s, ft_line *line) {
  if (s->drawn >= s->count)
    return 0;
  ft_line *here = line_of(s, s->drawn);
  ft_line *there = line_of(s, s->drawn + (size_t)below(s, s->count - s->drawn));
  *line = *there;
  *there = *here;
  *here = *line;
  s->drawn++;
  return 1;
}

uint32_t ft_shuffle_number(const ft_shuffle *s, size_t i) {
  return line_of(s, i)->number;
}

void ft_shuffle_free(ft_shuffle *s) {
  for (size_t i = 0; i < s->chunks.len / sizeof(ft_line *) * CHUNK; i += CHUNK)
    s->chunks.alloc(s->chunks.ud, line_of(s, i), CHUNK * sizeof(ft_line), 0);
  ft_buf_free(&s->chunks);
  ft_buf_free(&s->block);
  s->count = s->drawn = 0;
}

/* ---- the copy ---- */

static int flush(ft_shuffle *s, ft_outfile *out) {
  int e = ft_outfile_write(out, s->block.data, s->block.len);
  ft_buf_clear(&s->block);
  return -e;
}

/* Reads n bytes to `to`: 0, or a negative errno */
static int read_whole(int fd, char *to, size_t n, uint64_t at) {
  while (n > 0) {
    ssize_t got = pread(fd, to, n, (off_t)at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return got < 0 ? -errno : -EIO;
    to += got;
    at += (uint64_t)got;
    n -= (size_t)got;
  }
  return 0;
}

/* A line that is longer than a block goes through it in pieces. */
static int copy_line(ft_shuffle *s, int from, ft_outfile *out, ft_line line) {
  while (line.n > 0) {
    size_t left = BLOCK - s->block.len;
    size_t n = line.n < left ? line.n : left;
    int e = read_whole(from, s->block.data + s->block.len, n, line.at);
    if (e != 0)
      return e;
    s->block.len += n;
    line.at += n;
    line.n -= (uint32_t)n;
    if (s->block.len == BLOCK && (e = flush(s, out)) != 0)
      return e;
  }
  return 0;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { LOOK = 16 * 1024 }; /* bytes between two looks at the clock; a line counts for 256 more */

int ft_shuffle_copy(ft_shuffle *s, int from, ft_outfile *out, size_t most, double seconds) {
  double until = now() + seconds;
  uint64_t copied = 0;
  ft_line line;
  if (s->block.cap < BLOCK && !ft_buf_reserve(&s->block, BLOCK))
    return -ENOMEM;
  while (s->drawn < most && ft_shuffle_draw(s, &line)) {
    int e = copy_line(s, from, out, line);
    if (e != 0)
      return e;
    copied += line.n + 256;
    if (copied >= LOOK && now() >= until)
      return FT_SHUFFLE_MORE;
    copied = copied >= LOOK ? 0 : copied;
  }
  return flush(s, out);
}
