/*
** poll.h: a set of descriptors with one timer inside: epoll and a timerfd on
** Linux, kqueue elsewhere. The set is itself a descriptor, which is readable
** when something in it is ready or the timer has run out, so that a host loop
** watches one descriptor and nothing else. No Lua, no curl.
*/
#ifndef FT_POLL_H
#define FT_POLL_H

enum { FT_IN = 1, FT_OUT = 2, FT_HUP = 4 };

typedef struct ft_poll {
  int fd;    /* the set, -1 when closed */
  int timer; /* timerfd, -1 on kqueue */
} ft_poll;

typedef struct ft_event {
  int fd;
  int events; /* FT_IN | FT_OUT | FT_HUP */
} ft_event;

int ft_poll_open(ft_poll *p);                       /* 0, or errno */
void ft_poll_close(ft_poll *p);                     /* idempotent */
void ft_poll_watch(ft_poll *p, int fd, int events); /* events 0: forget fd */
void ft_poll_arm(ft_poll *p, double seconds);       /* from now; < 0: disarm */
/* fills ev with at most max ready descriptors, the timer not among them; ms < 0 waits for ever */
int ft_poll_wait(ft_poll *p, ft_event *ev, int max, int ms);
double ft_now(void); /* monotonic, seconds */

#endif
