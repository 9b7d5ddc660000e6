/*
** transform.c: one transformation of the examples on standard input, a line each, for the specs:
**   transform convert FROM TO [KEY...]         the line, or "lost BYTE PATH: WORDS"; KEYs may go
**   transform hash SEED FRACTION               the hash, and 1 or 0: the side of the split
**   transform truncate FORMAT UNIT MOST        the line, or "fits N", "cannot N"
**   transform stats                            a number a line: what there is to say of them
** Formats are numbers, as in enum ft_format; UNIT is messages or characters.
*/
#include "canon.h"
#include "convert.h"
#include "stats.h"
#include "truncate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 1 << 16, DEPTH = 64 };

static ft_node nodes[NODES];
static char line[1 << 20];
static ft_buf out;

static void *allocate(void *ud, void *block, size_t old, size_t size) {
  (void)ud, (void)old;
  if (size > 0)
    return realloc(block, size);
  free(block);
  return NULL;
}

static void print_out(void) {
  fwrite(out.data, 1, out.len, stdout);
  putchar('\n');
}

static void convert(const ft_example *e, char **args) {
  const char *drop[16] = {NULL};
  ft_conversion c = {(enum ft_format)atoi(args[0]), (enum ft_format)atoi(args[1]), drop, NULL};
  ft_lost lost;
  for (int i = 0; i < 15 && args[i + 2] != NULL; i++)
    drop[i] = args[i + 2], drop[i + 1] = NULL;
  if (ft_convert(e, &c, &out, &lost) == 1)
    print_out();
  else
    printf("lost %zu %s: %s\n", lost.at, lost.path, lost.words);
}

static void hash(const ft_example *e, char **args) {
  uint64_t seed = strtoull(args[0], NULL, 10);
  ft_hash h = ft_canon(e, seed);
  printf("%016llx%016llx %d\n", (unsigned long long)h.a, (unsigned long long)h.b,
         ft_canon_side(h, seed, atof(args[1])));
}

static void shorten(const ft_example *e, char **args) {
  ft_weigh *weigh = strcmp(args[1], "messages") == 0 ? ft_weigh_message : ft_weigh_characters;
  ft_truncation t;
  int r = ft_truncate(e, (enum ft_format)atoi(args[0]), atoll(args[2]), weigh, NULL, &out, &t);
  if (r == FT_TRUNCATE_DONE)
    print_out();
  else
    printf("%s %lld\n", r == FT_TRUNCATE_FITS ? "fits" : "cannot", (long long)t.after);
}

static int statistics(void) {
  static ft_stats s;
  ft_bar bars[FT_STATS_BARS];
  ft_stats_init(&s);
  while (fgets(line, sizeof line, stdin) != NULL)
    ft_stats_add(&s, strtoull(line, NULL, 10));
  printf("%llu %llu %.10g %.10g %.10g\n", (unsigned long long)s.least,
         (unsigned long long)s.greatest, ft_stats_mean(&s), ft_stats_median(&s),
         ft_stats_quantile(&s, 0.95));
  for (size_t i = 0, n = ft_stats_bars(&s, bars); i < n; i++)
    printf("%llu-%llu %llu\n", (unsigned long long)bars[i].from, (unsigned long long)bars[i].to,
           (unsigned long long)bars[i].count);
  return 0;
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    int args;
    void (*run)(const ft_example *e, char **args);
  } commands[] = {{"convert", 2, convert}, {"hash", 2, hash}, {"truncate", 3, shorten}};
  if (argc > 1 && strcmp(argv[1], "stats") == 0)
    return statistics();
  ft_buf_init(&out, allocate, NULL, sizeof line * 2);
  while (argc > 1 && fgets(line, sizeof line, stdin) != NULL) {
    ft_example e = {line, strcspn(line, "\n"), nodes, 0};
    const char *why;
    ft_buf_clear(&out);
    if (ft_scan_nodes(line, e.n, DEPTH, nodes, NODES, &e.count, &why) >= 0 || e.count > NODES)
      return fprintf(stderr, "no JSON: %s\n", line), EXIT_FAILURE;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
      if (strcmp(argv[1], commands[i].name) == 0 && argc >= 2 + commands[i].args)
        commands[i].run(&e, argv + 2);
  }
  ft_buf_free(&out);
  return EXIT_SUCCESS;
}
