/*
** minimal.c: what polling costs without us: libcurl's multi over epoll, and nothing
** else. The best case on purpose: an easy handle a job, set up once and used again,
** the answer kept in one growing buffer, no JSON, no timers of its own, no retries.
**
**   minimal URL jobs polls-a-job connections [CA-file]
*/
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { EVENTS = 64, BUFFER = 16 * 1024 };

typedef struct Job {
  CURL *easy;
  size_t len;
  int left; /* polls to do */
  char body[BUFFER];
} Job;

static CURLM *multi;
static int set;              /* of epoll */
static long curl_wants = -1; /* ms until libcurl wants to be called, -1 never */
static long done, failed;

static void fail(const char *what) {
  fprintf(stderr, "minimal: %s\n", what);
  exit(1);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *known) {
  struct epoll_event ev;
  (void)easy;
  (void)ud;
  memset(&ev, 0, sizeof ev);
  ev.data.fd = fd;
  ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
  if (what == CURL_POLL_REMOVE)
    epoll_ctl(set, EPOLL_CTL_DEL, fd, &ev);
  else
    epoll_ctl(set, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
  curl_multi_assign(multi, fd, what == CURL_POLL_REMOVE ? NULL : &set);
  return 0;
}

static int on_timer(CURLM *m, long ms, void *ud) {
  (void)m;
  (void)ud;
  curl_wants = ms;
  return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *ud) {
  Job *job = ud;
  (void)size;
  if (n > BUFFER - job->len)
    return 0;
  memcpy(job->body + job->len, p, n);
  job->len += n;
  return n;
}

static void setup(Job *job, const char *url, struct curl_slist *headers, const char *ca) {
  CURL *h = job->easy = curl_easy_init();
  curl_easy_setopt(h, CURLOPT_URL, url);
  curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
  curl_easy_setopt(h, CURLOPT_PRIVATE, job);
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, job);
  curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, 600000L);
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(h, CURLOPT_PIPEWAIT, 1L);
  curl_easy_setopt(h, CURLOPT_CAPATH, (char *)NULL); /* or the CA bundle is read each time */
  if (ca != NULL)
    curl_easy_setopt(h, CURLOPT_CAINFO, ca);
}

static void poll_job(Job *job) {
  job->left--;
  job->len = 0;
  curl_multi_add_handle(multi, job->easy);
}

static void collect(void) {
  CURLMsg *m;
  int left;
  while ((m = curl_multi_info_read(multi, &left)) != NULL) {
    CURL *easy = m->easy_handle;
    CURLcode code = m->data.result;
    Job *job;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &job);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi, easy);
    done++;
    failed += code != CURLE_OK || status != 200 || job->len == 0;
    if (job->left > 0)
      poll_job(job);
  }
}

static void run(long all) {
  struct epoll_event ev[EVENTS];
  int running;
  while (done < all) {
    int n = epoll_wait(set, ev, EVENTS, (int)curl_wants);
    for (int i = 0; i < n; i++)
      curl_multi_socket_action(multi, ev[i].data.fd,
                               (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                   (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                                   (ev[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0),
                               &running);
    if (n == 0 || curl_wants == 0)
      curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect();
  }
}

int main(int argc, char **argv) {
  if (argc < 5)
    fail("minimal URL jobs polls connections [CA-file]");
  int jobs = atoi(argv[2]), polls = atoi(argv[3]);
  struct curl_slist *headers = curl_slist_append(NULL, "Authorization: Bearer sk-bench");
  headers = curl_slist_append(headers, "Accept: application/json");
  Job *job = calloc((size_t)jobs, sizeof *job);
  curl_global_init(CURL_GLOBAL_ALL);
  multi = curl_multi_init();
  set = epoll_create1(EPOLL_CLOEXEC);
  if (job == NULL || multi == NULL || set < 0)
    fail("no memory");
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)atoi(argv[4]));
  for (int i = 0; i < jobs; i++) {
    setup(&job[i], argv[1], headers, argc > 5 ? argv[5] : NULL);
    job[i].left = polls;
    poll_job(&job[i]);
  }
  run((long)jobs * polls);
  if (failed > 0)
    fail("some requests failed");
  for (int i = 0; i < jobs; i++)
    curl_easy_cleanup(job[i].easy);
  curl_multi_cleanup(multi);
  curl_slist_free_all(headers);
  free(job);
  return 0;
}
