/*
** trainer.h: one step of a job as a child process with a group of its own, from its start until
** nothing of it is left. No Lua.
*/
#ifndef FT_TRAINER_H
#define FT_TRAINER_H

#include "jobdir.h"

/* Before all else: the signals that are waited for are blocked, and orphans come to us */
void ft_trainer_prepare(void);
/* Starts it -> its pid, or -1 and errno */
pid_t ft_trainer_start(const ft_job *job, const ft_step *step);
/* Waits until it has ended, and ends what it left; SIGTERM and SIGINT are handed on, set
 *cancelled, and after the time of grace SIGKILL follows -> its wait status */
int ft_trainer_end(const ft_job *job, pid_t pid, int *cancelled);

#endif
