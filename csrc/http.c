/*
** http.c: what libcurl is told and what it tells: an easy handle set up for one
** transfer, and the callbacks that take its bytes (no Lua in them, ever).
*/
#include "fd.h"
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
  if (ft_buf_add(&t->head, p, n)) {
    if (*p == '\r' || *p == '\n') /* the blank line */
      ft_stream_head(t);
    return n;
  }
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
  } else if (ft_buf_add(&t->body, p, n)) {
    ft_stream_bytes(t);
    return n;
  }
  if (t->body.full)
    t->fault = "the answer is larger than max_bytes";
  else
    t->fault = "not enough memory";
  return 0;
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
  return ft_fd_own(socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol));
#else
  curl_socket_t s = ft_fd_own(socket(a->family, a->socktype, a->protocol));
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
  if (inst->unix_socket != NULL)
    ok &= set_str(h, CURLOPT_UNIX_SOCKET_PATH, inst->unix_socket);
  return ok;
}

static void setup_times(ft_transfer *t) {
  CURL *h = t->easy.easy;
  set_long(h, CURLOPT_CONNECTTIMEOUT_MS, (long)ceil(t->inst->connect_timeout * 1000));
  if (t->file_transfer) { /* a big file takes as long as it takes, while it moves */
    set_long(h, CURLOPT_LOW_SPEED_LIMIT, 1);
    set_long(h, CURLOPT_LOW_SPEED_TIME, (long)ceil(t->timeout));
  } else if (!ft_stream_is(t)) /* such a one may go on after `timeout`: see stream.c */
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
    curl_easy_setopt(h, CURLOPT_READFUNCTION, ft_source_read);
    set_ptr(h, CURLOPT_READDATA, &t->src[0]);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, ft_source_seek);
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
  return strcmp(t->method, "GET") == 0 && !t->has_body && !t->once && !t->file_transfer &&
         !ft_stream_is(t);
}

/* 1 with a handle that is set up, or 0: no memory */
int ft_http_take(ft_transfer *t) {
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
void ft_http_give(ft_transfer *t) {
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

void ft_http_learn(ft_transfer *t) {
  long version = 0;
  if (curl_easy_getinfo(t->easy.easy, CURLINFO_HTTP_VERSION, &version) != CURLE_OK)
    return;
  ft_admit_learn(t, version);
  if (version == CURL_HTTP_VERSION_1_1 || version == CURL_HTTP_VERSION_1_0)
    ft_engine_seen_h1(t->E);
}

/* adds slice `s` as the body of a MIME part; libcurl reads it through our descriptor */
int ft_http_part(curl_mimepart *part, ft_source *s) {
  return curl_mime_data_cb(part, s->length, ft_source_read, ft_source_seek, NULL, s) == CURLE_OK;
}
