/*
** dataset_measure.c: the statistics of a set. They are of what is written; so where max_examples
** are drawn from all at the end, what was counted of each is kept until then.
*/
#include "dataset.h"

/* Of an example */
typedef struct Counts {
  uint32_t messages, characters, roles[FT_ROLES], tokens, learned;
} Counts;

static int count(ft_dataset *d, const ft_example *e, const ft_facts *facts, Counts *c) {
  size_t all = 0, learned = 0;
  if (d->count != NULL && !d->count(d->count_ud, e, ft_dataset_format(d), &all, &learned))
    return ft_dataset_fail_memory(d);
  c->messages = (uint32_t)facts->messages;
  c->characters = (uint32_t)facts->characters;
  for (int role = 0; role < FT_ROLES; role++)
    c->roles[role] = (uint32_t)facts->roles[role];
  c->tokens = (uint32_t)all;
  c->learned = (uint32_t)learned;
  return 1;
}

static void measure(ft_dataset *d, const Counts *c, int side) {
  ft_stats_add(&d->measures[FT_MESSAGES], c->messages);
  ft_stats_add(&d->measures[FT_CHARACTERS], c->characters);
  for (int role = 0; role < FT_ROLES; role++)
    d->roles[role] += c->roles[role];
  if (d->count == NULL)
    return;
  ft_stats_add(&d->measures[FT_TOKENS], c->tokens);
  d->tokens[side] += c->tokens;
  d->learned[side] += c->learned;
}

/* ---- candidates: in chunks, so that nothing is moved when there are more ---- */

enum { CHUNK = 4096 };

static Counts *candidate(const ft_dataset *d, size_t i) {
  Counts *chunk;
  memcpy(&chunk, d->candidates.data + i / CHUNK * sizeof chunk, sizeof chunk);
  return &chunk[i % CHUNK];
}

static size_t chunks(const ft_dataset *d) {
  return d->candidates.len / sizeof(Counts *);
}

static int add_chunk(ft_dataset *d) {
  Counts *chunk;
  if (!ft_buf_reserve(&d->candidates, sizeof chunk))
    return 0;
  chunk = d->alloc(d->ud, NULL, 0, CHUNK * sizeof *chunk);
  return chunk != NULL && ft_buf_add(&d->candidates, &chunk, sizeof chunk);
}

static int keep(ft_dataset *d, const Counts *c) {
  if (d->kept == chunks(d) * CHUNK && !add_chunk(d))
    return ft_dataset_fail_memory(d);
  *candidate(d, d->kept++) = *c;
  return 1;
}

void ft_dataset_forget_candidates(ft_dataset *d) {
  for (size_t i = 0; i < chunks(d); i++)
    d->alloc(d->ud, candidate(d, i * CHUNK), CHUNK * sizeof(Counts), 0);
  ft_buf_free(&d->candidates);
  d->kept = d->measured = 0;
}

/* ---- the statistics ---- */

int ft_dataset_measure(ft_dataset *d, const ft_example *e, const ft_facts *facts, int side) {
  const ft_dataset_options *o = &d->options;
  Counts c;
  if (!count(d, e, facts, &c))
    return 0;
  if (side == FT_TRAINING && o->shuffle && o->max_examples > 0 && !d->doomed)
    return keep(d, &c);
  measure(d, &c, side);
  return 1;
}

void ft_dataset_measure_drawn(ft_dataset *d) {
  if (d->kept > 0)
    for (; d->measured < d->shuffle.drawn; d->measured++)
      measure(d, candidate(d, ft_shuffle_number(&d->shuffle, d->measured)), FT_TRAINING);
}

enum { LOOK = 256 }; /* examples between two looks at the clock */

int ft_dataset_measure_all(ft_dataset *d, double until) {
  while (d->measured < d->kept) {
    measure(d, candidate(d, d->measured++), FT_TRAINING);
    if (d->measured % LOOK == 0 && ft_sink_clock() >= until)
      return 0;
  }
  return 1;
}
