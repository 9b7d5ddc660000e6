/*
** stream.c: answers that do not end by themselves, the events of a running job, say:
** with read_for or read_idle (finetune.h) a request takes what comes for so long, and
** that is a success. Until the headers of an accepted status are in, the timer of such
** a transfer is its timeout; from then on it is transfer.c's look. libcurl's callbacks
** only note when bytes came, so that a stream of many chunks sets no timer for each.
*/
#include "ft.h"

int ft_stream_is(const ft_transfer *t) {
  return t->read_for > 0 || t->read_idle > 0;
}

/* when the silence has been long enough */
static double silent_at(const ft_transfer *t) {
  return t->heard + t->read_idle;
}

static double end_at(const ft_transfer *t) {
  return t->read_for > 0 ? t->read_until : t->began + t->timeout;
}

static int may_idle(const ft_transfer *t) {
  return t->read_idle > 0 && t->heard > 0;
}

int ft_stream_over(const ft_transfer *t, double now) {
  if (now < end_at(t) && !(may_idle(t) && now >= silent_at(t)))
    return 0;
  return t->read_for > 0 || now < end_at(t) ? 1 : -1;
}

double ft_stream_next(const ft_transfer *t) {
  return may_idle(t) && silent_at(t) < end_at(t) ? silent_at(t) : end_at(t);
}

/* Trailers end with a blank line, too: what flows, flows. */
void ft_stream_head(ft_transfer *t) {
  long status = 0;
  if (!ft_stream_is(t) || t->flowing)
    return;
  curl_easy_getinfo(t->easy.easy, CURLINFO_RESPONSE_CODE, &status); /* 0: a proxy speaks */
  t->status = (int)status;
  t->flowing = status >= 200 && ft_response_accepted(t);
  if (t->flowing) {
    t->timer.fire = t->look;
    ft_timer_set(t->E, &t->timer, 0); /* as soon as libcurl is done */
  }
}

void ft_stream_bytes(ft_transfer *t) {
  if (!t->flowing)
    return;
  int first = t->heard == 0;
  t->heard = ft_now();
  if (first && t->read_idle > 0 && silent_at(t) < t->timer.at)
    ft_timer_set(t->E, &t->timer, silent_at(t));
}
