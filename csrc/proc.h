/*
** proc.h: child processes. Started from an argv, never through a shell, in a process
** group of their own, with none of our descriptors. No Lua.
*/
#ifndef FT_PROC_H
#define FT_PROC_H

#include <sys/types.h>

typedef struct ft_proc_spec {
  char *const *argv; /* argv[0] is looked for in PATH */
  char *const *env;  /* the whole environment, NULL: ours */
  const char *cwd;   /* or NULL */
  const char *in;    /* paths, or NULL: /dev/null; out and err are made, and emptied */
  const char *out, *err;
} ft_proc_spec;

/* Starts it: 0 and *pid, or an errno, that of exec included */
int ft_proc_spawn(const ft_proc_spec *spec, pid_t *pid);

/* Has it ended? 1 and its wait status (-1: somebody else took it), or 0 */
int ft_proc_ended(pid_t pid, int *status);

/* Kills it with its whole group and waits until it is gone */
void ft_proc_end(pid_t pid);

#endif
