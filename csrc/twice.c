#include "twice.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

enum {
  DEPTH = FT_SCAN_DEPTH, /* of what was accepted before */
  TEXT_MAX = 1 << 20,    /* bytes; longer texts are hashed at once */
  PART = 1 << 13,        /* of a line, are read at a time */
  SELDOM = 8, /* where more than one of so many must be read again, it is no longer done */
  PATIENCE = 64
};

static const uint64_t TOLD = FT_PLACE_NONE; /* the hash of the example is in `hashes` */

void ft_twice_init(ft_twice *t, uint64_t seed, lua_Alloc alloc, void *ud) {
  ft_briefs_init(&t->briefs, alloc, ud);
  ft_seen_init(&t->hashes, alloc, ud);
  t->seed = seed;
  t->source = t->examples = t->again = 0;
  t->fd = -1;
  t->next.s = NULL;
  ft_buf_init(&t->text, alloc, ud, TEXT_MAX + PART);
  ft_buf_init(&t->nodes, alloc, ud, SIZE_MAX / 2);
}

int ft_twice_places(ft_twice *t, size_t source, int fd) {
  if (t->source == 0) {
    t->fd = t->examples == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (t->fd >= 0 && fstat(t->fd, &t->was) != 0) {
      close(t->fd);
      t->fd = -1;
    }
    t->source = t->fd >= 0 ? source : SIZE_MAX;
  }
  return t->source == source;
}

/* ---- places ---- */

static uint64_t place_of(const ft_twice *t, const ft_example *e, long long at) {
  int seldom = t->again <= t->examples / SELDOM + PATIENCE;
  return at >= 0 && (uint64_t)at < TOLD && e->n <= TEXT_MAX && seldom ? (uint64_t)at : TOLD;
}

/* The line at `at`, or its beginning where it is longer than it was */
static int read_line(ft_twice *t, off_t at) {
  const char *end = NULL;
  ft_buf_clear(&t->text);
  while (end == NULL && t->text.len < TEXT_MAX) {
    if (!ft_buf_reserve(&t->text, PART))
      return FT_TWICE_MEMORY;
    char *part = t->text.data + t->text.len;
    ssize_t got = pread(t->fd, part, PART, at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return got == 0 && t->text.len > 0 ? 1 : FT_TWICE_CHANGED;
    end = memchr(part, '\n', (size_t)got);
    t->text.len += end != NULL ? (size_t)(end - part) : (size_t)got;
    at += got;
  }
  return 1;
}

int ft_twice_changed(const ft_twice *t) {
  struct stat is;
  return t->fd >= 0 && (fstat(t->fd, &is) != 0 || is.st_size != t->was.st_size ||
                        is.st_mtim.tv_sec != t->was.st_mtim.tv_sec ||
                        is.st_mtim.tv_nsec != t->was.st_mtim.tv_nsec);
}

/* The first example of a brief gets its hash: 1, or as ft_twice_add() */
static int tell(ft_twice *t, uint64_t *first, uint64_t brief) {
  ft_example e;
  ptrdiff_t at;
  const char *why;
  uint64_t place = ft_briefs_place(first);
  if (place == TOLD)
    return 1;
  t->again++;
  int got = read_line(t, (off_t)place);
  if (got != 1)
    return got;
  if (ft_twice_changed(t)) /* perhaps in what a brief does not tell */
    return FT_TWICE_CHANGED;
  got = ft_example_read(&e, t->text.data, t->text.len, DEPTH, NULL, &t->nodes, &at, &why);
  if (got < 0)
    return FT_TWICE_MEMORY;
  if (got == 0 || !ft_briefs_same(ft_canon_brief(&e, t->seed), brief))
    return FT_TWICE_CHANGED;
  if (ft_seen_add(&t->hashes, ft_canon(&e, t->seed)) < 0)
    return FT_TWICE_MEMORY;
  ft_briefs_move(first, TOLD);
  return 1;
}

/* ---- examples ---- */

static uint64_t brief_of(ft_twice *t, const ft_example *e) {
  int known = t->next.s == e->s;
  t->next.s = NULL;
  return known ? t->next.brief : ft_canon_brief(e, t->seed);
}

void ft_twice_look(ft_twice *t, const ft_example *e) {
  t->next.s = NULL;
  if (t->fd < 0)
    return;
  t->next.brief = ft_canon_brief(e, t->seed);
  t->next.s = e->s;
  ft_briefs_look(&t->briefs, t->next.brief);
}

int ft_twice_add(ft_twice *t, const ft_example *e, long long at) {
  t->examples++;
  if (t->fd < 0)
    return ft_seen_add(&t->hashes, ft_canon(e, t->seed));
  uint64_t brief = brief_of(t, e);
  uint64_t *first = ft_briefs_find(&t->briefs, brief);
  if (first == NULL) {
    uint64_t place = place_of(t, e, at);
    if (!ft_briefs_add(&t->briefs, brief, place))
      return FT_TWICE_MEMORY;
    if (place != TOLD)
      return 1;
  } else {
    int told = tell(t, first, brief);
    if (told < 0)
      return told;
  }
  return ft_seen_add(&t->hashes, ft_canon(e, t->seed));
}

int ft_twice_has(ft_twice *t, const ft_example *e) {
  if (t->examples == 0)
    return 0;
  if (t->fd >= 0) {
    uint64_t brief = brief_of(t, e), *first = ft_briefs_find(&t->briefs, brief);
    int told = first != NULL ? tell(t, first, brief) : 0;
    if (told != 1)
      return told;
  }
  return ft_seen_has(&t->hashes, ft_canon(e, t->seed));
}

void ft_twice_free(ft_twice *t) {
  int fd = t->fd;
  t->fd = -1;
  if (fd >= 0)
    close(fd);
  ft_briefs_free(&t->briefs);
  ft_seen_free(&t->hashes);
  ft_buf_free(&t->text);
  ft_buf_free(&t->nodes);
}
