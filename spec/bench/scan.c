/*
** scan.c: how fast the scanner is alone.
**   scan VARIANT FILE [ROUNDS]      VARIANT: portable, sse2, avx2 or best
** Reads the file line by line as the dataset engine does (256 KiB blocks, memchr) and scans
** each line, nodes and all. Prints MB a second of user CPU, median of the rounds; under
** callgrind, run it with files of two sizes and subtract.
*/
#include "scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024, NODES = 1 << 16, ROUNDS_MAX = 99 };

static char buffer[BUFFER];
static ft_node nodes[NODES];
static size_t bytes, lines, invalid, found;

static double user_seconds(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec * 1e-6;
}

static void one_line(const char *s, size_t n) {
  const char *why;
  size_t count;
  invalid += ft_scan_nodes(s, n, 128, nodes, NODES, &count, &why) >= 0;
  found += count;
  lines++;
}

/* the whole lines of [buffer, buffer + n): how many bytes are left behind them */
static size_t whole_lines(size_t n) {
  const char *p = buffer, *end = buffer + n, *line_end;
  while ((line_end = memchr(p, '\n', (size_t)(end - p))) != NULL) {
    one_line(p, (size_t)(line_end - p));
    p = line_end + 1;
  }
  size_t left = (size_t)(end - p);
  memmove(buffer, p, left);
  return left;
}

static void whole_file(const char *path) {
  int fd = open(path, O_RDONLY);
  size_t have = 0;
  ssize_t got;
  while (fd >= 0 && (got = read(fd, buffer + have, BUFFER - have)) > 0) {
    bytes += (size_t)got;
    have = whole_lines(have + (size_t)got);
    if (have == BUFFER)
      break;
  }
  if (fd < 0 || have != 0) {
    fprintf(stderr, "scan: %s: cannot be opened, or a line is cut or too long\n", path);
    exit(1);
  }
  close(fd);
}

static int variant_named(const char *name) {
  static const char *const names[] = {"portable", "sse2", "avx2"};
  for (int i = 0; i < 3; i++)
    if (strcmp(name, names[i]) == 0)
      return i;
  return FT_SCAN_BEST;
}

static int by_value(const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv) {
  double rounds[ROUNDS_MAX];
  int count = argc > 3 ? atoi(argv[3]) : 1;
  if (argc < 3 || count < 1 || count > ROUNDS_MAX) {
    fprintf(stderr, "usage: scan portable|sse2|avx2|best FILE [ROUNDS]\n");
    return 2;
  }
  if (!ft_scan_use(variant_named(argv[1]))) {
    fprintf(stderr, "scan: this machine has no %s\n", argv[1]);
    return 3;
  }
  for (int i = 0; i < count; i++) {
    double began = user_seconds();
    whole_file(argv[2]);
    rounds[i] = user_seconds() - began;
  }
  qsort(rounds, (size_t)count, sizeof *rounds, by_value);
  double seconds = rounds[count / 2];
  printf("%s %.0f MB/s user, %zu lines, %zu invalid, %.1f nodes a line\n", argv[1],
         seconds > 0 ? (double)bytes / count / seconds / 1e6 : 0.0, lines / (size_t)count,
         invalid / (size_t)count, lines > 0 ? (double)found / (double)lines : 0.0);
  return 0;
}
