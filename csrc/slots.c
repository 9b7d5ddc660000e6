#include "slots.h"

#include "jobdir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void path_of(const ft_ticket *t, const char *name, char path[FT_SLOTS_PATH]) {
  snprintf(path, FT_SLOTS_PATH, "%s/%s", t->folder, name);
}

int ft_ticket_draw(ft_ticket *t, const char *folder) {
  char path[FT_SLOTS_PATH];
  struct timespec now;
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    return 0;
  clock_gettime(CLOCK_REALTIME, &now);
  t->folder = folder;
  snprintf(t->name, sizeof t->name, "ticket-%014lld%06ld-%ld", (long long)now.tv_sec,
           now.tv_nsec / 1000, (long)getpid());
  path_of(t, t->name, path);
  t->fd = ft_lock_take(path);
  return t->fd >= 0;
}

/* Is no ticket older than ours? Those of runners that were killed while they waited go. */
static int is_first(const ft_ticket *t) {
  char path[FT_SLOTS_PATH];
  int first = 1;
  DIR *d = opendir(t->folder);
  for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL && first; e = readdir(d)) {
    if (strncmp(e->d_name, "ticket-", 7) != 0 || strcmp(e->d_name, t->name) >= 0)
      continue;
    path_of(t, e->d_name, path);
    pid_t holder = ft_lock_holder(path);
    if (holder == 0)
      unlink(path);
    first = holder <= 0;
  }
  if (d != NULL)
    closedir(d);
  return first;
}

int ft_ticket_try(const ft_ticket *t, int count) {
  char path[FT_SLOTS_PATH], name[32];
  int turn = is_first(t);
  for (int i = 0; i < count && turn; i++) {
    snprintf(name, sizeof name, "slot-%d", i);
    path_of(t, name, path);
    int fd = ft_lock_take(path);
    if (fd >= 0 || errno != EAGAIN)
      return fd;
  }
  errno = EAGAIN;
  return -1;
}

void ft_ticket_drop(ft_ticket *t) {
  char path[FT_SLOTS_PATH];
  path_of(t, t->name, path);
  unlink(path);
  close(t->fd);
}
