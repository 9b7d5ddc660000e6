/*
** source.c: slices of files that are sent: opened for each attempt, read through our
** own descriptor, and held to what they were promised to be.
*/
#include "fd.h"
#include "ft.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t source_fail(ft_source *s, const char *words) {
  s->owner->fault = words;
  s->owner->fault_data = 1;
  return CURL_READFUNC_ABORT;
}

static int source_changed(const ft_source *s, const struct stat *st) {
#ifdef __APPLE__
  long long mtime = (long long)st->st_mtimespec.tv_sec * 1000000000 + st->st_mtimespec.tv_nsec;
#else
  long long mtime = (long long)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
#endif
  return (s->size >= 0 && st->st_size != s->size) || (s->mtime >= 0 && mtime != s->mtime);
}

/* at the end of the slice the file must still be the one that was promised */
static size_t source_end(ft_source *s) {
  struct stat st;
  if (fstat(s->fd, &st) != 0 || source_changed(s, &st))
    return source_fail(s, "the file changed while it was being sent");
  return 0;
}

size_t ft_source_read(char *p, size_t size, size_t n, void *ud) {
  ft_source *s = ud;
  curl_off_t left = s->length - s->pos;
  size_t want = size * n;
  if (left <= 0)
    return source_end(s);
  if ((curl_off_t)want > left)
    want = (size_t)left;
  ssize_t got;
  do
    got = pread(s->fd, p, want, (off_t)(s->offset + s->pos));
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return source_fail(s, "the file cannot be read");
  if (got == 0)
    return source_fail(s, "the file became shorter while it was being sent");
  s->pos += got;
  return (size_t)got;
}

int ft_source_seek(void *ud, curl_off_t offset, int origin) {
  ft_source *s = ud;
  if (origin != SEEK_SET || offset < 0 || offset > s->length)
    return CURL_SEEKFUNC_FAIL;
  s->pos = offset;
  return CURL_SEEKFUNC_OK;
}

/* NULL, or what is wrong with the file */
static const char *source_open(ft_source *s) {
  struct stat st;
  s->pos = 0;
  if (s->fd < 0)
    s->fd = ft_fd_own(open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)); /* a FIFO must not hang */
  if (s->fd < 0 || fstat(s->fd, &st) != 0)
    return strerror(errno);
  if (!S_ISREG(st.st_mode))
    return "it is not a regular file";
  if (source_changed(s, &st))
    return "the file changed since the upload began";
  return st.st_size < s->offset + s->length ? "the file is shorter than it was" : NULL;
}

int ft_sources_open(ft_transfer *t) {
  for (int i = 0; i < t->nsrc; i++) {
    const char *wrong = source_open(&t->src[i]);
    if (wrong != NULL) {
      source_fail(&t->src[i], wrong);
      return 0;
    }
  }
  return 1;
}

void ft_sources_close(ft_transfer *t) {
  for (int i = 0; i < t->nsrc; i++) {
    int fd = t->src[i].fd;
    t->src[i].fd = -1;
    if (fd >= 0)
      close(fd);
  }
}
