/*
** fd.h: descriptors 0 to 2 are the host's, also while it has them closed: one of ours in such a
** place would be read as standard input ("-"), or written to as its output.
*/
#ifndef FT_FD_H
#define FT_FD_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FT_FD_OURS = 3 };

/* What open() and the like gave: the same, or where that is the host's place, another one. -1 with
   errno where it was that, or there is no more. */
static inline int ft_fd_own(int fd) {
  if (fd < 0 || fd >= FT_FD_OURS)
    return fd;
  int own = fcntl(fd, F_DUPFD_CLOEXEC, FT_FD_OURS), e = errno;
  close(fd);
  errno = e;
  return own;
}

#endif
