/*
** dataset.c: the dataset engine without Lua, as prepare_data drives it, for one variant of the
** machine code.
**   dataset VARIANT [id=severity...] [hash] FILE...     VARIANT: portable, sse2, avx2 or best
** Checks the files in slices, by the neutral rules and those severities; `hash`: examples are only
** looked for in a set (twice.h), by no rules. Prints examples, errors, warnings, duplicates.
*/
#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double SLICE = 0.002; /* as prepare.c has it */

static void *allocate(void *ud, void *block, size_t old, size_t n) {
  (void)ud, (void)old;
  if (n > 0)
    return realloc(block, n);
  free(block);
  return NULL;
}

static int variant_named(const char *name) {
  static const char *const names[] = {"portable", "sse2", "avx2"};
  for (int i = 0; i < 3; i++)
    if (strcmp(name, names[i]) == 0)
      return i;
  return FT_SCAN_BEST;
}

static void finding(void *ud, const ft_finding *f) {
  (void)ud;
  fprintf(stderr, "%s: %s %s\n", f->rule, f->path, f->message);
}

static int take(ft_dataset *d, char *word, int *hash) {
  char *equal = strchr(word, '=');
  if (strcmp(word, "hash") == 0)
    return *hash = 1;
  if (equal == NULL)
    return *hash ? ft_dataset_compare(d, word) : ft_dataset_feed(d, word);
  *equal = '\0';
  const char *why = ft_rules_apply(&d->rules, word, equal + 1);
  if (why != NULL)
    fprintf(stderr, "dataset: %s: %s\n", word, why);
  return why == NULL;
}

static void run(ft_dataset *d) {
  while (ft_dataset_advance(d, SLICE) != FT_DATASET_END)
    ;
  while (ft_dataset_settle(d, SLICE) == FT_DATASET_MORE)
    ;
}

int main(int argc, char **argv) {
  static ft_dataset d;
  int hash = 0, variant = argc > 2 ? variant_named(argv[1]) : 0;
  if (argc < 3 || !ft_scan_use(variant)) {
    fprintf(stderr, "usage: dataset portable|sse2|avx2|best [id=severity...] [hash] FILE...\n");
    return 2;
  }
  ft_dataset_init(&d, allocate, NULL);
  d.options.skip_invalid = 1;
  d.rules.findings.keep = 3;
  d.rules.findings.found = finding;
  d.sinks[FT_TRAINING].nowhere = 1;
  for (int i = 2; i < argc; i++)
    if (!take(&d, argv[i], &hash))
      return 2;
  run(&d);
  printf("%lld examples, %zu errors, %zu warnings, %lld duplicates, %zu looked for\n", d.examples,
         d.rules.findings.errors, d.rules.findings.warnings, d.duplicates,
         d.seen.examples + d.against.examples);
  if (d.kind != NULL)
    fprintf(stderr, "dataset: %s\n", d.words);
  int failed = d.kind != NULL;
  ft_dataset_close(&d);
  return failed;
}
