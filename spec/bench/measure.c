/*
** measure.c: runs a command and says, as its own last line, what that command used:
**   @ user+sys-seconds peak-RSS-KB exit-status voluntary-context-switches user-seconds
** A small program between the bench and its subject, because a child's peak RSS
** begins with that of whoever forked it.
*/
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double seconds(struct timeval t) {
  return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

int main(int argc, char **argv) {
  struct rusage used;
  int status;
  pid_t pid = argc > 1 ? fork() : -1;
  if (pid == 0) {
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  if (pid < 0 || wait4(pid, &status, 0, &used) < 0) {
    fprintf(stderr, "usage: measure command [argument...]\n");
    return 2;
  }
  printf("\n@ %.6f %ld %d %ld %.6f\n", seconds(used.ru_utime) + seconds(used.ru_stime),
         used.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : 128, used.ru_nvcsw,
         seconds(used.ru_utime));
  return 0;
}
