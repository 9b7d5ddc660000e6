/*
** reader_file.c: the descriptor a reader reads from. It never waits: a file that was opened here
** is opened so that it does not block; standard input, which others may share, keeps its
** flags and is asked first.
*/
#include "fd.h"
#include "reader_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

void ft_reader_detach(ft_reader *r) {
  int fd = r->fd;
  r->fd = -1;
  if (fd >= 0 && !r->is_stdin)
    close(fd);
}

static enum ft_reading fail_errno(ft_reader *r, int error) {
  ft_reader_detach(r);
  return ft_reader_fail(r, "%s", strerror(error));
}

/* what lies before the place where we begin is not ours: somebody else has read it */
static void note_size(ft_reader *r, const struct stat *st) {
  off_t at = r->is_stdin ? lseek(r->fd, 0, SEEK_CUR) : 0;
  r->whole = (long long)st->st_size;
  r->modified = st->st_mtim;
  r->size = at > 0 && at < st->st_size ? (long long)(st->st_size - at) : r->whole;
}

int ft_reader_attach(ft_reader *r, const char *path) {
  struct stat st;
  r->is_stdin = strcmp(path, "-") == 0;
  r->fd = r->is_stdin ? STDIN_FILENO
                      : ft_fd_own(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (r->fd < 0 || fstat(r->fd, &st) != 0)
    return fail_errno(r, errno), 0;
  if (S_ISDIR(st.st_mode))
    return fail_errno(r, EISDIR), 0;
  r->is_file = S_ISREG(st.st_mode);
  r->is_fifo = S_ISFIFO(st.st_mode);
  if (r->is_file)
    note_size(r, &st);
  return 1;
}

static int events(const ft_reader *r) {
  struct pollfd p = {r->fd, POLLIN, 0};
  int n;
  do
    n = poll(&p, 1, 0);
  while (n < 0 && errno == EINTR);
  return n > 0 ? p.revents : 0;
}

/* At the end of a file: is it still what was opened? A file that others append to is read
   as far as it goes; one that was cut short is not what anybody wanted to train on. */
static enum ft_reading file_end(ft_reader *r) {
  struct stat st;
  if (!r->is_file || fstat(r->fd, &st) != 0)
    return FT_READ_END;
  if ((long long)st.st_size < r->whole)
    return ft_reader_fail(r, "it became shorter while it was read");
  r->changed = (long long)st.st_size != r->whole || st.st_mtim.tv_sec != r->modified.tv_sec ||
               st.st_mtim.tv_nsec != r->modified.tv_nsec;
  return FT_READ_END;
}

/* read() gave nothing. Of a FIFO that nobody has opened for writing yet, that is no end: the
   system tells of a hang-up only after there was a writer. */
static enum ft_reading nothing(ft_reader *r) {
  if (!r->is_fifo || r->is_stdin)
    return file_end(r);
  int e = events(r);
  if ((e & POLLIN) == 0 && (e & (POLLHUP | POLLERR | POLLNVAL)) != 0)
    return FT_READ_END;
  return FT_READ_IDLE;
}

enum ft_reading ft_reader_read(ft_reader *r, ft_buf *to) {
  ssize_t n;
  if (!ft_buf_reserve(to, r->options.block))
    return ft_reader_no_memory(r);
  if (r->is_stdin && !r->is_file && events(r) == 0)
    return FT_READ_IDLE;
  do
    n = read(r->fd, to->data + to->len, r->options.block);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return FT_READ_IDLE;
  if (n < 0)
    return fail_errno(r, errno);
  if (n == 0)
    return nothing(r);
  to->len += (size_t)n;
  r->position += n;
  return FT_READ_MORE;
}
