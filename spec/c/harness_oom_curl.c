/*
** harness_oom_curl.c: every allocation of libcurl's fails in turn (oom.h), given to
** it with curl_global_init_mem, over a real exchange with a server in a child
** process. After lua_close libcurl holds what it held before. Covers libcurl
** alone: not OpenSSL, nghttp2 or the C library's own. What libcurl calls lack of
** memory is its business (a malformed URL, say); that there is an error is ours.
*/
#include "oom.h"
#include "server.h"

#include <stdatomic.h>

/* libcurl's resolver may allocate in a thread of its own: the counters are atomic */
static atomic_long count, live, fail_at, fails, on, fired;

static int fails_now(void) {
  if (!atomic_load(&on))
    return 0;
  long n = atomic_fetch_add(&count, 1) + 1, from = atomic_load(&fail_at);
  if (from == 0 || n < from || n >= from + atomic_load(&fails))
    return 0;
  atomic_store(&fired, 1);
  return 1;
}

static void *curl_malloc(size_t n) {
  if (fails_now())
    return NULL;
  atomic_fetch_add(&live, 1);
  return malloc(n);
}

static void curl_release(void *p) {
  if (p != NULL)
    atomic_fetch_sub(&live, 1);
  free(p);
}

static void *curl_realloc(void *p, size_t n) {
  if (fails_now())
    return NULL;
  atomic_fetch_add(&live, p == NULL);
  return realloc(p, n);
}

static char *curl_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *p = curl_malloc(n);
  return p != NULL ? memcpy(p, s, n) : NULL;
}

static void *curl_calloc(size_t n, size_t size) {
  if (fails_now())
    return NULL;
  atomic_fetch_add(&live, 1);
  return calloc(n, size);
}

static void run_once(Run *r) {
  Memory m = {0};
  long before = atomic_load(&live);
  snprintf(hang_words, sizeof hang_words, "'%s', allocation %ld x %ld", r->name, r->fail_at,
           r->fails);
  alarm(HANG);
  lua_State *L = state_new(&m);
  atomic_store(&count, 0);
  atomic_store(&fired, 0);
  atomic_store(&fail_at, r->fail_at);
  atomic_store(&fails, r->fails);
  atomic_store(&on, r->section == 0);
  int n = prepare(L, r);
  atomic_store(&on, 1);
  int status = lua_pcall(L, n, 0, 0);
  atomic_store(&on, 0);
  r->count = atomic_load(&count);
  r->fired = (int)atomic_load(&fired);
  if (status != LUA_OK)
    check_error(L, r);
  check_usable(L, r);
  check_empty(L, r);
  lua_close(L);
  if (m.live != 0)
    fail(r, "lua_close leaves", "bytes of Lua's");
  if (atomic_load(&live) != before) {
    char text[64];
    snprintf(text, sizeof text, "%ld blocks of libcurl's", atomic_load(&live) - before);
    fail(r, "lua_close leaves", text);
  }
}

int main(int argc, char **argv) {
  static const char *const scripts[] = {"spec.c.script_curl", NULL};
  Server server = server_start();
  snprintf(service_url, sizeof service_url, "http://127.0.0.1:%d/v1", server.port);
  if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, curl_release, curl_realloc,
                           curl_strdup, curl_calloc) != CURLE_OK)
    return EXIT_FAILURE;
  return oom_main(argc, argv, scripts);
}
