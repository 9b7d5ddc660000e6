/*
** finetune-run [-d | -r] JOBDIR: runs one training job, a program of its own without Lua.
**
** It takes the lock of JOBDIR (held as long as it lives: "is it running" is a test of
** that lock, never a guess from a pid), waits for a slot, runs the steps of job.json with
** their output in JOBDIR/log, and writes how it ended to exit.json. SIGTERM or SIGINT
** cancel: the trainer gets SIGTERM, then, after a time of grace, SIGKILL. With -d it goes
** into the background, in a session of its own, once it has the lock. With -r it runs a job
** again from its beginning: it waits for an earlier runner to end, and forgets that end.
**
** Exit status: 0 the trainer ran (exit.json says how it ended), 1 it did not, 2 usage.
*/
#include "jobdir.h"
#include "slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { WORDS = 512, RESERVE = 8192 /* bytes */, EARLIER = 60 /* s that -r waits */ };
static const double SLOT_PAUSE = 0.1; /* s */

static sigset_t awaited; /* blocked always, taken by sigwait */
static int cancelled;    /* SIGTERM or SIGINT has come */
static char words[WORDS];

static double wall(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
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

/* ---- before the trainer: a descriptor each for nothing but what is ours ---- */

static void close_others(int keep) {
  long most = sysconf(_SC_OPEN_MAX);
  DIR *d = opendir("/proc/self/fd");
  if (d == NULL) {
    for (int fd = 3; fd < (most > 0 && most < 65536 ? most : 1024); fd++)
      if (fd != keep)
        close(fd);
    return;
  }
  for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
    int fd = atoi(e->d_name);
    if (fd >= 3 && fd != keep && fd != dirfd(d))
      close(fd);
  }
  closedir(d);
}

static int open_output(void) {
  int null = open("/dev/null", O_RDONLY);
  int log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
    return 0;
  if (null > 2)
    close(null);
  if (log > 2)
    close(log);
  return 1;
}

/* ---- the trainer ---- */

/* 1 where `fd` is that file now, or nothing was asked */
static int redirect(const char *path, int fd, int flags) {
  int opened = path != NULL ? open(path, flags | O_CLOEXEC, 0666) : fd;
  return opened >= 0 && (opened == fd || dup2(opened, fd) >= 0);
}

/* In the child: never returns. A failure is told through `report`. */
static void become_trainer(const ft_job *job, const ft_step *step, pid_t runner, int report) {
  sigset_t none;
  sigemptyset(&none);
  setpgid(0, 0);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* a killed runner takes its trainer along */
#endif
  if (getppid() != runner)
    _exit(127);
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

/* Starts it: its pid, or -1 and errno */
static pid_t start_trainer(const ft_job *job, const ft_step *step) {
  int report[2], e = 0;
  pid_t runner = getpid();
  if (pipe(report) != 0)
    return -1;
  fcntl(report[0], F_SETFD, FD_CLOEXEC);
  fcntl(report[1], F_SETFD, FD_CLOEXEC);
  pid_t pid = fork();
  if (pid == 0)
    become_trainer(job, step, runner, report[1]);
  e = errno;
  close(report[1]);
  if (pid > 0) {
    setpgid(pid, pid); /* both do it: whoever comes first */
    e = 0;
    while (read(report[0], &e, sizeof e) < 0 && errno == EINTR)
      ;
    if (e != 0)
      waitpid(pid, NULL, 0);
  }
  close(report[0]);
  errno = e;
  return e == 0 ? pid : -1;
}

/* A process that does nothing but outlive us: when we are killed, its end of the pipe tells it,
   and it ends the trainer's group, which knows nothing of us. -1: there is none. */
static int leash = -1;

static pid_t guard(pid_t group) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0)
    return -1;
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
  leash = ends[1];
  return pid;
}

static void unguard(pid_t pid) {
  if (pid > 0) {
    kill(pid, SIGKILL); /* before the pipe closes: the group is swept by ourselves */
    waitpid(pid, NULL, 0);
  }
  if (leash >= 0)
    close(leash);
  leash = -1;
}

/* Waits for its end, and hands on what it is to be told -> its wait status */
static int supervise(const ft_job *job, pid_t pid) {
  int status;
  for (;;) {
    int sig = next_signal();
    if (sig == SIGALRM)
      kill(-pid, SIGKILL);
    if ((sig == SIGTERM || sig == SIGINT) && !cancelled) {
      cancelled = 1;
      kill(-pid, SIGTERM);
      kill(-pid, SIGCONT); /* one that is paused could not act on it */
      alarm_in(job->grace > 0 ? job->grace : 0.001);
    }
    if (sig == SIGCHLD)
      for (pid_t child = waitpid(-1, &status, WNOHANG); child > 0;
           child = waitpid(-1, &status, WNOHANG))
        if (child == pid)
          return status;
  }
}

/* What the trainer left running: its group, and whatever was handed to us when it died */
static void sweep(pid_t group) {
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
    cancelled |= sig == SIGTERM || sig == SIGINT; /* no further step then */
  }
  alarm_in(0);
}

/* ---- the ending ---- */

/* Where the disk is full, the reserve makes room for these few bytes */
static int write_ending(const ft_ending *e) {
  int r = ft_ending_write(e, "exit.json");
  unlink("reserve");
  return r == 0 ? 0 : ft_ending_write(e, "exit.json");
}

static void reserve(void) {
  static const char zeros[RESERVE];
  int fd = open("reserve", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0)
    return;
  if (write(fd, zeros, sizeof zeros) < (ssize_t)sizeof zeros)
    unlink("reserve");
  close(fd);
}

static void measure(ft_ending *e, int status) {
  struct rusage use;
  getrusage(RUSAGE_CHILDREN, &use);
  e->cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
  e->max_rss = (double)use.ru_maxrss * 1024;
  e->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  e->signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1;
  e->reason = cancelled ? "cancelled" : WIFSIGNALED(status) ? "signal" : "exited";
}

static void not_started(ft_ending *e, const char *what) {
  e->reason = cancelled ? "cancelled" : "not_started";
  if (!cancelled && what != NULL)
    snprintf(words, sizeof words, "%s: %s", what, strerror(errno));
  e->message = cancelled ? "cancelled before it began" : words;
}

/* One step to its end; 0: the last one */
static int run_step(const ft_job *job, const ft_step *step, ft_ending *e) {
  pid_t pid = start_trainer(job, step);
  e->step++;
  if (pid < 0) {
    not_started(e, step->argv[0]);
    return 0;
  }
  if (e->started_at == 0)
    e->started_at = wall(CLOCK_REALTIME);
  ft_started_write("started.json", pid, e->started_at);
  pid_t watchdog = guard(pid);
  int status = supervise(job, pid);
  alarm_in(0);
  unguard(watchdog);
  sweep(pid);
  measure(e, status);
  return status == 0 && !cancelled;
}

/* The slot's descriptor, or -1: cancelled, or errno */
static int wait_for_slot(const ft_job *job) {
  ft_ticket ticket;
  int slot = -1;
  if (!ft_ticket_draw(&ticket, job->slots))
    return -1;
  while ((slot = ft_ticket_try(&ticket, job->slot_count)) < 0 && errno == EAGAIN) {
    alarm_in(SLOT_PAUSE);
    int sig = next_signal();
    cancelled |= sig == SIGTERM || sig == SIGINT;
    errno = EINTR;
    if (cancelled)
      break;
  }
  int e = errno;
  alarm_in(0);
  ft_ticket_drop(&ticket);
  errno = e;
  return slot;
}

static void run(const ft_job *job, ft_ending *e) {
  int slot = job->slots != NULL ? wait_for_slot(job) : 0;
  if (slot < 0) {
    not_started(e, job->slots);
    return;
  }
  double began = wall(CLOCK_MONOTONIC);
  for (int i = 0; i < job->nsteps && run_step(job, &job->steps[i], e); i++)
    ;
  e->wall = wall(CLOCK_MONOTONIC) - began;
}

static int run_job(void) {
  ft_job job;
  ft_ending e = {"not_started", words, 0, -1, -1, 0, 0, 0, 0, 0};
  sigemptyset(&awaited);
  for (const int *sig = (const int[]){SIGTERM, SIGINT, SIGCHLD, SIGALRM, 0}; *sig != 0; sig++)
    sigaddset(&awaited, *sig);
  sigprocmask(SIG_BLOCK, &awaited, NULL);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
#ifdef PR_SET_CHILD_SUBREAPER
  prctl(PR_SET_CHILD_SUBREAPER, 1L);
#endif
  reserve();
  if (ft_job_read(&job, "job.json", words, sizeof words))
    run(&job, &e);
  e.finished_at = wall(CLOCK_REALTIME);
  int r = write_ending(&e);
  if (r != 0)
    fprintf(stderr, "finetune-run: exit.json: %s\n", strerror(r));
  ft_job_free(&job);
  return r == 0 && e.started_at > 0 ? 0 : 1;
}

/* ---- into the background ---- */

static int complain(const char *what) {
  fprintf(stderr, "finetune-run: %s: %s\n", what,
          errno == EAGAIN ? "the job has a runner already" : strerror(errno));
  return 1;
}

/* The parent goes when the child has the lock: it says so by a byte */
static int detach(int *tell) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0)
    return complain("pipe");
  pid_t pid = fork();
  if (pid < 0)
    return complain("fork");
  if (pid > 0) {
    close(ends[1]);
    ssize_t n = read(ends[0], &byte, 1);
    if (n != 1)
      waitpid(pid, NULL, 0);
    _exit(n == 1 ? 0 : 1);
  }
  close(ends[0]);
  setsid();
  *tell = ends[1];
  return 0;
}

static int has_ended(void) {
  if (access("exit.json", F_OK) != 0)
    return 0;
  fputs("finetune-run: exit.json: the job has ended already\n", stderr);
  return 1;
}

/* Takes the lock and, to run again, waits for who has it; the files of the earlier run go when
   nobody can write them any more */
static int take_lock(int again) {
  const struct timespec pause = {0, 100000000};
  double until = wall(CLOCK_MONOTONIC) + EARLIER;
  int fd = ft_lock_take("lock");
  while (fd < 0 && errno == EAGAIN && again && wall(CLOCK_MONOTONIC) < until) {
    nanosleep(&pause, NULL);
    fd = ft_lock_take("lock");
  }
  if (fd >= 0 && again) {
    unlink("exit.json");
    unlink("started.json");
  }
  return fd >= 0;
}

/* JOBDIR, and whether -d or -r came before it; NULL: neither */
static const char *arguments(int argc, char **argv, int *background, int *again) {
  *background = argc == 3 && strcmp(argv[1], "-d") == 0;
  *again = argc == 3 && strcmp(argv[1], "-r") == 0;
  return argc == 2 + *background + *again ? argv[argc - 1] : NULL;
}

int main(int argc, char **argv) {
  int background, again, tell = -1;
  const char *dir = arguments(argc, argv, &background, &again);
  if (dir == NULL) {
    fputs("usage: finetune-run [-d | -r] JOBDIR\n", stderr);
    return 2;
  }
  if (chdir(dir) != 0)
    return complain(dir);
  if (!again && has_ended())
    return 1;
  if (background && detach(&tell) != 0)
    return 1;
  if (!background)
    setsid(); /* fails where we lead a group already, and then changes nothing */
  close_others(tell);
  if (!take_lock(again))
    return complain("lock");
  if (has_ended()) /* while we came for the lock */
    return 1;
  if (!open_output())
    return complain("log");
  if (tell >= 0) {
    if (write(tell, "", 1) < 0)
      return 1;
    close(tell);
  }
  return run_job();
}
