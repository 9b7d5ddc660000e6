/*
** rules.h: what a training example must look like, by format. One example at a
** time, on its bytes; findings go to a callback. No Lua.
*/
#ifndef FT_RULES_H
#define FT_RULES_H

#include "check.h"

enum ft_format {
  FT_FORMAT_NONE, /* not known yet: the first example decides */
  FT_FORMAT_CHAT,
  FT_FORMAT_COMPLETION,
  FT_FORMAT_PREFERENCE
};

#define FT_FORMAT_NAMES "\"chat\", \"completion\" or \"preference\""

/* The format of this name, FT_FORMAT_NONE where there is none */
enum ft_format ft_format_find(const char *name);
const char *ft_format_name(enum ft_format format); /* NULL for FT_FORMAT_NONE */

typedef struct ft_rules {
  enum ft_format format;
  int guessed; /* the format is the first example's */
  ft_findings findings;
  ft_buf keys; /* working space; ft_buf_free() it */
} ft_rules;

/* Checks the example [s, s + n): 1 valid, 0 not (errors were found), -1 no memory */
int ft_rules_check(ft_rules *r, const char *s, size_t n);

#endif
