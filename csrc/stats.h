/*
** stats.h: what there is to say of a number per example (messages, tokens, characters), without
** keeping the numbers. Count, sum, least and greatest are exact. Quantiles and the histogram come
** from counts of slots: up to 511 a value has a slot of its own and they are exact; above, a slot
** is 1/256 of its value wide, and a quantile is at most 0.2 % off. Numbers from 2^32 on count as
** 2^32 - 1. 50 KiB, whatever comes. No Lua, no allocation.
*/
#ifndef FT_STATS_H
#define FT_STATS_H

#include <stddef.h>
#include <stdint.h>

enum {
  FT_STATS_FINE = 8, /* bits of a value that tell its slot, below the first */
  FT_STATS_SLOTS = (32 - FT_STATS_FINE + 1) << FT_STATS_FINE,
  FT_STATS_BARS = 20 /* of a histogram, at most */
};

typedef struct ft_stats {
  uint64_t count, least, greatest;
  double sum;
  uint64_t slots[FT_STATS_SLOTS];
} ft_stats;

typedef struct ft_bar {
  uint64_t from, to; /* values from <= v <= to */
  uint64_t count;
} ft_bar;

void ft_stats_init(ft_stats *s);
void ft_stats_add(ft_stats *s, uint64_t value);
double ft_stats_mean(const ft_stats *s); /* 0 where there are none; so the others */
/* The least value that is at least as great as this share of all (0 < share <= 1) */
double ft_stats_quantile(const ft_stats *s, double share);
double ft_stats_median(const ft_stats *s); /* of an even count, the mean of the two middle ones */
/* Bars of one width, a round number; the last takes all that is far above the rest (the top 1 %).
   Answers how many. A slot that lies across a border counts where its middle is. */
size_t ft_stats_bars(const ft_stats *s, ft_bar bars[FT_STATS_BARS]);

#endif
