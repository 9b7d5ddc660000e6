#include "retry.h"

static int status_retryable(int status) {
  return status == 408 || status == 409 || status == 429 || status >= 500;
}

int ft_retryable(enum ft_net net, int status) {
  switch (net) {
  case FT_NET_OK:
    return status_retryable(status);
  case FT_NET_FATAL:
    return 0;
  default:
    return 1;
  }
}

/* The service's word counts for answers; below HTTP there is nobody to ask. */
static int wants_retry(const ft_outcome *o) {
  if (o->once) /* only where it was certainly not sent */
    return o->net == FT_NET_CONNECT;
  if (o->net == FT_NET_OK && o->should_retry >= 0)
    return o->should_retry;
  return ft_retryable(o->net, o->status);
}

static double backoff(const ft_outcome *o) {
  double delay = o->base;
  for (int i = 1; i < o->attempt && delay < FT_RETRY_MAX_DELAY; i++)
    delay *= 2;
  if (delay > FT_RETRY_MAX_DELAY)
    delay = FT_RETRY_MAX_DELAY;
  return delay * (1 - 0.25 * o->random); /* jitter: a crowd must not come back together */
}

double ft_retry_delay(const ft_outcome *o) {
  if (o->attempt > o->max_retries || !wants_retry(o))
    return -1;
  if (o->net == FT_NET_OK && o->retry_after > FT_RETRY_MAX_AFTER)
    return -1; /* longer than anybody wants to hang: the error carries retry_after */
  if (o->net == FT_NET_OK && o->retry_after > 0)
    return o->retry_after;
  return backoff(o);
}
