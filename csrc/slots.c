#include "slots.h"

#include "jobdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, NAME_ROOM = 64, DIGITS = 20 /* of a ticket's number */ };
static const struct timespec SLOT_PAUSE = {0, 100000000};
static const char PREFIX[] = "ticket-";

typedef struct ticket {
  const char *folder;
  char name[NAME_ROOM]; /* ticket-NUMBER-PID: the order of the names is that of the numbers */
  int fd;
} ticket;

static void path_of(const ticket *t, const char *name, char path[PATH_ROOM]) {
  snprintf(path, PATH_ROOM, "%s/%s", t->folder, name);
}

static int is_ticket(const char *name) {
  return strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 && strlen(name) < NAME_ROOM;
}

/* ---- tickets ---- */

/* The number in a ticket's name; 0: it has none */
static unsigned long long number_of(const char *name) {
  char *end;
  errno = 0;
  unsigned long long n = strtoull(name + sizeof PREFIX - 1, &end, 10);
  return errno == 0 && *end == '-' && end - name == sizeof PREFIX - 1 + DIGITS ? n : 0;
}

/* Microseconds, but more than any number there is: a clock that was set back puts nobody first */
static unsigned long long next_number(const char *folder) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  unsigned long long n =
      (unsigned long long)now.tv_sec * 1000000 + (unsigned long)now.tv_nsec / 1000;
  DIR *d = opendir(folder);
  for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
    unsigned long long other = is_ticket(e->d_name) ? number_of(e->d_name) : 0;
    if (other >= n && other + 1 > other)
      n = other + 1;
  }
  if (d != NULL)
    closedir(d);
  return n;
}

static int draw(ticket *t, const char *folder) {
  char path[PATH_ROOM];
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    return 0;
  t->folder = folder;
  snprintf(t->name, sizeof t->name, "%s%0*llu-%ld", PREFIX, DIGITS, next_number(folder),
           (long)getpid());
  path_of(t, t->name, path);
  t->fd = ft_lock_take(path);
  return t->fd >= 0;
}

static void drop(ticket *t) {
  char path[PATH_ROOM];
  path_of(t, t->name, path);
  unlink(path);
  close(t->fd);
}

/* The last ticket before ours; 0: there is none */
static int find_previous(const ticket *t, char previous[NAME_ROOM]) {
  DIR *d = opendir(t->folder);
  previous[0] = '\0';
  for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d))
    if (is_ticket(e->d_name) && strcmp(e->d_name, t->name) < 0 && strcmp(e->d_name, previous) > 0)
      strcpy(previous, e->d_name);
  if (d != NULL)
    closedir(d);
  return previous[0] != '\0';
}

/* ---- waiting ---- */

static volatile sig_atomic_t told;

/* A signal that comes right before a wait does not interrupt it: the alarm will */
static void note(int sig) {
  if (sig != SIGALRM)
    told = 1;
  alarm(1);
}

/* From here on (on = 1) the signals end waits, as they come; then they are blocked, as before */
static void take_signals(int on) {
  struct sigaction action;
  sigset_t set;
  memset(&action, 0, sizeof action);
  action.sa_handler = on ? note : SIG_DFL;
  sigemptyset(&action.sa_mask);
  sigemptyset(&set);
  for (const int *sig = (const int[]){SIGTERM, SIGINT, SIGALRM, 0}; *sig != 0; sig++)
    sigaddset(&set, *sig);
  if (!on) {
    sigprocmask(SIG_BLOCK, &set, NULL);
    alarm(0);
  }
  for (const int *sig = (const int[]){SIGTERM, SIGINT, SIGALRM, 0}; *sig != 0; sig++)
    sigaction(*sig, &action, NULL);
  if (on)
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Until that ticket is nobody's, or a signal came. One that its holder, killed, has left goes. */
static void await_end_of(const char *path) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return;
  if (fcntl(fd, F_SETLKW, &lock) == 0)
    unlink(path);
  else if (errno != EINTR)
    nanosleep(&SLOT_PAUSE, NULL);
  close(fd);
}

/* One slot's descriptor, or -1 */
static int try_slots(const ticket *t, int count) {
  char path[PATH_ROOM], name[32];
  int fd = -1;
  for (int i = 0; i < count && fd < 0; i++) {
    snprintf(name, sizeof name, "slot-%d", i);
    path_of(t, name, path);
    fd = ft_lock_take(path);
    if (fd < 0 && errno != EAGAIN)
      return -1;
  }
  return fd;
}

static int wait_for_slot(const ticket *t, int count) {
  char previous[NAME_ROOM], path[PATH_ROOM];
  while (!told) {
    if (find_previous(t, previous)) {
      path_of(t, previous, path);
      await_end_of(path);
      continue;
    }
    int fd = try_slots(t, count);
    if (fd >= 0 || errno != EAGAIN)
      return fd;
    nanosleep(&SLOT_PAUSE, NULL);
  }
  return -1;
}

static ticket mine;

int ft_slot_queue(const char *folder) {
  return draw(&mine, folder);
}

int ft_slot_take(int count) {
  told = 0;
  take_signals(1);
  int slot = wait_for_slot(&mine, count), e = errno;
  take_signals(0);
  drop(&mine);
  if (told && slot >= 0)
    close(slot);
  errno = told ? EINTR : e;
  return told ? -1 : slot;
}
