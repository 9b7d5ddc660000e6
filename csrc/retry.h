/*
** retry.h: the retry policy as a pure function, so that a table can test it.
** Rules and constants are those of openai-python 3.3.1 (_constants.py,
** _base_client.py), but that a request which must not be repeated never is.
*/
#ifndef FT_RETRY_H
#define FT_RETRY_H

enum ft_net {                 /* how a transfer ended below HTTP */
              FT_NET_OK,      /* an answer, whatever its status */
              FT_NET_CONNECT, /* no connection: nothing was sent */
              FT_NET_TIMEOUT, /* too slow */
              FT_NET_BROKEN,  /* connection lost after sending began */
              FT_NET_FATAL    /* will not get better: TLS, bad URL, too large, local file */
};

typedef struct ft_outcome {
  enum ft_net net;
  int status;         /* HTTP status where net is FT_NET_OK */
  int attempt;        /* attempts made so far, from 1 */
  int max_retries;    /* attempts allowed beyond the first */
  int once;           /* 1: must not be sent twice */
  int should_retry;   /* the header x-should-retry: 1, 0; -1 absent */
  double retry_after; /* seconds asked for by the service; < 0 none */
  double base;        /* first delay, seconds */
  double random;      /* 0 <= random < 1 */
} ft_outcome;

#define FT_RETRY_MAX_DELAY 8.0   /* seconds: longest delay of our own */
#define FT_RETRY_MAX_AFTER 120.0 /* seconds: longest delay a service may ask for */

/* seconds to wait before the next attempt, or < 0: do not try again */
double ft_retry_delay(const ft_outcome *o);
/* 1 where trying the same again, later, may help */
int ft_retryable(enum ft_net net, int status);

#endif
