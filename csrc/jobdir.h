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

/* job.json: {argv = [program, argument...], env = {name = value}, cwd, grace (s), slots
   (directory), slot_count}; all but argv optional */
typedef struct ft_job {
  char **argv, **env; /* end with NULL; env: "NAME=value", to be added to what there is */
  const char *cwd, *slots;
  int slot_count;
  double grace;
  void *memory[4];
} ft_job;

/* Reads job.json at `path`: 1, or 0 and words */
int ft_job_read(ft_job *job, const char *path, char *why, size_t room);
void ft_job_free(ft_job *job);

typedef struct ft_ending {
  const char *reason; /* "exited", "signal", "cancelled", "not_started" */
  const char *message;
  int code, signal; /* -1: none */
  double started_at, finished_at, wall, cpu;
  double max_rss; /* bytes */
} ft_ending;

/* Writes exit.json, atomically. 0 or an errno. */
int ft_ending_write(const ft_ending *e, const char *path);
/* {"pid": ..., "started_at": ...}, atomically */
int ft_started_write(const char *path, pid_t pid, double at);

#endif
