/*
** finetune-run [-d | -r] JOBDIR: runs one training job, a program of its own without Lua.
**
** It takes the lock of JOBDIR (held as long as it lives: "is it running" is a test of
** that lock, never a guess from a pid), waits for a slot, runs the steps of job.json with
** their output in JOBDIR/log, and writes how it ended to exit.json. SIGTERM or SIGINT
** cancel: the trainer gets SIGTERM, then, after a time of grace, SIGKILL. With -d it goes
** into the background, in a session of its own, once it has the lock and its place in the
** queue. With -r it runs a job again from its beginning: it waits for an earlier runner to
** end, and forgets that end.
**
** Exit status: 0 the trainer ran (exit.json says how it ended), 1 it did not, 2 usage.
*/
#include "jobdir.h"
#include "slots.h"
#include "trainer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 512, RESERVE = 8192 /* bytes */, EARLIER = 60 /* s that -r waits */ };

static int cancelled; /* SIGTERM or SIGINT has come */
static char words[WORDS];

static double wall(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
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
  pid_t pid = ft_trainer_start(job, step);
  e->step++;
  if (pid < 0) {
    not_started(e, step->argv[0]);
    return 0;
  }
  if (e->started_at == 0)
    e->started_at = wall(CLOCK_REALTIME);
  ft_started_write("started.json", pid, e->started_at);
  int status = ft_trainer_end(job, pid, &cancelled);
  measure(e, status);
  return status == 0 && !cancelled;
}

static void run(const ft_job *job, ft_ending *e) {
  int slot = job->slots != NULL ? ft_slot_take(job->slot_count) : 0;
  if (slot < 0) {
    cancelled = errno == EINTR;
    not_started(e, job->slots);
    return;
  }
  double began = wall(CLOCK_MONOTONIC);
  for (int i = 0; i < job->nsteps && run_step(job, &job->steps[i], e); i++)
    ;
  e->wall = wall(CLOCK_MONOTONIC) - began;
}

/* To whoever started us with -d: jobs that are started one after another queue in that order. If it
   has been killed nobody listens, and the job is run all the same. */
static void tell_parent(int tell) {
  if (tell >= 0 && write(tell, "", 1) <= 0)
    fputs("finetune-run: whoever started it is gone\n", stderr);
  if (tell >= 0)
    close(tell);
}

static int run_job(int tell) {
  ft_job job;
  ft_ending e = {"not_started", words, 0, -1, -1, 0, 0, 0, 0, 0};
  ft_trainer_prepare();
  reserve();
  int good = ft_job_read(&job, "job.json", words, sizeof words);
  if (good && job.slots != NULL && !ft_slot_queue(job.slots)) {
    not_started(&e, job.slots);
    good = 0;
  }
  tell_parent(tell);
  if (good)
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

/* The parent goes when the child has the lock and its place: it says so by a byte */
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
  return run_job(tell);
}
