/*
** http.c: one transfer: an easy handle set up for it, the callbacks that take
** and give its bytes (no Lua in them, ever), its attempts, and its end.
*/
#include "ft.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSFER_META "finetune.transfer"

enum { UPLOAD_BUFFER = 512 * 1024 }; /* a third less CPU than libcurl's 64 KiB */

/* ---- setopt is variadic: a wrong type compiles and crashes; these cannot be wrong ---- */

static void set_long(CURL *h, CURLoption o, long v) {
  curl_easy_setopt(h, o, v);
}
static void set_off(CURL *h, CURLoption o, curl_off_t v) {
  curl_easy_setopt(h, o, v);
}
/* libcurl copies strings: 0 where it finds no memory for that */
static int set_str(CURL *h, CURLoption o, const char *v) {
  return curl_easy_setopt(h, o, v) != CURLE_OUT_OF_MEMORY;
}
static void set_ptr(CURL *h, CURLoption o, void *v) {
  curl_easy_setopt(h, o, v);
}

/* ---- callbacks ---- */

/* Each answer's head begins with a status line: 100 and redirects come before the last one. */
static size_t on_header(char *p, size_t size, size_t n, void *ud) {
  ft_transfer *t = ud;
  (void)size;
  if (n > 5 && memcmp(p, "HTTP/", 5) == 0)
    ft_buf_clear(&t->head);
  if (ft_buf_add(&t->head, p, n))
    return n;
  t->fault = t->head.full ? "the headers of the answer are too large" : "not enough memory";
  return 0;
}

static int write_output(ft_transfer *t, const char *p, size_t n) {
  int e = t->out.fd < 0 ? ft_outfile_open(&t->out, t->output) : 0;
  if (e == 0)
    e = ft_outfile_write(&t->out, p, n);
  if (e == 0)
    return 1;
  t->fault = strerror(e);
  t->fault_data = 1;
  return 0;
}

/* only what the caller asked for goes into his file; an error's body stays in memory */
static int goes_to_file(ft_transfer *t) {
  long status = 0;
  curl_easy_getinfo(t->easy.easy, CURLINFO_RESPONSE_CODE, &status);
  return t->output != NULL && status >= 200 && status < 300;
}

static size_t on_body(char *p, size_t size, size_t n, void *ud) {
  ft_transfer *t = ud;
  (void)size;
  if (goes_to_file(t)) {
    t->down += (curl_off_t)n;
    if (t->down > (curl_off_t)t->body.max)
      t->body.full = 1;
    else
      return write_output(t, p, n) ? n : 0;
  } else if (ft_buf_add(&t->body, p, n))
    return n;
  if (t->body.full)
    t->fault = "the answer is larger than max_bytes";
  else
    t->fault = "not enough memory";
  return 0;
}

static size_t source_fail(ft_source *s, const char *words) {
  s->owner->fault = words;
  s->owner->fault_data = 1;
  return CURL_READFUNC_ABORT;
}

static int source_changed(const ft_source *s, const struct stat *st) {
#ifdef __APPLE__
  long long mtime = (long long)st->st_mtimespec.tv_sec * 1000000000 + st->st_mtimespec.tv_nsec;
#else
  long long mtime = (long long)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
#endif
  return (s->size >= 0 && st->st_size != s->size) || (s->mtime >= 0 && mtime != s->mtime);
}

/* at the end of the slice the file must still be the one that was promised */
static size_t source_end(ft_source *s) {
  struct stat st;
  if (fstat(s->fd, &st) != 0 || source_changed(s, &st))
    return source_fail(s, "the file changed while it was being sent");
  return 0;
}

static size_t on_read(char *p, size_t size, size_t n, void *ud) {
  ft_source *s = ud;
  curl_off_t left = s->length - s->pos;
  size_t want = size * n;
  if (left <= 0)
    return source_end(s);
  if ((curl_off_t)want > left)
    want = (size_t)left;
  ssize_t got;
  do
    got = pread(s->fd, p, want, (off_t)(s->offset + s->pos));
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return source_fail(s, "the file cannot be read");
  if (got == 0)
    return source_fail(s, "the file became shorter while it was being sent");
  s->pos += got;
  return (size_t)got;
}

static int on_seek(void *ud, curl_off_t offset, int origin) {
  ft_source *s = ud;
  if (origin != SEEK_SET || offset < 0 || offset > s->length)
    return CURL_SEEKFUNC_FAIL;
  s->pos = offset;
  return CURL_SEEKFUNC_OK;
}

static int on_progress(void *ud, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un) {
  ft_transfer *t = ud;
  t->down_total = dt;
  t->up_total = ut;
  t->up = un;
  (void)dn; /* counted in on_body, after decompression */
  return 0;
}

/* libcurl's own sockets are inherited by children of the host: ours are not */
static curl_socket_t on_socket(void *ud, curlsocktype purpose, struct curl_sockaddr *a) {
  (void)ud;
  (void)purpose;
#ifdef SOCK_CLOEXEC
  return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
#else
  curl_socket_t s = socket(a->family, a->socktype, a->protocol);
  if (s >= 0)
    fcntl(s, F_SETFD, FD_CLOEXEC);
  return s;
#endif
}

/* ---- set-up ---- */

/* Those that answer an int give 0 where libcurl finds no memory: a request without
   its method, proxy or CA file would be another request. */

static int setup_process(CURL *h) {
  set_long(h, CURLOPT_NOSIGNAL, 1);
  set_long(h, CURLOPT_QUICK_EXIT, 1); /* never join a resolver thread that still looks up */
  curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_socket);
  /* Debian's default path of single certificates switches libcurl's cache of
     the bundle off: 45 ms of CPU a connection in place of 2 */
  curl_easy_setopt(h, CURLOPT_CAPATH, (char *)NULL);
  return set_str(h, CURLOPT_PROTOCOLS_STR, "http,https");
}

static int setup_config(CURL *h, const ft_instance *inst) {
  int ok = set_str(h, CURLOPT_USERAGENT, inst->user_agent) &&
           set_str(h, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
  if (inst->proxy != NULL)
    ok &= set_str(h, CURLOPT_PROXY, inst->proxy);
  if (inst->ca_file != NULL)
    ok &= set_str(h, CURLOPT_CAINFO, inst->ca_file);
  return ok;
}

static void setup_times(ft_transfer *t) {
  CURL *h = t->easy.easy;
  set_long(h, CURLOPT_CONNECTTIMEOUT_MS, (long)ceil(t->inst->connect_timeout * 1000));
  if (t->file_transfer) { /* a big file takes as long as it takes, while it moves */
    set_long(h, CURLOPT_LOW_SPEED_LIMIT, 1);
    set_long(h, CURLOPT_LOW_SPEED_TIME, (long)ceil(t->timeout));
  } else
    set_long(h, CURLOPT_TIMEOUT_MS, (long)ceil(t->timeout * 1000));
}

static void setup_callbacks(ft_transfer *t) {
  CURL *h = t->easy.easy;
  curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
  if (t->file_transfer) {
    set_long(h, CURLOPT_NOPROGRESS, 0);
    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
    set_ptr(h, CURLOPT_XFERINFODATA, t);
  }
}

static void setup_body(ft_transfer *t) {
  CURL *h = t->easy.easy;
  int in_batch = t->call != NULL && t->call->batch > 0; /* several at once: each takes less */
  if (t->mime != NULL)
    set_ptr(h, CURLOPT_MIMEPOST, t->mime);
  else if (t->nsrc > 0) {
    set_long(h, CURLOPT_UPLOAD, 1);
    curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
    set_ptr(h, CURLOPT_READDATA, &t->src[0]);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
    set_ptr(h, CURLOPT_SEEKDATA, &t->src[0]);
    set_off(h, CURLOPT_INFILESIZE_LARGE, t->src[0].length);
  } else if (t->has_body) {
    set_off(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->post_len);
    set_str(h, CURLOPT_POSTFIELDS, t->post); /* this one is not copied */
  }
  if (t->nsrc > 0)
    set_long(h, CURLOPT_UPLOAD_BUFFERSIZE, in_batch ? UPLOAD_BUFFER / 2 : UPLOAD_BUFFER);
}

/* Rather one HTTP/2 connection than a hundred: a transfer waits until it is known what
   the host speaks. Over TLS the handshake tells; a plain host would tell with its first
   answer only, which may be an hour's upload away, and it never speaks HTTP/2 to us. */
static void setup_multiplex(ft_transfer *t) {
  int tls = strncasecmp(t->url.data, "https:", 6) == 0;
  set_long(t->easy.easy, CURLOPT_PIPEWAIT, tls);
  if (!tls)
    ft_engine_seen_h1(t->E);
}

/* all that one transfer does not share with the next plain GET of its instance */
static int setup_transfer(ft_transfer *t) {
  CURL *h = t->easy.easy;
  set_ptr(h, CURLOPT_PRIVATE, t);
  set_ptr(h, CURLOPT_ERRORBUFFER, t->errbuf);
  set_ptr(h, CURLOPT_HEADERDATA, t);
  set_ptr(h, CURLOPT_WRITEDATA, t);
  set_ptr(h, CURLOPT_HTTPHEADER, t->headers);
  setup_multiplex(t);
  return set_str(h, CURLOPT_URL, t->url.data);
}

static int setup_all(ft_transfer *t) {
  CURL *h = t->easy.easy;
  int ok = setup_process(h) && setup_config(h, t->inst);
  setup_times(t);
  setup_callbacks(t);
  setup_body(t);
  if (strcmp(t->method, "HEAD") == 0)
    set_long(h, CURLOPT_NOBODY, 1);
  else if (!t->is_get || t->has_body)
    ok &= set_str(h, CURLOPT_CUSTOMREQUEST, t->method);
  if (t->once) /* on a reused connection that dies libcurl sends a POST again by itself */
    set_long(h, CURLOPT_FRESH_CONNECT, 1);
  return ok;
}

/* a GET of the plain kind: its handle serves the next one as it is */
static int is_plain(const ft_transfer *t) {
  return strcmp(t->method, "GET") == 0 && !t->has_body && !t->once && !t->file_transfer;
}

/* 1 with a handle that is set up, or 0: no memory */
static int take_handle(ft_transfer *t) {
  ft_idle want = {NULL, is_plain(t) ? t->inst->serial : 0, t->timeout};
  if (t->easy.easy == NULL)
    t->easy = ft_engine_easy(t->E, want);
  if (t->easy.easy == NULL)
    return 0;
  if (t->easy.serial == 0) {
    if (!setup_all(t))
      return 0;
    want.easy = t->easy.easy;
    t->easy = want;
  }
  return setup_transfer(t);
}

/* A mime belongs to its handle. An upload's buffer is too big to keep. */
static void give_handle(ft_transfer *t) {
  ft_idle idle = t->easy;
  if (idle.easy == NULL || t->mime != NULL)
    return;
  t->easy.easy = NULL;
  t->easy.serial = 0;
  set_ptr(idle.easy, CURLOPT_ERRORBUFFER, NULL);
  if (t->nsrc > 0)
    curl_easy_cleanup(idle.easy);
  else
    ft_engine_easy_done(t->E, idle);
}

/* adds slice `s` as the body of a MIME part; libcurl reads it through our descriptor */
int ft_transfer_part(curl_mimepart *part, ft_source *s) {
  return curl_mime_data_cb(part, s->length, on_read, on_seek, NULL, s) == CURLE_OK;
}

/* ---- attempts ---- */

/* NULL, or what is wrong with the file */
static const char *source_open(ft_source *s) {
  struct stat st;
  s->pos = 0;
  if (s->fd < 0)
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
  if (s->fd < 0 || fstat(s->fd, &st) != 0)
    return strerror(errno);
  if (!S_ISREG(st.st_mode))
    return "it is not a regular file";
  if (source_changed(s, &st))
    return "the file changed since the upload began";
  return st.st_size < s->offset + s->length ? "the file is shorter than it was" : NULL;
}

static int sources_open(ft_transfer *t) {
  for (int i = 0; i < t->nsrc; i++) {
    const char *wrong = source_open(&t->src[i]);
    if (wrong != NULL) {
      source_fail(&t->src[i], wrong);
      return 0;
    }
  }
  return 1;
}

static void sources_close(ft_transfer *t) {
  for (int i = 0; i < t->nsrc; i++) {
    int fd = t->src[i].fd;
    t->src[i].fd = -1;
    if (fd >= 0)
      close(fd);
  }
}

static void attempt_reset(ft_transfer *t) {
  ft_buf_clear(&t->head);
  ft_buf_clear(&t->body);
  ft_outfile_abort(&t->out);
  t->fault = NULL;
  t->fault_data = t->status = 0;
  t->retry_after = -1;
  t->up = t->down = 0;
  t->errbuf[0] = '\0';
  t->began = ft_now();
}

static void transfer_done(lua_State *L, ft_transfer *t) {
  t->state = FT_TS_DONE;
  sources_close(t);
  if (t->call != NULL)
    ft_call_transfer_done(t->call);
  else { /* detached: nobody waits for it */
    ft_engine *E = t->E;
    ft_transfer_release(t);
    ft_engine_drop(L, E, t);
  }
}

static void transfer_stop(ft_transfer *t) {
  if (t->in_multi) {
    t->in_multi = 0;
    t->E->nactive--;
    t->E->nfiles -= t->file_transfer;
    curl_multi_remove_handle(t->E->multi, t->easy.easy);
  }
  ft_timer_clear(t->E, &t->timer);
  ft_admit_leave(t);
  give_handle(t);
}

enum { OVERDUE = 1 }; /* s: libcurl's own timeout is given so much to be the first */

/* libcurl 7.88 does not apply its timeout to a transfer that waits for a connection,
   and may forget one when memory ran out */
static void overdue(lua_State *L, ft_timer *timer) {
  ft_transfer_ended(L, (ft_transfer *)((char *)timer - offsetof(ft_transfer, timer)),
                    CURLE_OPERATION_TIMEDOUT);
}

void ft_transfer_go(lua_State *L, ft_transfer *t) {
  if (!sources_open(t)) {
    ft_transfer_ended(L, t, CURLE_READ_ERROR);
    return;
  }
  if (!take_handle(t) || curl_multi_add_handle(t->E->multi, t->easy.easy) != CURLM_OK) {
    ft_transfer_ended(L, t, CURLE_OUT_OF_MEMORY);
    return;
  }
  t->in_multi = 1;
  t->E->nactive++;
  t->E->nfiles += t->file_transfer;
}

void ft_transfer_begin(lua_State *L, ft_transfer *t) {
  t->attempt++;
  attempt_reset(t);
  t->state = FT_TS_ACTIVE;
  if (t->inst->scripted) {
    if (sources_open(t))
      ft_scripted_begin(L, t);
    else
      ft_transfer_ended(L, t, CURLE_READ_ERROR);
    return;
  }
  t->timer.fire = overdue; /* for one that waits for a place, too */
  if (!t->file_transfer)
    ft_timer_set(t->E, &t->timer, t->began + t->timeout + OVERDUE);
  int place = ft_admit_enter(t);
  if (place > 0)
    ft_transfer_go(L, t);
  else if (place < 0)
    ft_transfer_ended(L, t, CURLE_OUT_OF_MEMORY);
}

static void backoff_over(lua_State *L, ft_timer *timer) {
  ft_transfer_begin(L, (ft_transfer *)((char *)timer - offsetof(ft_transfer, timer)));
}

/* 1 where no connection, or no handshake, came about: nothing can have arrived */
static int never_sent(const ft_transfer *t, CURLcode code) {
  curl_off_t ready = 0;
  if (t->waits)
    return 1;
  if (t->inst->scripted || t->easy.easy == NULL)
    return code == CURLE_COULDNT_CONNECT;
  curl_easy_getinfo(t->easy.easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
  return ready == 0;
}

/* how a transfer ended below HTTP, by libcurl's code */
static enum ft_net net_of(const ft_transfer *t, CURLcode code) {
  switch (code) {
  case CURLE_OK:
    return FT_NET_OK;
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_COULDNT_CONNECT:
    return FT_NET_CONNECT;
  case CURLE_OPERATION_TIMEDOUT:
    return t->unsent ? FT_NET_CONNECT : FT_NET_TIMEOUT;
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
  case CURLE_HTTP2:
  case CURLE_HTTP2_STREAM:
  case CURLE_SSL_CONNECT_ERROR:
    return t->unsent ? FT_NET_CONNECT : FT_NET_BROKEN;
  default:
    return FT_NET_FATAL;
  }
}

static double retry_delay(ft_transfer *t) {
  static const double scale = 1.0 / 4294967296.0;
  ft_outcome o = {t->net,  t->status, t->attempt, t->inst->max_retries,
                  t->once, -1,        -1,         t->inst->retry_delay,
                  0};
  if (t->fault != NULL)
    return -1;
  if (t->net == FT_NET_OK) {
    o.should_retry = ft_response_should_retry(t);
    o.retry_after = t->retry_after = ft_response_retry_after(t);
    if (ft_response_accepted(t))
      return -1;
  }
  /* jitter from the clock's low bits: no state shared, no generator to seed */
  double now = ft_now() * 1e6;
  unsigned bits = (unsigned)(unsigned long long)now * 2654435761u;
  o.random = (double)bits * scale;
  return ft_retry_delay(&o);
}

void ft_transfer_ended(lua_State *L, ft_transfer *t, CURLcode code) {
  long status = t->status;
  if (!t->inst->scripted && t->easy.easy != NULL)
    curl_easy_getinfo(t->easy.easy, CURLINFO_RESPONSE_CODE, &status);
  t->status = (int)status;
  t->code = code;
  t->unsent = code != CURLE_OK && never_sent(t, code);
  t->net = net_of(t, code);
  transfer_stop(t);
  if (t->inst->traced)
    ft_trace(L, t);
  if (t->net == FT_NET_OK && ft_redirect(t)) {
    t->attempt--; /* a hop is no retry */
    ft_transfer_begin(L, t);
    return;
  }
  double delay = t->call == NULL ? -1 : retry_delay(t);
  if (delay < 0) {
    transfer_done(L, t);
    return;
  }
  t->state = FT_TS_BACKOFF;
  t->timer.fire = backoff_over;
  ft_timer_set(t->E, &t->timer, ft_now() + delay);
}

/* ---- lifetime ---- */

static void transfer_unlink(ft_transfer *t) {
  if (t->prev != NULL)
    t->prev->next = t->next;
  else if (t->E->transfers == t)
    t->E->transfers = t->next;
  if (t->next != NULL)
    t->next->prev = t->prev;
  t->prev = t->next = NULL;
}

void ft_transfer_release(ft_transfer *t) {
  if (t->E == NULL)
    return;
  transfer_stop(t);
  ft_timer_clear(t->E, &t->timer);
  transfer_unlink(t);
  ft_engine_unreserve(t->E);
  sources_close(t);
  ft_outfile_abort(&t->out);
  curl_mime *mime = t->mime;
  t->mime = NULL;
  give_handle(t);
  curl_mime_free(mime);
  struct curl_slist *headers = t->headers;
  t->headers = NULL;
  curl_slist_free_all(headers);
  ft_buf_free(&t->url);
  ft_buf_free(&t->head);
  ft_buf_free(&t->body);
  t->state = FT_TS_DONE;
  t->E = NULL;
}

static int transfer_gc(lua_State *L) {
  ft_transfer *t = luaL_checkudata(L, 1, TRANSFER_META);
  if (t->E == NULL)
    return 0;
  if (t->E->pid != getpid()) { /* a forked child: the connection is the parent's */
    sources_close(t);
    return 0;
  }
  /* a detached transfer that is alive here: the state closes; the engine, which
     is finalized last, gives it a moment */
  if (t->call != NULL || !t->in_multi)
    ft_transfer_release(t);
  return 0;
}

ft_transfer *ft_transfer_new(lua_State *L, ft_engine *E) {
  ft_transfer *t = lua_newuserdatauv(L, sizeof *t, FT_TU_LAST);
  memset(t, 0, sizeof *t);
  t->timer.index = -1;
  t->out.fd = -1;
  luaL_setmetatable(L, TRANSFER_META);
  if (!ft_engine_reserve(E))
    luaL_error(L, "not enough memory");
  t->E = E;
  t->next = E->transfers;
  if (t->next != NULL)
    t->next->prev = t;
  E->transfers = t;
  ft_buf_init(&t->url, E->alloc, E->alloc_ud, 64 * 1024);
  ft_buf_init(&t->head, E->alloc, E->alloc_ud, FT_HEAD_MAX);
  ft_buf_init(&t->body, E->alloc, E->alloc_ud, FT_BODY_MAX);
  return t;
}

void ft_transfer_open(lua_State *L) {
  luaL_newmetatable(L, TRANSFER_META);
  lua_pushcfunction(L, transfer_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

/* ---- headers of the answer ---- */

/* the last header `name` of the final answer, trimmed; 0 where there is none */
int ft_transfer_header(const ft_transfer *t, const char *name, const char **value, size_t *len) {
  const char *p = t->head.len > 0 ? t->head.data : "", *end = p + t->head.len;
  size_t n = strlen(name);
  int found = 0;
  for (const char *eol; p < end; p = eol + 1) {
    eol = memchr(p, '\n', (size_t)(end - p));
    if (eol == NULL)
      eol = end;
    if ((size_t)(eol - p) <= n || p[n] != ':' || strncasecmp(p, name, n) != 0)
      continue;
    const char *v = p + n + 1, *e = eol;
    while (v < e && (*v == ' ' || *v == '\t'))
      v++;
    while (e > v && (e[-1] == ' ' || e[-1] == '\r' || e[-1] == '\t'))
      e--;
    *value = v;
    *len = (size_t)(e - v);
    found = 1;
  }
  return found;
}
