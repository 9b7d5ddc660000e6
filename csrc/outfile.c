#include "outfile.h"

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void outfile_forget(ft_outfile *f) {
  free(f->temp);
  free(f->path);
  f->temp = f->path = NULL;
}

enum { MODE_NEW = 0666, MODE_BITS = 0777 }; /* of a new file, less the umask; of one that is kept */

/* O_EXCL with the pid and a counter: never somebody else's file */
static int outfile_create(ft_outfile *f, mode_t mode) {
  size_t room = strlen(f->path) + 64;
  f->temp = malloc(room);
  if (f->temp == NULL)
    return ENOMEM;
  for (unsigned i = 0; i < 1000; i++) {
    snprintf(f->temp, room, "%s.%ld-%u.tmp", f->path, (long)getpid(), i);
    int fd = open(f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    f->fd = ft_fd_own(fd);
    int e = f->fd < 0 ? errno : 0;
    if (fd >= 0 && e != 0)
      unlink(f->temp);
    if (e != EEXIST)
      return e;
  }
  return EEXIST;
}

int ft_outfile_open(ft_outfile *f, const char *path) {
  struct stat st;
  f->fd = -1;
  f->temp = NULL;
  f->path = NULL;
  int replaced = stat(path, &st) == 0;
  mode_t mode = replaced ? st.st_mode & MODE_BITS : MODE_NEW;
  if (replaced && !S_ISREG(st.st_mode)) /* known now, not after an hour's download */
    return S_ISDIR(st.st_mode) ? EISDIR : EOPNOTSUPP;
  f->path = strdup(path);
  int e = f->path == NULL ? ENOMEM : outfile_create(f, mode);
  if (e != 0)
    outfile_forget(f);
  else if (replaced) /* whatever the umask is; where there are no modes none is lost */
    fchmod(f->fd, mode);
  return e;
}

static int write_whole(int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t w = write(fd, p, n);
    if (w < 0 && errno == EINTR)
      continue;
    if (w < 0)
      return errno;
    p += w;
    n -= (size_t)w;
  }
  return 0;
}

/* Beyond the limit on the size of files (ulimit -f) the system sends SIGXFSZ, which would end the
   host: it is held back, and taken away where it was for us. (sigprocmask: a thread's own mask, as
   pthread_sigmask is, on every system that we know.) */
int ft_outfile_write(ft_outfile *f, const void *bytes, size_t n) {
  sigset_t limit, before, pending;
  int sig;
  sigemptyset(&limit);
  sigaddset(&limit, SIGXFSZ);
  sigpending(&pending);
  int held = sigismember(&pending, SIGXFSZ) || sigprocmask(SIG_BLOCK, &limit, &before) != 0;
  int e = write_whole(f->fd, bytes, n);
  if (held)
    return e;
  if (e == EFBIG && sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ))
    sigwait(&limit, &sig);
  sigprocmask(SIG_SETMASK, &before, NULL);
  return e;
}

/* a descriptor of the directory that the file is in, or -1 */
static int outfile_directory(const char *path) {
  char *copy = strdup(path);
  if (copy == NULL)
    return -1;
  char *slash = strrchr(copy, '/');
  if (slash != NULL)
    slash[slash == copy] = '\0';
  int fd = open(slash != NULL ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(copy);
  return fd;
}

/* the rename itself must reach the disk too; not every file system can */
static void outfile_sync_directory(const char *path) {
  int fd = outfile_directory(path);
  if (fd < 0)
    return;
  fsync(fd);
  close(fd);
}

static int same_directory(const char *a, const char *b) {
  struct stat sa, sb;
  int fa = outfile_directory(a), fb = outfile_directory(b);
  int same = fa >= 0 && fb >= 0 && fstat(fa, &sa) == 0 && fstat(fb, &sb) == 0 &&
             sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
  if (fa >= 0)
    close(fa);
  if (fb >= 0)
    close(fb);
  return same;
}

int ft_outfile_same(const char *a, const char *b) {
  const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
  if (strcmp(slash_a != NULL ? slash_a + 1 : a, slash_b != NULL ? slash_b + 1 : b) != 0)
    return 0;
  return strcmp(a, b) == 0 || same_directory(a, b);
}

int ft_outfile_sync(ft_outfile *f) {
  return fsync(f->fd) != 0 && errno != EINVAL && errno != EROFS ? errno : 0;
}

int ft_outfile_commit(ft_outfile *f) {
  int e = ft_outfile_sync(f), fd = f->fd;
  f->fd = -1;
  if (close(fd) != 0 && e == 0)
    e = errno;
  if (e == 0 && rename(f->temp, f->path) != 0)
    e = errno;
  if (e != 0)
    unlink(f->temp);
  else
    outfile_sync_directory(f->path);
  outfile_forget(f);
  return e;
}

void ft_outfile_abort(ft_outfile *f) {
  int fd = f->fd;
  f->fd = -1;
  if (fd >= 0)
    close(fd);
  if (f->temp != NULL)
    unlink(f->temp);
  outfile_forget(f);
}

int ft_outfile_save(const char *path, const void *bytes, size_t n) {
  ft_outfile f;
  int e = ft_outfile_open(&f, path);
  if (e != 0)
    return e;
  e = ft_outfile_write(&f, bytes, n);
  if (e == 0)
    return ft_outfile_commit(&f);
  ft_outfile_abort(&f);
  return e;
}
