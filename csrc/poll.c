#include "poll.h"

#include "fd.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double ft_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { POLL_BATCH = 64 };

#ifdef __linux__

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

int ft_poll_open(ft_poll *p) {
  p->fd = ft_fd_own(epoll_create1(EPOLL_CLOEXEC));
  if (p->fd < 0)
    return errno;
  p->timer = ft_fd_own(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  struct epoll_event ev = {.events = EPOLLIN, .data = {.fd = p->timer}};
  if (p->timer < 0 || epoll_ctl(p->fd, EPOLL_CTL_ADD, p->timer, &ev) != 0) {
    int e = errno;
    ft_poll_close(p);
    return e;
  }
  return 0;
}

void ft_poll_close(ft_poll *p) {
  int fd = p->fd, timer = p->timer;
  p->fd = p->timer = -1;
  if (timer >= 0)
    close(timer);
  if (fd >= 0)
    close(fd);
}

/* MOD first, ADD where it is unknown; errors of DEL do not matter: libcurl may
   close a socket before it says so, or without saying so */
void ft_poll_watch(ft_poll *p, int fd, int events) {
  struct epoll_event ev;
  memset(&ev, 0, sizeof ev);
  ev.data.fd = fd;
  ev.events = (events & FT_IN ? EPOLLIN : 0u) | (events & FT_OUT ? EPOLLOUT : 0u);
  if (events == 0)
    epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, &ev);
  else if (epoll_ctl(p->fd, EPOLL_CTL_MOD, fd, &ev) != 0 && errno == ENOENT)
    epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &ev);
}

void ft_poll_arm(ft_poll *p, double seconds) {
  struct itimerspec t;
  memset(&t, 0, sizeof t);
  if (seconds >= 0) { /* an all-zero value would disarm: "now" is one nanosecond */
    t.it_value.tv_sec = (time_t)seconds;
    t.it_value.tv_nsec = (long)((seconds - (double)t.it_value.tv_sec) * 1e9);
    if (t.it_value.tv_sec == 0 && t.it_value.tv_nsec == 0)
      t.it_value.tv_nsec = 1;
  }
  timerfd_settime(p->timer, 0, &t, NULL);
}

static int event_flags(uint32_t events) {
  return (events & EPOLLIN ? FT_IN : 0) | (events & EPOLLOUT ? FT_OUT : 0) |
         (events & (EPOLLERR | EPOLLHUP) ? FT_HUP : 0);
}

int ft_poll_wait(ft_poll *p, ft_event *ev, int max, int ms) {
  struct epoll_event got[POLL_BATCH];
  int n = epoll_wait(p->fd, got, max < POLL_BATCH ? max : POLL_BATCH, ms), kept = 0;
  for (int i = 0; i < n; i++) {
    if (got[i].data.fd == p->timer) {
      uint64_t times; /* reading makes the set quiet again */
      ssize_t r = read(p->timer, &times, sizeof times);
      (void)r;
      continue;
    }
    ev[kept].fd = got[i].data.fd;
    ev[kept++].events = event_flags(got[i].events);
  }
  return kept;
}

#else /* kqueue: BSD, macOS */

#include <fcntl.h>
#include <sys/event.h>
#include <sys/time.h>
#include <sys/types.h>

int ft_poll_open(ft_poll *p) {
  p->timer = -1;
  p->fd = ft_fd_own(kqueue());
  if (p->fd < 0)
    return errno;
  fcntl(p->fd, F_SETFD, FD_CLOEXEC);
  return 0;
}

void ft_poll_close(ft_poll *p) {
  int fd = p->fd;
  p->fd = -1;
  if (fd >= 0)
    close(fd);
}

static void kqueue_filter(ft_poll *p, int fd, short filter, int on) {
  struct kevent k;
  EV_SET(&k, (uintptr_t)fd, filter, on ? EV_ADD : EV_DELETE, 0, 0, NULL);
  kevent(p->fd, &k, 1, NULL, 0, NULL);
}

void ft_poll_watch(ft_poll *p, int fd, int events) {
  kqueue_filter(p, fd, EVFILT_READ, events & FT_IN);
  kqueue_filter(p, fd, EVFILT_WRITE, events & FT_OUT);
}

void ft_poll_arm(ft_poll *p, double seconds) {
  struct kevent k;
  EV_SET(&k, 1, EVFILT_TIMER, seconds < 0 ? EV_DELETE : EV_ADD | EV_ONESHOT, 0,
         (intptr_t)(seconds * 1000 + 0.999), NULL);
  kevent(p->fd, &k, 1, NULL, 0, NULL);
}

int ft_poll_wait(ft_poll *p, ft_event *ev, int max, int ms) {
  struct kevent got[POLL_BATCH];
  struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
  int n = kevent(p->fd, NULL, 0, got, max < POLL_BATCH ? max : POLL_BATCH, ms < 0 ? NULL : &t);
  int kept = 0;
  for (int i = 0; i < n; i++) {
    if (got[i].filter == EVFILT_TIMER)
      continue;
    ev[kept].fd = (int)got[i].ident;
    ev[kept].events = got[i].filter == EVFILT_READ ? FT_IN : FT_OUT;
    if (got[i].flags & EV_ERROR)
      ev[kept].events |= FT_HUP;
    kept++;
  }
  return kept;
}

#endif
