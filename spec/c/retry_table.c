/*
** retry_table.c: the retry policy for a table of cases. Each line of standard input
** is one outcome (net status attempt max once should_retry retry_after base random);
** each line of output is the delay, and whether trying again later may help.
*/
#include "retry.h"

#include <stdio.h>

int main(void) {
  ft_outcome o;
  int net;
  while (scanf("%d %d %d %d %d %d %lf %lf %lf", &net, &o.status, &o.attempt, &o.max_retries,
               &o.once, &o.should_retry, &o.retry_after, &o.base, &o.random) == 9) {
    o.net = (enum ft_net)net;
    printf("%.9g %d\n", ft_retry_delay(&o), ft_retryable(o.net, o.status));
  }
  return 0;
}
