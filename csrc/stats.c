#include "stats.h"

#include <string.h>

enum { FINE = FT_STATS_FINE };

void ft_stats_init(ft_stats *s) {
  memset(s, 0, sizeof *s);
}

/* Values below 2^(FINE + 1) are their own slots; those of a greater power of two share as many
   slots as that of 2^FINE has. */
static size_t slot_of(uint64_t value) {
  unsigned shift = 0;
  while (value >> shift >= (uint64_t)2 << FINE)
    shift++;
  return ((size_t)shift << FINE) + (size_t)(value >> shift);
}

/* The middle of a slot, or what is nearest to it among the values that there were */
static double middle(const ft_stats *s, size_t slot) {
  unsigned shift = slot < (size_t)2 << FINE ? 0 : (unsigned)(slot >> FINE) - 1;
  uint64_t first = ((uint64_t)slot - ((uint64_t)shift << FINE)) << shift;
  double value = (double)first + (double)((UINT64_C(1) << shift) - 1) / 2;
  if (value < (double)s->least)
    return (double)s->least;
  return value > (double)s->greatest ? (double)s->greatest : value;
}

void ft_stats_add(ft_stats *s, uint64_t value) {
  if (value > UINT32_MAX)
    value = UINT32_MAX;
  if (s->count == 0 || value < s->least)
    s->least = value;
  if (value > s->greatest)
    s->greatest = value;
  s->count++;
  s->sum += (double)value;
  s->slots[slot_of(value)]++;
}

double ft_stats_mean(const ft_stats *s) {
  return s->count > 0 ? s->sum / (double)s->count : 0;
}

/* The value of this rank, from 1 on */
static double ranked(const ft_stats *s, uint64_t rank) {
  uint64_t seen = 0;
  size_t slot = 0;
  if (rank <= 1)
    return (double)s->least;
  while (slot < FT_STATS_SLOTS - 1 && (seen += s->slots[slot]) < rank)
    slot++;
  return rank >= s->count ? (double)s->greatest : middle(s, slot);
}

double ft_stats_quantile(const ft_stats *s, double share) {
  double at = share * (double)s->count;
  uint64_t rank = at > 1 ? (uint64_t)at : 1;
  if ((double)rank < at - 1e-6) /* 0.95 is no double: 0.95 of 20 is 19, not a bit more */
    rank++;
  return ranked(s, rank < s->count ? rank : s->count);
}

double ft_stats_median(const ft_stats *s) {
  uint64_t half = s->count / 2;
  double upper = ranked(s, half + 1);
  return s->count % 2 == 1 ? upper : (ranked(s, half) + upper) / 2;
}

/* ---- the histogram ---- */

/* The least of 1, 2, 5, 10, 20, 50 ... of which `bars` cover so much */
static uint64_t round_width(uint64_t range, uint64_t bars) {
  uint64_t width = 1;
  for (int i = 0; width * bars < range; i++)
    width = i % 3 == 1 ? width / 2 * 5 : width * 2;
  return width;
}

size_t ft_stats_bars(const ft_stats *s, ft_bar bars[FT_STATS_BARS]) {
  if (s->count == 0)
    return 0;
  uint64_t top = (uint64_t)ft_stats_quantile(s, 0.99);
  uint64_t width = round_width(top - s->least + 1, FT_STATS_BARS - 2);
  uint64_t first = s->least / width * width;
  size_t n = 0;
  for (uint64_t from = first; from <= top; from += width, n++)
    bars[n].from = from, bars[n].to = from + width - 1, bars[n].count = 0;
  if (s->greatest > bars[n - 1].to) { /* the far ones */
    bars[n].from = bars[n - 1].to + 1;
    bars[n].to = s->greatest;
    bars[n++].count = 0;
  }
  for (size_t slot = 0; slot < FT_STATS_SLOTS; slot++)
    if (s->slots[slot] > 0) {
      uint64_t i = ((uint64_t)middle(s, slot) - first) / width;
      bars[i < n ? i : n - 1].count += s->slots[slot];
    }
  return n;
}
