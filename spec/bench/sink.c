/*
** sink.c: a service that takes uploads and throws them away. Reads a request's head
** and body, answers every one with the same document, which will do for a file, an
** upload and a part alike. One connection at a time a process: it forks for each.
** Prints its port; ends with its standard input.
*/
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 1024 * 1024 };

static char block[BLOCK];

static const char answer[] =
    "{\"id\":\"file-1\",\"object\":\"file\",\"bytes\":1,\"created_at\":1,\"filename\":\"a\","
    "\"purpose\":\"fine-tune\",\"status\":\"processed\",\"file\":{\"id\":\"file-1\",\"object\":"
    "\"file\",\"bytes\":1,\"created_at\":1,\"filename\":\"a\",\"purpose\":\"fine-tune\","
    "\"status\":\"processed\"}}";

/* reads until the head is whole: its length, 0 at the end of the connection */
static size_t read_head(int fd, size_t *have) {
  size_t n = 0;
  for (;;) {
    ssize_t got = read(fd, block + n, BLOCK - 1 - n);
    if (got <= 0)
      return 0;
    n += (size_t)got;
    block[n] = '\0';
    char *end = strstr(block, "\r\n\r\n");
    *have = n;
    if (end != NULL)
      return (size_t)(end + 4 - block);
  }
}

static long long body_length(const char *head, size_t n) {
  for (const char *p = head; p != NULL && p < head + n; p = strchr(p, '\n')) {
    p += *p == '\n';
    if (strncasecmp(p, "content-length:", 15) == 0)
      return atoll(p + 15);
  }
  return 0;
}

static void serve(int fd) {
  size_t head, have;
  char text[1024];
  int n = snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                   "\r\n%s",
                   sizeof answer - 1, answer);
  while ((head = read_head(fd, &have)) > 0) {
    long long left = body_length(block, head) - (long long)(have - head);
    while (left > 0) {
      ssize_t got = read(fd, block, left < BLOCK ? (size_t)left : BLOCK);
      if (got <= 0)
        return;
      left -= got;
    }
    if (write(fd, text, (size_t)n) != n)
      return;
  }
}

int main(void) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 64) != 0 ||
      getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
    perror("sink");
    return 1;
  }
  signal(SIGCHLD, SIG_IGN);
  printf("%d\n", ntohs(a.sin_port));
  fflush(stdout);
  struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  while (poll(p, 2, -1) >= 0 && p[0].revents == 0) {
    int peer = p[1].revents != 0 ? accept(fd, NULL, NULL) : -1;
    if (peer >= 0 && fork() == 0) {
      close(fd);
      serve(peer);
      _exit(0);
    }
    if (peer >= 0)
      close(peer);
  }
  return 0;
}
