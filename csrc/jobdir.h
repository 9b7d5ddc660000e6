/*
** jobdir.h: the directory of one training job, as files: what is to be run (job.json),
** who runs it (lock), how it ended (exit.json). No Lua; the runner and the
** core both use it.
**
** A lock is POSIX's (fcntl): it goes with its process, however that ends, works over
** NFS, and tells the pid of who holds it.
*/
#ifndef FT_JOBDIR_H
#define FT_JOBDIR_H

#include <stddef.h>
#include <sys/types.h>

/* Takes the lock of the file: its descriptor; -1: errno says why (EAGAIN: it is held) */
int ft_lock_take(const char *path);
/* The process that holds the lock of the file; 0: nobody; -1: errno (no file: ENOENT) */
pid_t ft_lock_holder(const char *path);

typedef struct ft_step {
  char **argv;          /* program and arguments, ends with NULL */
  const char *in, *out; /* paths, or NULL: nothing to read; the log */
} ft_step;

/* job.json: {steps = [{argv = [program, argument...], stdin, stdout}...], env = {name = value},
   cwd, grace (s), slots (directory), slot_count}; all but steps and argv optional. One step runs
   after another; the first that fails is the last. */
typedef struct ft_job {
  ft_step *steps;
  int nsteps;
  char **env; /* "NAME=value", to be added to what there is; ends with NULL; or NULL */
  const char *cwd, *slots;
  int slot_count;
  double grace;
  char *text; /* what the strings above are in */
} ft_job;

/* Reads job.json at `path`: 1, or 0 and words */
int ft_job_read(ft_job *job, const char *path, char *why, size_t room);
void ft_job_free(ft_job *job);

typedef struct ft_ending {
  const char *reason; /* "exited", "signal", "cancelled", "not_started" */
  const char *message;
  int step;         /* the last that began, from 1; 0: none */
  int code, signal; /* of it; -1: none */
  double started_at, finished_at, wall, cpu;
  double max_rss; /* bytes */
} ft_ending;

/* Writes exit.json, atomically. 0 or an errno. */
int ft_ending_write(const ft_ending *e, const char *path);
/* {"pid": ..., "started_at": ...}, atomically */
int ft_started_write(const char *path, pid_t pid, double at);

#endif
