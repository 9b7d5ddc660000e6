/*
** admit.c: how many transfers are under way to one host. libcurl could keep the
** others waiting by itself, but each of them would hold an easy handle with its
** buffers, and every event would cost more with every one that waits: 500 at once
** took three times the memory and the time of 500 that queue here.
*/
#include "ft.h"

#include <string.h>

enum {
  LIMIT_H1 = FT_HOST_CONNECTIONS, /* one each */
  LIMIT_H2 = 64,                  /* streams of a connection; servers allow 100 and more */
  HOSTS_KEPT = 32                 /* beyond that, those that nobody talks to are forgotten */
};

struct ft_host {
  ft_host *next;
  ft_transfer *first, *last; /* those that wait for a place */
  int active, limit;
  size_t len;
  char origin[]; /* "https://api.example.com:8443" */
};

static size_t host_size(size_t len) {
  return sizeof(ft_host) + len;
}

static void host_free(ft_engine *E, ft_host **place) {
  ft_host *h = *place;
  *place = h->next;
  E->nhosts--;
  E->alloc(E->alloc_ud, h, host_size(h->len), 0);
}

static void forget_idle(ft_engine *E) {
  for (ft_host **p = &E->hosts; *p != NULL;)
    if ((*p)->active == 0 && (*p)->first == NULL)
      host_free(E, p);
    else
      p = &(*p)->next;
}

static ft_host *host_new(ft_engine *E, const char *origin, size_t len) {
  if (E->nhosts >= HOSTS_KEPT)
    forget_idle(E);
  ft_host *h = E->alloc(E->alloc_ud, NULL, 0, host_size(len));
  if (h == NULL)
    return NULL;
  memset(h, 0, sizeof *h);
  memcpy(h->origin, origin, len);
  h->len = len;
  h->limit = LIMIT_H1;
  h->next = E->hosts;
  E->hosts = h;
  E->nhosts++;
  return h;
}

/* by the URL as it is written: two spellings of a host are two hosts, which harms nobody */
static ft_host *host_of(ft_engine *E, const char *url) {
  const char *authority = strstr(url, "://");
  authority = authority == NULL ? url : authority + 3;
  size_t len = (size_t)(authority - url) + strcspn(authority, "/?#");
  for (ft_host *h = E->hosts; h != NULL; h = h->next)
    if (h->len == len && memcmp(h->origin, url, len) == 0)
      return h;
  return host_new(E, url, len);
}

/* 1: t has a place and may go; 0: it waits for one; -1: no memory */
int ft_admit_enter(ft_transfer *t) {
  ft_host *h = host_of(t->E, t->url.data);
  if (h == NULL)
    return -1;
  t->host = h;
  if (h->active < h->limit && h->first == NULL) {
    h->active++;
    return 1;
  }
  t->waits = 1;
  t->behind = NULL;
  if (h->last != NULL)
    h->last->behind = t;
  else
    h->first = t;
  h->last = t;
  return 0;
}

static void unqueue(ft_host *h, ft_transfer *t) {
  ft_transfer **p = &h->first, *before = NULL;
  for (; *p != t; p = &(*p)->behind)
    before = *p;
  *p = t->behind;
  if (h->last == t)
    h->last = before;
  t->waits = 0;
}

/* t gives up its place, or its hope for one. Who is next, ft_admit_next tells:
   this may run in a finalizer. */
void ft_admit_leave(ft_transfer *t) {
  ft_host *h = t->host;
  t->host = NULL;
  if (h == NULL)
    return;
  if (t->waits)
    unqueue(h, t);
  else
    h->active--;
  t->E->admits |= h->first != NULL;
}

/* HTTP/2 takes many at once over its one connection */
void ft_admit_learn(ft_transfer *t, long version) {
  if (t->host != NULL && version >= CURL_HTTP_VERSION_2_0 && t->host->limit != LIMIT_H2) {
    t->host->limit = LIMIT_H2;
    t->E->admits = 1;
  }
}

/* one that waited and for whom there is a place now, or NULL */
ft_transfer *ft_admit_next(ft_engine *E) {
  for (ft_host *h = E->admits ? E->hosts : NULL; h != NULL; h = h->next)
    if (h->first != NULL && h->active < h->limit) {
      ft_transfer *t = h->first;
      unqueue(h, t);
      h->active++;
      return t;
    }
  E->admits = 0; /* somebody who leaves sets it again */
  return NULL;
}

void ft_admit_close(ft_engine *E) {
  while (E->hosts != NULL)
    host_free(E, &E->hosts);
}
