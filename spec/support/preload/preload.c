/*
** preload.c: for specs, by LD_PRELOAD: a program whose clock is FT_SHIFT seconds off, and which
*waits FT_DELAY
** milliseconds before each try to take a lock (so that what others see in that moment can be looked
*at).
*/
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long setting(const char *name) {
  const char *text = getenv(name);
  return text != NULL ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  int r = (int)syscall(SYS_clock_gettime, clock, t);
  if (clock == CLOCK_REALTIME)
    t->tv_sec += setting("FT_SHIFT");
  return r;
}

static int delayed(int fd, int command, void *arg) {
  long delay = command == F_SETLK ? setting("FT_DELAY") : 0;
  struct timespec t = {delay / 1000, delay % 1000 * 1000000};
  if (delay > 0)
    nanosleep(&t, NULL);
  return (int)syscall(SYS_fcntl, fd, command, arg);
}

int fcntl(int fd, int command, ...) {
  va_list args;
  va_start(args, command);
  void *arg = va_arg(args, void *);
  va_end(args);
  return delayed(fd, command, arg);
}

int fcntl64(int fd, int command, ...) {
  va_list args;
  va_start(args, command);
  void *arg = va_arg(args, void *);
  va_end(args);
  return delayed(fd, command, arg);
}
