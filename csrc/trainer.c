#include "trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static sigset_t awaited; /* blocked always, taken by sigwait */

void ft_trainer_prepare(void) {
  sigemptyset(&awaited);
  for (const int *sig = (const int[]){SIGTERM, SIGINT, SIGCHLD, SIGALRM, 0}; *sig != 0; sig++)
    sigaddset(&awaited, *sig);
  sigprocmask(SIG_BLOCK, &awaited, NULL);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
#ifdef PR_SET_CHILD_SUBREAPER
  prctl(PR_SET_CHILD_SUBREAPER, 1L);
#endif
}

static void alarm_in(double seconds) {
  struct itimerval t = {{0, 0}, {0, 0}};
  t.it_value.tv_sec = (time_t)seconds;
  t.it_value.tv_usec = (suseconds_t)((seconds - (double)t.it_value.tv_sec) * 1e6);
  if (seconds > 0 && t.it_value.tv_sec == 0 && t.it_value.tv_usec == 0)
    t.it_value.tv_usec = 1;
  setitimer(ITIMER_REAL, &t, NULL);
}

/* The next signal that matters */
static int next_signal(void) {
  int sig = 0;
  while (sigwait(&awaited, &sig) != 0)
    ;
  return sig;
}

/* ---- the watchdog ---- */

/* A process that does nothing but outlive us: when we are killed, its end of the pipe tells it,
   and it ends the trainer's group, which knows nothing of us. pid: 0 where there is none. */
static struct {
  pid_t pid;
  int leash;
} watchdog = {0, -1};

static void let_go(void) {
  if (watchdog.leash >= 0)
    close(watchdog.leash);
  watchdog.pid = 0;
  watchdog.leash = -1;
}

static void guard(pid_t group) {
  int ends[2];
  char byte;
  let_go();
  if (pipe(ends) != 0)
    return;
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[1]);
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
      ;
    kill(-group, SIGKILL);
    _exit(0);
  }
  close(ends[0]);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  watchdog.pid = pid > 0 ? pid : 0;
  watchdog.leash = ends[1];
}

static void unguard(void) {
  if (watchdog.pid > 0) {
    kill(watchdog.pid, SIGKILL); /* before the pipe closes: the group is swept by ourselves */
    waitpid(watchdog.pid, NULL, 0);
  }
  let_go();
}

/* ---- its beginning ---- */

/* 1 where `fd` is that file now, or nothing was asked */
static int redirect(const char *path, int fd, int flags) {
  int opened = path != NULL ? open(path, flags | O_CLOEXEC, 0666) : fd;
  return opened >= 0 && (opened == fd || dup2(opened, fd) >= 0);
}

/* In the child: never returns. It begins when `go` says so; a failure is told through `report`. */
static void become_trainer(const ft_job *job, const ft_step *step, int go, int report) {
  char byte;
  sigset_t none;
  sigemptyset(&none);
  setpgid(0, 0);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* a killed runner takes its trainer along */
#endif
  if (read(go, &byte, 1) != 1) /* the runner was killed before it had a watchdog */
    _exit(127);
  close(go);
  signal(SIGHUP, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (char **pair = job->env; pair != NULL && *pair != NULL; pair++)
    putenv(*pair);
  if ((job->cwd == NULL || chdir(job->cwd) == 0) && redirect(step->in, 0, O_RDONLY) &&
      redirect(step->out, 1, O_WRONLY | O_CREAT | O_TRUNC))
    execvp(step->argv[0], step->argv);
  int e = errno;
  while (write(report, &e, sizeof e) < 0 && errno == EINTR)
    ;
  _exit(127);
}

/* The reader of two ends is the first; neither goes to the trainer */
static int make_pipe(int ends[2]) {
  if (pipe(ends) != 0)
    return 0;
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  return 1;
}

/* The child has been forked: it may begin, now that it is watched -> 0, or the errno of its exec */
static int let_begin(pid_t pid, int go, int report) {
  int e = 0;
  setpgid(pid, pid); /* both do it: whoever comes first */
  guard(pid);
  while (write(go, "", 1) < 0 && errno == EINTR)
    ;
  while (read(report, &e, sizeof e) < 0 && errno == EINTR)
    ;
  if (e != 0) {
    waitpid(pid, NULL, 0);
    unguard();
  }
  return e;
}

pid_t ft_trainer_start(const ft_job *job, const ft_step *step) {
  int report[2], go[2], e;
  if (!make_pipe(report))
    return -1;
  if (!make_pipe(go)) {
    e = errno;
    close(report[0]);
    close(report[1]);
    errno = e;
    return -1;
  }
  pid_t pid = fork();
  e = errno;
  if (pid == 0) {
    close(go[1]);
    become_trainer(job, step, go[0], report[1]);
  }
  close(go[0]);
  close(report[1]);
  if (pid > 0)
    e = let_begin(pid, go[1], report[0]);
  close(go[1]);
  close(report[0]);
  errno = e;
  return pid > 0 && e == 0 ? pid : -1;
}

/* ---- its end ---- */

/* Takes the children that have ended: 1 where the trainer is one of them. A watchdog that somebody
   killed has its number no more, which may soon be another's; a new one takes its place. */
static int reap(pid_t pid, int *status) {
  int one, ended = 0;
  for (pid_t child = waitpid(-1, &one, WNOHANG); child > 0; child = waitpid(-1, &one, WNOHANG))
    if (child == pid) {
      *status = one;
      ended = 1;
    } else if (child == watchdog.pid)
      let_go();
  if (!ended && watchdog.pid == 0)
    guard(pid);
  return ended;
}

static void cancel(const ft_job *job, pid_t pid, int *cancelled) {
  if (*cancelled)
    return;
  *cancelled = 1;
  kill(-pid, SIGTERM);
  kill(-pid, SIGCONT); /* one that is paused could not act on it */
  alarm_in(job->grace > 0 ? job->grace : 0.001);
}

/* What the trainer left running: its group, and whatever was handed to us when it died */
static void sweep(pid_t group, int *cancelled) {
  char path[64];
  long orphan;
  kill(-group, SIGKILL);
  snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
  for (int i = 0; i < 100; i++) {
    alarm_in(0);
    FILE *f = fopen(path, "re");
    while (f != NULL && fscanf(f, "%ld", &orphan) == 1)
      kill((pid_t)orphan, SIGKILL);
    if (f != NULL)
      fclose(f);
    if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
      return;
    alarm_in(0.02);
    int sig = next_signal();
    *cancelled |= sig == SIGTERM || sig == SIGINT; /* no further step then */
  }
  alarm_in(0);
}

int ft_trainer_end(const ft_job *job, pid_t pid, int *cancelled) {
  int status = 0;
  for (int ended = 0; !ended;) {
    int sig = next_signal();
    if (sig == SIGALRM && *cancelled)
      kill(-pid, SIGKILL);
    else if (sig == SIGTERM || sig == SIGINT)
      cancel(job, pid, cancelled);
    else if (sig == SIGCHLD)
      ended = reap(pid, &status);
  }
  alarm_in(0);
  unguard();
  sweep(pid, cancelled);
  return status;
}
