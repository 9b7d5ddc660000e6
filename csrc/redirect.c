/*
** redirect.c: whether an answer that points elsewhere is followed, and with what.
*/
#include "ft.h"

#include <string.h>
#include <strings.h>

static int same_part(CURLU *a, CURLU *b, CURLUPart part) {
  char *x = NULL, *y = NULL;
  int same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
             curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;
  curl_free(x);
  curl_free(y);
  return same;
}

static int is_https(CURLU *u) {
  char *scheme = NULL;
  int yes = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
            strcasecmp(scheme, "https") == 0;
  curl_free(scheme);
  return yes;
}

static int same_origin(CURLU *a, CURLU *b) {
  return same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) &&
         same_part(a, b, CURLUPART_PORT);
}

static void drop_headers(ft_transfer *t) {
  struct curl_slist *headers = t->headers;
  t->headers = NULL;
  curl_slist_free_all(headers);
  t->foreign = 1;
}

/* Credentials and bodies stay with the host that they were meant for: another
   host gets a bare GET or nothing, and never less protection than before. */
static const char *redirect_refusal(const ft_transfer *t, CURLU *from, CURLU *to) {
  int same = same_origin(from, to);
  if (t->hops >= FT_HOPS_MAX)
    return "too many redirects";
  if (!same && !t->is_get)
    return "a redirect to another host was refused: the request has a body or a side effect";
  if (!t->is_get && t->status != 307 && t->status != 308)
    return "a redirect that would change the request's method was refused";
  if (is_https(from) && !is_https(to))
    return "a redirect from https to http was refused";
  return NULL;
}

static int redirect_take(ft_transfer *t, CURLU *from, CURLU *to) {
  char *url = NULL;
  t->fault = redirect_refusal(t, from, to);
  if (t->fault != NULL || curl_url_get(to, CURLUPART_URL, &url, 0) != CURLUE_OK)
    return 0;
  if (!same_origin(from, to))
    drop_headers(t);
  t->hops++;
  ft_buf_clear(&t->url);
  int ok = ft_buf_add(&t->url, url, strlen(url) + 1);
  if (!ok)
    t->fault = "the URL of a redirect is too long";
  curl_free(url);
  return ok;
}

int ft_redirect(ft_transfer *t) {
  char text[8192];
  if (t->status < 300 || t->status > 308 || t->status == 304 || ft_response_accepted(t) ||
      !ft_header_text(t, "location", text, sizeof text))
    return 0;
  CURLU *from = curl_url(), *to = NULL;
  int again = 0;
  if (from != NULL && curl_url_set(from, CURLUPART_URL, t->url.data, 0) == CURLUE_OK &&
      (to = curl_url_dup(from)) != NULL) {
    if (curl_url_set(to, CURLUPART_URL, text, 0) == CURLUE_OK)
      again = redirect_take(t, from, to);
    else
      t->fault = "the service redirected to a URL that is none";
  }
  curl_url_cleanup(to);
  curl_url_cleanup(from);
  return again;
}
