#include "vocab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  LINE_MAX_BYTES = (FT_TOKEN_MAX + 2) / 3 * 4 + 16, /* base64, a space, a rank, CR */
  SLOTS_FIRST = 1 << 12,
  PROBES = 512,   /* a search of so many slots comes of no honest vocabulary */
  SLACK = 8,      /* bytes that may be read behind the tokens in `pool` */
  LINE_BYTES = 18 /* of OpenAI's files, on average: for the first guess of a size */
};

/* ---- encodings ---- */

/* tiktoken 0.14.0, tiktoken_ext/openai_public.py */
static const struct {
  const char *name, *sha256;
} encodings[] = {
    {NULL, NULL},
    {"cl100k_base", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"},
    {"o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"}};

enum ft_encoding ft_encoding_find(const char *name) {
  for (int e = FT_CL100K_BASE; e <= FT_O200K_BASE; e++)
    if (strcmp(name, encodings[e].name) == 0)
      return (enum ft_encoding)e;
  return FT_ENCODING_NONE;
}

const char *ft_encoding_name(enum ft_encoding e) {
  return encodings[e].name;
}

const char *ft_encoding_sha256(enum ft_encoding e) {
  return encodings[e].sha256;
}

/* ---- memory ---- */

static void *vocab_alloc(ft_vocab *v, size_t n) {
  return v->alloc(v->ud, NULL, 0, n);
}

static void give_back(ft_vocab *v, void *p, size_t n) {
  if (p != NULL)
    v->alloc(v->ud, p, n, 0);
}

void ft_vocab_init(ft_vocab *v, enum ft_encoding like, int checked, lua_Alloc alloc, void *ud) {
  memset(v, 0, sizeof *v);
  v->encoding = like;
  v->wanted = checked ? like : FT_ENCODING_NONE;
  v->fd = -1;
  v->alloc = alloc;
  v->ud = ud;
  ft_buf_init(&v->pool, alloc, ud, FT_VOCAB_POOL + SLACK);
  ft_buf_init(&v->line, alloc, ud, LINE_MAX_BYTES);
  ft_buf_init(&v->ranks, alloc, ud, (FT_VOCAB_RANK + 2) / 8);
  memset(v->single, FT_NO_RANK & 0xFF, sizeof v->single);
  ft_sha256_begin(&v->sha);
}

static void vocab_close(ft_vocab *v) {
  int fd = v->fd;
  v->fd = -1;
  if (fd >= 0)
    close(fd);
  ft_buf_free(&v->line);
  ft_buf_free(&v->ranks);
}

static void free_table(ft_vocab *v) {
  size_t slots = (size_t)v->mask + 1;
  give_back(v, v->slots, slots * sizeof *v->slots);
  v->slots = NULL;
}

void ft_vocab_free(ft_vocab *v) {
  vocab_close(v);
  free_table(v);
  give_back(v, v->hints, sizeof *v->hints);
  v->hints = NULL;
  give_back(v, v->cache, FT_CACHE_BYTES);
  v->cache = NULL;
  give_back(v, v->scratch, FT_SCRATCH_BYTES);
  v->scratch = NULL;
  give_back(v, v->joined, FT_PAIR_BYTES);
  v->joined = NULL;
  give_back(v, v->near, FT_NEAR_BYTES);
  v->near = NULL;
  give_back(v, v->ranked, FT_RANKED_BYTES);
  v->ranked = NULL;
  give_back(v, v->halves, v->count * sizeof *v->halves);
  v->halves = NULL;
  ft_buf_free(&v->pool);
  if (v->state != FT_VOCAB_FAILED)
    snprintf(v->words, sizeof v->words, "the vocabulary was closed");
  v->state = FT_VOCAB_FAILED;
}

/* Everything goes, but for the words */
static enum ft_vocab_state failed(ft_vocab *v, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(v->words, sizeof v->words, format, args);
  va_end(args);
  v->state = FT_VOCAB_FAILED;
  ft_vocab_free(v);
  return FT_VOCAB_FAILED;
}

static enum ft_vocab_state no_memory(ft_vocab *v) {
  return failed(v, "not enough memory for the vocabulary");
}

static enum ft_vocab_state bad_line(ft_vocab *v, const char *why) {
  return failed(v, "line %lu of the vocabulary: %s", (unsigned long)v->lines, why);
}

/* ---- the table ---- */

/* A free slot for h. -1: none within reach */
static long free_slot(const ft_vocab *v, uint64_t h) {
  uint32_t i = ft_vocab_slot(h) & v->mask;
  for (int probes = 0; probes < PROBES; probes++, i = (i + 1) & v->mask)
    if (v->slots[i] == 0)
      return (long)i;
  return -1;
}

/* Gives a token of this hash its slot */
static int take_slot(ft_vocab *v, uint64_t h, size_t n, uint32_t rank, size_t at) {
  long i = free_slot(v, h);
  if (i < 0)
    return bad_line(v, "it is made to fill one place of a table"), 0;
  *ft_vocab_filter(v, h, n) |= ft_vocab_bits(h);
  v->slots[i] = ft_vocab_entry(h, rank, at);
  return 1;
}

/* A table of so many slots, a power of two, with all tokens there are so far */
static int make_table(ft_vocab *v, size_t slots) {
  uint64_t *old = v->slots;
  size_t had = old == NULL ? 0 : (size_t)v->mask + 1;
  v->slots = vocab_alloc(v, slots * sizeof *v->slots);
  v->mask = (uint32_t)(slots - 1);
  int good = v->slots != NULL ? 1 : (no_memory(v), 0);
  if (good)
    memset(v->slots, 0, slots * sizeof *v->slots);
  for (size_t i = 0; i < had && good; i++)
    if (old[i] != 0) {
      const unsigned char *token = ft_vocab_token(v, old[i]);
      good = take_slot(v, ft_vocab_hash(token + 1, *token), *token, ft_vocab_entry_rank(old[i]),
                       (size_t)(token - (const unsigned char *)v->pool.data));
    }
  give_back(v, old, had * sizeof *old);
  return good;
}

static int make_hints(ft_vocab *v) {
  v->hints = vocab_alloc(v, sizeof *v->hints);
  if (v->hints == NULL)
    return no_memory(v), 0;
  memset(v->hints, 0, sizeof *v->hints);
  memset(v->hints->pairs, FT_NO_RANK & 0xFF, sizeof v->hints->pairs);
  return 1;
}

/* At most half of the slots are taken */
static int make_room(ft_vocab *v) {
  size_t slots = SLOTS_FIRST;
  if (v->hints == NULL && !make_hints(v))
    return 0;
  if (v->slots != NULL && (v->count + 1) * 2 <= v->mask)
    return 1;
  size_t tokens = v->slots == NULL ? (size_t)(v->size / LINE_BYTES) : v->count + 1;
  while (slots < 2 * tokens + 2 && slots < 2 * (size_t)FT_VOCAB_TOKENS)
    slots *= 2;
  return make_table(v, slots);
}

/* Is this rank taken? Takes it. -1: no memory */
static int rank_taken(ft_vocab *v, uint32_t rank) {
  size_t byte = rank / 8;
  if (byte >= v->ranks.len) {
    size_t more = byte + 1 - v->ranks.len, left = v->ranks.max - v->ranks.len;
    more = more < 8192 ? (8192 < left ? 8192 : left) : more;
    if (!ft_buf_reserve(&v->ranks, more))
      return -1;
    memset(v->ranks.data + v->ranks.len, 0, more);
    v->ranks.len += more;
  }
  unsigned char *bits = (unsigned char *)v->ranks.data + byte;
  int bit = 1 << rank % 8, taken = (*bits & bit) != 0;
  *bits = (unsigned char)(*bits | bit);
  return taken;
}

static int store(ft_vocab *v, uint64_t h, const unsigned char *s, size_t n, uint32_t rank) {
  size_t at = v->pool.len;
  if (!ft_buf_reserve(&v->pool, 1 + n + SLACK))
    return v->pool.full ? bad_line(v, "the tokens are too long in all") : no_memory(v), 0;
  v->pool.data[at] = (char)n;
  memcpy(v->pool.data + at + 1, s, n);
  v->pool.len += 1 + n;
  if (!take_slot(v, h, n, rank, at))
    return 0;
  if (n == 1)
    v->single[*s] = rank;
  ft_vocab_hint(v, s, n, rank);
  v->count++;
  v->longest = n > v->longest ? (uint32_t)n : v->longest;
  return 1;
}

/* Before it is in the hints or in a slot: have we had it? */
static int token_taken(const ft_vocab *v, uint64_t h, const unsigned char *s, size_t n) {
  return n == 1 ? v->single[*s] != FT_NO_RANK
                : ft_vocab_may(v, h, n) && ft_vocab_rank(v, s, n, s + n) != FT_NO_RANK;
}

static int add_token(ft_vocab *v, const unsigned char *s, size_t n, uint32_t rank) {
  if (v->count >= FT_VOCAB_TOKENS)
    return bad_line(v, "too many tokens; a vocabulary has at most 1,048,576"), 0;
  if (!make_room(v))
    return 0;
  uint64_t h = ft_vocab_hash(s, n); /* its slot is seldom in a near cache: it comes meanwhile */
  __builtin_prefetch(&v->slots[ft_vocab_slot(h) & v->mask]);
  if (token_taken(v, h, s, n))
    return bad_line(v, "this token was there before"), 0;
  int taken = rank_taken(v, rank);
  if (taken != 0)
    return taken < 0 ? no_memory(v) : bad_line(v, "this rank was there before"), 0;
  return store(v, h, s, n, rank);
}

/* ---- lines ---- */

/* Of base64, with 1 added: 0 is of a byte that is no digit */
// clang-format off
static const uint8_t digits64[256] = {
  ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
  ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
  ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['+'] = 63, ['/'] = 64};
// clang-format on

/* Four digits -> three bytes; 0: they are not all digits */
static inline int decode_four(const char *s, unsigned char *out) {
  const unsigned char *d = (const unsigned char *)s;
  uint32_t a = digits64[d[0]], b = digits64[d[1]], c = digits64[d[2]], e = digits64[d[3]];
  uint32_t word = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (e - 1);
  out[0] = (unsigned char)(word >> 16);
  out[1] = (unsigned char)(word >> 8);
  out[2] = (unsigned char)word;
  return a != 0 && b != 0 && c != 0 && e != 0;
}

/* n bytes of base64 -> how many bytes; 0: it is none */
static size_t decode64(const char *s, size_t n, unsigned char *out) {
  size_t pad = 0, made = 0;
  char last[4];
  if (n == 0 || n % 4 != 0)
    return 0;
  for (; n > 4; s += 4, n -= 4, made += 3)
    if (!decode_four(s, out + made))
      return 0;
  memcpy(last, s, 4);
  for (; pad < 2 && last[3 - pad] == '='; pad++)
    last[3 - pad] = 'A';
  return decode_four(last, out + made) ? made + 3 - pad : 0;
}

/* n digits -> a rank; FT_NO_RANK: it is none, or too great */
static uint32_t decode_rank(const char *s, size_t n) {
  uint32_t rank = 0;
  if (n == 0 || n > 7)
    return FT_NO_RANK;
  for (size_t i = 0; i < n; i++) {
    if (s[i] < '0' || s[i] > '9')
      return FT_NO_RANK;
    rank = rank * 10 + (uint32_t)(s[i] - '0');
  }
  return rank <= FT_VOCAB_RANK ? rank : FT_NO_RANK;
}

static int add_line(ft_vocab *v, const char *s, size_t n) {
  unsigned char token[LINE_MAX_BYTES];
  if (n > 0 && s[n - 1] == '\r')
    n--;
  if (n == 0)
    return 1; /* tiktoken passes over these too */
  const char *space = memchr(s, ' ', n);
  if (space == NULL)
    return bad_line(v, "it is not \"base64 rank\""), 0;
  size_t length = (size_t)(space - s), bytes = decode64(s, length, token);
  if (bytes == 0)
    return bad_line(v, "the token is not base64"), 0;
  if (bytes > FT_TOKEN_MAX)
    return bad_line(v, "the token is longer than 255 bytes"), 0;
  memset(token + bytes, 0, SLACK); /* they are read, and masked */
  uint32_t rank = decode_rank(space + 1, n - length - 1);
  if (rank == FT_NO_RANK)
    return bad_line(v, "the rank is not a whole number up to 2097150"), 0;
  return add_token(v, token, bytes, rank);
}

static int too_long(ft_vocab *v) {
  return bad_line(v, "it is too long for \"base64 rank\""), 0;
}

/* Keeps what has no end of line yet */
static int keep(ft_vocab *v, const char *s, size_t n) {
  if (ft_buf_add(&v->line, s, n))
    return 1;
  v->lines++;
  return v->line.full ? too_long(v) : (no_memory(v), 0);
}

static int take_line(ft_vocab *v, const char *s, size_t n) {
  if (v->line.len > 0) {
    if (!keep(v, s, n))
      return 0;
    s = v->line.data;
    n = v->line.len;
  }
  v->lines++;
  if (n > LINE_MAX_BYTES)
    return too_long(v);
  int good = add_line(v, s, n);
  if (good)
    ft_buf_clear(&v->line);
  return good;
}

enum ft_vocab_state ft_vocab_add(ft_vocab *v, const char *bytes, size_t n) {
  const char *end = bytes + n, *newline;
  if (v->state != FT_VOCAB_MORE)
    return v->state;
  v->read += n;
  if (v->read > FT_VOCAB_FILE)
    return failed(v, "the vocabulary is larger than 64 MiB");
  ft_sha256_add(&v->sha, bytes, n);
  while (bytes < end && (newline = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL) {
    if (!take_line(v, bytes, (size_t)(newline - bytes)))
      return v->state;
    bytes = newline + 1;
  }
  if (bytes < end)
    keep(v, bytes, (size_t)(end - bytes));
  return v->state;
}

static void recognize(ft_vocab *v, const char *sha256) {
  for (int e = FT_CL100K_BASE; e <= FT_O200K_BASE; e++)
    if (strcmp(sha256, encodings[e].sha256) == 0) {
      v->encoding = (enum ft_encoding)e;
      v->known = 1;
    }
}

/* What only counting needs. The ranks of a vocabulary that is known are 0, 1, 2... */
static int make_ready(ft_vocab *v) {
  size_t halves = v->count * sizeof *v->halves;
  v->cache = vocab_alloc(v, FT_CACHE_BYTES);
  v->scratch = vocab_alloc(v, FT_SCRATCH_BYTES);
  v->near = vocab_alloc(v, FT_NEAR_BYTES);
  v->joined = vocab_alloc(v, FT_PAIR_BYTES);
  v->ranked = vocab_alloc(v, FT_RANKED_BYTES);
  v->halves = v->known ? vocab_alloc(v, halves) : NULL;
  if (v->cache == NULL || v->scratch == NULL || v->near == NULL || v->joined == NULL ||
      v->ranked == NULL || (v->known && !v->halves))
    return 0;
  memset(v->cache, 0, FT_CACHE_BYTES);
  memset(v->near, 0, FT_NEAR_BYTES);
  memset(v->ranked, 0, FT_RANKED_BYTES);
  memset(v->joined, 0, FT_PAIR_BYTES);
  if (v->known)
    memset(v->halves, 0, halves);
  else
    ft_vocab_hint_all(v);
  return 1;
}

enum ft_vocab_state ft_vocab_end(ft_vocab *v) {
  char hex[65];
  if (v->state != FT_VOCAB_MORE)
    return v->state;
  if (v->line.len > 0 && !take_line(v, "", 0))
    return v->state;
  ft_sha256_end(&v->sha, hex);
  recognize(v, hex);
  if (v->wanted != FT_ENCODING_NONE && (!v->known || v->encoding != v->wanted))
    return failed(v, "it is not the file of %s: its SHA-256 is %s, and should be %s",
                  encodings[v->wanted].name, hex, encodings[v->wanted].sha256);
  for (int c = 0; c < 256; c++)
    if (v->single[c] == FT_NO_RANK)
      return failed(v, "the vocabulary has no token for the single byte 0x%02X", (unsigned)c);
  if (!make_ready(v))
    return no_memory(v);
  vocab_close(v);
  return v->state = FT_VOCAB_READY;
}

/* ---- files ---- */

/* Not blocked by a FIFO; and only what has an end is read */
enum ft_vocab_state ft_vocab_open(ft_vocab *v, const char *path) {
  struct stat st;
  v->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (v->fd < 0 || fstat(v->fd, &st) != 0)
    return failed(v, "%.300s: %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode))
    return failed(v, "%.300s: it is not a regular file", path);
  if (st.st_size > FT_VOCAB_FILE)
    return failed(v, "%.300s: it is larger than 64 MiB", path);
  v->size = (uint64_t)st.st_size;
  size_t guess = (size_t)v->size / 10 * 7;
  if (!ft_buf_reserve(&v->pool,
                      guess < FT_VOCAB_POOL ? guess : FT_VOCAB_POOL)) /* what OpenAI's come to */
    return no_memory(v);
  return v->state;
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum ft_vocab_state read_slice(ft_vocab *v) {
  char bytes[FT_VOCAB_SLICE];
  ssize_t n = read(v->fd, bytes, sizeof bytes);
  if (n < 0)
    return errno == EINTR ? v->state : failed(v, "reading the vocabulary: %s", strerror(errno));
  return n > 0 ? ft_vocab_add(v, bytes, (size_t)n) : ft_vocab_end(v);
}

enum ft_vocab_state ft_vocab_advance(ft_vocab *v, double seconds) {
  double until = seconds_now() + seconds;
  do
    read_slice(v);
  while (v->state == FT_VOCAB_MORE && seconds_now() < until);
  return v->state;
}
