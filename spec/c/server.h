/*
** server.h: a small HTTP/1.1 server in a child process, for harnesses that must not
** depend on anything: keep-alive, one thread a connection, answers by path. It
** dies with its parent, because its lifeline (a pipe) closes.
*/
#ifndef SERVER_H
#define SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct Server {
  pid_t pid;
  int port, lifeline;
} Server;

typedef struct Answer {
  const char *part; /* of the request line */
  const char *status, *headers;
  const char *body;
  size_t len;  /* of the body, 0: strlen */
  int seconds; /* before the answer */
} Answer;

/* {"id":"zip","status":"succeeded"} by gzip */
static const char zipped[] =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\x4c\x51\xb2\x52\xaa\xca\x2c\x50\xd2\x51"
    "\x2a\x2e\x49\x2c\x29\x2d\x06\x72\x8b\x4b\x93\x93\x53\x53\x53\x52\x53\x94\x6a\x01\xb2\x85\xf6"
    "\xa3\x21\x00\x00\x00";

#define JOB_JSON "{\"id\":\"ftjob-1\",\"status\":\"succeeded\",\"model\":\"m\"}"

static const Answer answers[] = {
    /* it says something, and then nothing more: the end of the chunks never comes */
    {"/stream", "200 OK", "transfer-encoding: chunked\r\n", "9\r\ndata: 1\n\n\r\n", 0, 0},
    {"/slow", "200 OK", "", JOB_JSON, 0, 1},
    {"/moved", "307 Temporary Redirect", "location: /v1/fine_tuning/jobs/there\r\n", "", 0, 0},
    {"/zipped", "200 OK", "content-encoding: gzip\r\n", zipped, sizeof zipped - 1, 0},
    {"/cut", NULL, NULL, NULL, 0, 0}, /* the connection is closed in place of an answer */
    {"/missing", "404 Not Found", "", "{\"error\":{\"message\":\"no such job\"}}", 0, 0},
    {"/content", "200 OK", "content-type: text/csv\r\n", "step,train_loss\n1,0.5\n", 0, 0},
    {"/fine_tuning/jobs/", "200 OK", "", JOB_JSON, 0, 0},
    {"/models", "200 OK", "", "{\"data\":[{\"id\":\"m\",\"created\":1}]}", 0, 0},
    {"/files", "200 OK", "", "{\"id\":\"file-1\",\"bytes\":5,\"status\":\"processed\"}", 0, 0},
    {"", "404 Not Found", "", "{}", 0, 0},
};

/* reads one request into `head`, its body away; 0 at the end of the connection */
static int server_read(int fd, char *head, size_t room) {
  size_t n = 0, body;
  char *end = NULL;
  for (; end == NULL && n < room - 1; end = strstr(head, "\r\n\r\n")) {
    ssize_t got = recv(fd, head + n, room - 1 - n, 0);
    if (got <= 0)
      return 0;
    n += (size_t)got;
    head[n] = '\0';
  }
  const char *length = end != NULL ? strcasestr(head, "content-length:") : NULL;
  body = length != NULL ? (size_t)strtoul(length + 15, NULL, 10) : 0;
  for (size_t had = end != NULL ? n - (size_t)(end + 4 - head) : 0; had < body;) {
    char rest[4096];
    ssize_t got = recv(fd, rest, sizeof rest, 0);
    if (got <= 0)
      return 0;
    had += (size_t)got;
  }
  return end != NULL;
}

static void *server_connection(void *arg) {
  int fd = (int)(long)arg;
  char head[8192], out[8192];
  while (server_read(fd, head, sizeof head)) {
    const Answer *a = answers;
    head[strcspn(head, "\r")] = '\0';
    while (strstr(head, a->part) == NULL)
      a++;
    if (a->status == NULL)
      break;
    if (a->seconds > 0)
      sleep((unsigned)a->seconds);
    size_t len = a->len > 0 ? a->len : strlen(a->body);
    int n = snprintf(out, sizeof out,
                     "HTTP/1.1 %s\r\n%scontent-length: %zu\r\nx-request-id: req_1\r\n\r\n",
                     a->status, a->headers, len);
    memcpy(out + n, a->body, len);
    if (send(fd, out, (size_t)n + len, MSG_NOSIGNAL) < 0)
      break;
  }
  close(fd);
  return NULL;
}

static void *server_lifeline(void *arg) {
  char c;
  ssize_t r = read((int)(long)arg, &c, 1);
  (void)r;
  _exit(0);
}

static void server_run(int listener, int lifeline) {
  pthread_t thread;
  pthread_create(&thread, NULL, server_lifeline, (void *)(long)lifeline);
  for (;;) {
    int one = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0)
      continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (pthread_create(&thread, NULL, server_connection, (void *)(long)fd) == 0)
      pthread_detach(thread);
    else
      close(fd);
  }
}

/* before there are threads or states */
static Server server_start(void) {
  Server s = {-1, 0, -1};
  int listener = socket(AF_INET, SOCK_STREAM, 0), pipes[2];
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  if (listener < 0 || bind(listener, (struct sockaddr *)&a, n) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, (struct sockaddr *)&a, &n) != 0 || pipe(pipes) != 0) {
    perror("no loopback server");
    exit(1);
  }
  s.port = ntohs(a.sin_port);
  s.lifeline = pipes[1];
  fflush(stdout);
  s.pid = fork();
  if (s.pid == 0) {
    close(pipes[1]);
    server_run(listener, pipes[0]);
  }
  close(pipes[0]);
  close(listener);
  return s;
}

#endif
