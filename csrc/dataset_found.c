#include "dataset.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- faults of the world: the first one stays ---- */

int ft_dataset_fail(ft_dataset *d, const char *kind, const char *format, ...) {
  va_list args;
  if (d->kind != NULL)
    return 0;
  d->kind = kind;
  va_start(args, format);
  vsnprintf(d->words, sizeof d->words, format, args);
  va_end(args);
  for (int side = 0; side < FT_SIDES; side++)
    ft_sink_drop(&d->sinks[side]);
  ft_outfile_abort(&d->shuffled);
  return 0;
}

int ft_dataset_fail_memory(ft_dataset *d) {
  return ft_dataset_fail(d, "memory", "not enough memory");
}

int ft_dataset_fail_output(ft_dataset *d, const ft_sink *sink, int error) {
  if (error == ENOMEM)
    return ft_dataset_fail_memory(d);
  if (error == EFBIG && !ft_sink_is_file(sink))
    return ft_dataset_fail(d, "data", "more than %d MiB of examples; give an output, a file",
                           FT_TEXT_MAX >> 20);
  return ft_dataset_fail(d, "data", "cannot write %s: %s", sink->path.data,
                         error == EOPNOTSUPP ? "it is no regular file" : strerror(error));
}

const char *ft_dataset_source(const ft_dataset *d, size_t number) {
  if (number == 0 || d->sources.len == 0)
    return NULL;
  const char *s = d->sources.data, *end = s + d->sources.len;
  while (--number > 0 && s < end)
    s += strlen(s) + 1;
  return s < end ? s : NULL;
}

/* ---- findings, kept as bytes: Lua values are made of them at the end ---- */

typedef struct Kept {
  long long line;
  size_t source, column;
  int index, warning;
  size_t rule, path, message, excerpt; /* lengths with '\0' */
} Kept;

static void place(const ft_dataset *d, const ft_finding *f, Kept *k) {
  k->source = d->source;
  k->line = d->record.line;
  k->column = f->column;
  if (d->source == 0 || f->column == 0 || d->record.bad != NULL)
    return;
  if (d->record.made == FT_MADE_HERE)
    k->column = 0;
  else if (d->record.made == FT_MADE_OF_ROW)
    ft_reader_row_place(&d->reader, &d->record, f->column - 1, &k->line, &k->column);
  else
    ft_record_place(&d->record, f->column - 1, &k->line, &k->column);
}

void ft_dataset_keep(void *ud, const ft_finding *f) {
  ft_dataset *d = ud;
  Kept k;
  memset(&k, 0, sizeof k); /* the padding too is written */
  place(d, f, &k);
  k.index = f->index;
  k.warning = f->warning;
  const char *texts[] = {f->rule, f->path, f->message, f->excerpt};
  size_t *lengths[] = {&k.rule, &k.path, &k.message, &k.excerpt}, all = sizeof k;
  for (int i = 0; i < 4; i++) /* the words of a user's own rule may be of any length */
    all += *lengths[i] = strnlen(texts[i], FT_MESSAGE_MAX - 1) + 1;
  if (!ft_buf_reserve(&d->found, all)) {
    if (!d->found.full) /* more than anybody reads: they stay counted */
      ft_dataset_fail_memory(d);
    return;
  }
  ft_buf_add(&d->found, &k, sizeof k);
  for (int i = 0; i < 4; i++) {
    ft_buf_add(&d->found, texts[i], *lengths[i] - 1);
    ft_buf_add(&d->found, "", 1);
    ft_tame(d->found.data + d->found.len - *lengths[i]); /* names of keys, words of the user's */
  }
}

int ft_dataset_found(const ft_dataset *d, size_t *at, ft_told *found) {
  Kept k;
  if (*at >= d->found.len)
    return 0;
  memcpy(&k, d->found.data + *at, sizeof k);
  const char *text = d->found.data + *at + sizeof k;
  found->source = k.source;
  found->line = k.line;
  found->finding.index = k.index;
  found->finding.warning = k.warning;
  found->finding.column = k.column;
  found->finding.rule = text;
  found->finding.path = text += k.rule;
  found->finding.message = text += k.path;
  found->finding.excerpt = text += k.message;
  *at += sizeof k + k.rule + k.path + k.message + k.excerpt;
  return 1;
}

static void add_name(char *words, size_t room, const char *name) {
  size_t n = strlen(words);
  snprintf(words + n, room - n, "%s%s", n > 0 && words[n - 1] != ' ' ? ", " : "", name);
}

void ft_dataset_wrong_format(ft_dataset *d, enum ft_format format) {
  char words[256] = "this service takes examples of the formats ";
  for (int f = FT_FORMAT_NONE + 1; f < FT_FORMATS; f++)
    if (d->rules.limits.formats >> f & 1)
      add_name(words, sizeof words, ft_format_name((enum ft_format)f));
  size_t n = strlen(words);
  snprintf(words + n, sizeof words - n, ", not %s", ft_format_name(format));
  ft_rules_found(&d->rules, FT_RULE_SERVICE_FORMAT, NULL, 0, 0, words);
}
