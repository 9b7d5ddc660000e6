#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAKE = O_WRONLY | O_CREAT | O_TRUNC, MODE = 0666 };

static const char *or_null(const char *path) {
  return path != NULL ? path : "/dev/null";
}

/* Everything from 3 up is ours, or our host's: not every one is marked CLOEXEC */
static int close_others(posix_spawn_file_actions_t *actions) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 34))
  return posix_spawn_file_actions_addclosefrom_np(actions, 3);
#else
  (void)actions; /* POSIX_SPAWN_CLOEXEC_DEFAULT does it on macOS, see spawn_flags */
  return 0;
#endif
}

static int add_actions(posix_spawn_file_actions_t *actions, const ft_proc_spec *spec) {
  int e = posix_spawn_file_actions_addopen(actions, 0, or_null(spec->in), O_RDONLY, 0);
  if (e == 0)
    e = posix_spawn_file_actions_addopen(actions, 1, or_null(spec->out), MAKE, MODE);
  if (e == 0)
    e = posix_spawn_file_actions_addopen(actions, 2, or_null(spec->err), MAKE, MODE);
  if (e == 0 && spec->cwd != NULL)
    e = posix_spawn_file_actions_addchdir_np(actions, spec->cwd);
  return e == 0 ? close_others(actions) : e;
}

static short spawn_flags(void) {
  short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#ifdef POSIX_SPAWN_CLOEXEC_DEFAULT
  flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#endif
  return flags;
}

/* What the host does with signals is not the child's business */
static int set_attributes(posix_spawnattr_t *attr) {
  static const int defaults[] = {SIGPIPE, SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
    sigaddset(&usual, defaults[i]);
  int e = posix_spawnattr_setsigmask(attr, &none);
  if (e == 0)
    e = posix_spawnattr_setsigdefault(attr, &usual);
  if (e == 0)
    e = posix_spawnattr_setpgroup(attr, 0);
  return e == 0 ? posix_spawnattr_setflags(attr, spawn_flags()) : e;
}

int ft_proc_spawn(const ft_proc_spec *spec, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  int e = posix_spawn_file_actions_init(&actions);
  if (e != 0)
    return e;
  e = posix_spawnattr_init(&attr);
  if (e == 0) {
    e = add_actions(&actions, spec);
    if (e == 0)
      e = set_attributes(&attr);
    if (e == 0)
      e = posix_spawnp(pid, spec->argv[0], &actions, &attr, spec->argv,
                       spec->env != NULL ? spec->env : environ);
    posix_spawnattr_destroy(&attr);
  }
  posix_spawn_file_actions_destroy(&actions);
  return e;
}

int ft_proc_ended(pid_t pid, int *status) {
  pid_t r;
  do
    r = waitpid(pid, status, WNOHANG);
  while (r < 0 && errno == EINTR);
  if (r < 0)
    *status = -1;
  return r != 0;
}

void ft_proc_end(pid_t pid) {
  kill(-pid, SIGKILL);
  kill(pid, SIGKILL); /* before it had its group */
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    ;
}
