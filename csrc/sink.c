#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

enum { PATH_ROOM = 1024 * 1024, SYNC_CHUNK = 256 * 1024 };

double ft_sink_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void ft_sink_init(ft_sink *s, lua_Alloc alloc, void *ud) {
  static const ft_outfile closed = FT_OUTFILE_CLOSED;
  s->file = closed;
  ft_buf_init(&s->path, alloc, ud, PATH_ROOM);
  ft_buf_init(&s->out, alloc, ud, FT_TEXT_MAX);
  s->written = s->bytes = s->synced = 0;
  s->nowhere = 0;
}

int ft_sink_is_file(const ft_sink *s) {
  return s->path.len > 0;
}

int ft_sink_open(ft_sink *s, const char *path) {
  if (!ft_buf_add(&s->path, path, strlen(path) + 1))
    return ENOMEM;
  return ft_outfile_open(&s->file, path);
}

int ft_sink_flush(ft_sink *s) {
  if (!ft_sink_is_file(s) || s->out.len == 0)
    return 0;
  int e = ft_outfile_write(&s->file, s->out.data, s->out.len);
  ft_buf_clear(&s->out);
  return e;
}

static int put(ft_sink *s, const char *text, size_t n) {
  if (s->nowhere)
    return 0;
  if (ft_sink_is_file(s) && s->out.len + n > FT_SINK_BLOCK) {
    int e = ft_sink_flush(s);
    if (e != 0 || n > FT_SINK_BLOCK)
      return e != 0 ? e : ft_outfile_write(&s->file, text, n);
  }
  if (ft_buf_add(&s->out, text, n))
    return 0;
  return s->out.full ? EFBIG : ENOMEM;
}

/* text up to its next line end, and how much that is with it */
static size_t up_to_end(const char *text, size_t n) {
  const char *feed = memchr(text, '\n', n);
  size_t most = feed != NULL ? (size_t)(feed - text) : n;
  const char *back = memchr(text, '\r', most);
  return back != NULL ? (size_t)(back - text) : most;
}

int ft_sink_put(ft_sink *s, const char *text, size_t n, int joined) {
  int e = joined ? 0 : put(s, text, n);
  s->bytes += (long long)n + 1;
  s->written++;
  if (e != 0)
    return e;
  while (joined && n > 0) {
    size_t plain = up_to_end(text, n);
    e = put(s, text, plain);
    if (e == 0 && plain < n)
      e = put(s, " ", 1), plain++;
    if (e != 0)
      return e;
    text += plain, n -= plain;
  }
  return put(s, "\n", 1);
}

/* fsync() of gigabytes would hold up the host for seconds: where the system can write out a
   part of a file, that is done before, chunk by chunk. */
int ft_sink_settle(ft_sink *s, double until) {
#ifdef SYNC_FILE_RANGE_WRITE
  while (s->file.fd >= 0 && s->synced < s->bytes) {
    if (sync_file_range(s->file.fd, (off_t)s->synced, SYNC_CHUNK,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) != 0)
      return 0; /* fsync() will say what is wrong, or do it all */
    s->synced += SYNC_CHUNK;
    if (ft_sink_clock() >= until)
      return 1;
  }
#else
  (void)s, (void)until;
#endif
  return 0;
}

int ft_sink_sync(ft_sink *s) {
  int e = ft_sink_flush(s);
  return e != 0 || !ft_sink_is_file(s) ? e : ft_outfile_sync(&s->file);
}

int ft_sink_commit(ft_sink *s) {
  return ft_sink_is_file(s) ? ft_outfile_commit(&s->file) : 0;
}

void ft_sink_drop(ft_sink *s) {
  ft_outfile_abort(&s->file);
  ft_buf_free(&s->out);
  s->written = s->bytes = 0;
}

void ft_sink_free(ft_sink *s) {
  ft_sink_drop(s);
  ft_buf_free(&s->path);
}
