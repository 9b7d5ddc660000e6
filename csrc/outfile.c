#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
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

/* O_EXCL with the pid and a counter: never somebody else's file */
static int outfile_create(ft_outfile *f) {
  size_t room = strlen(f->path) + 64;
  f->temp = malloc(room);
  if (f->temp == NULL)
    return ENOMEM;
  for (unsigned i = 0; i < 1000; i++) {
    snprintf(f->temp, room, "%s.%ld-%u.tmp", f->path, (long)getpid(), i);
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd >= 0 || errno != EEXIST)
      return f->fd >= 0 ? 0 : errno;
  }
  return EEXIST;
}

int ft_outfile_open(ft_outfile *f, const char *path) {
  struct stat st;
  f->fd = -1;
  f->temp = NULL;
  f->path = NULL;
  if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
    return EISDIR; /* known now, not after an hour's download */
  f->path = strdup(path);
  int e = f->path == NULL ? ENOMEM : outfile_create(f);
  if (e != 0)
    outfile_forget(f);
  return e;
}

int ft_outfile_write(ft_outfile *f, const void *bytes, size_t n) {
  const char *p = bytes;
  while (n > 0) {
    ssize_t w = write(f->fd, p, n);
    if (w < 0 && errno == EINTR)
      continue;
    if (w < 0)
      return errno;
    p += w;
    n -= (size_t)w;
  }
  return 0;
}

/* the rename itself must reach the disk too; not every file system can */
static void outfile_sync_directory(const char *path) {
  char *copy = strdup(path);
  if (copy == NULL)
    return;
  char *slash = strrchr(copy, '/');
  if (slash != NULL)
    slash[slash == copy] = '\0';
  int fd = open(slash != NULL ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(copy);
  if (fd < 0)
    return;
  fsync(fd);
  close(fd);
}

int ft_outfile_commit(ft_outfile *f) {
  int fd = f->fd, e = 0;
  f->fd = -1;
  if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
    e = errno;
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
