/*
** rules.h: what a training example must look like, by format and by the severities of a
** profile. One example at a time, on its text and nodes; findings go to a callback. No Lua.
*/
#ifndef FT_RULES_H
#define FT_RULES_H

#include "check.h"

enum ft_format {
  FT_FORMAT_NONE, /* not known yet: the first example decides */
  FT_FORMAT_CHAT,
  FT_FORMAT_COMPLETION,
  FT_FORMAT_PREFERENCE,
  FT_FORMAT_REINFORCEMENT,
  FT_FORMAT_TEXT,
  FT_FORMAT_INSTRUCTION,
  FT_FORMAT_SHAREGPT,
  FT_FORMATS
};

#define FT_FORMAT_NAMES                                                                            \
  "\"chat\", \"completion\", \"preference\", \"reinforcement\", \"text\", \"instruction\" or "     \
  "\"sharegpt\""

/* The format of this name, FT_FORMAT_NONE where there is none */
enum ft_format ft_format_find(const char *name);
const char *ft_format_name(enum ft_format format); /* NULL for FT_FORMAT_NONE */

/* What a service sets a number to; 0: nothing */
typedef struct ft_limits {
  size_t min_examples, max_examples, max_bytes; /* of a set */
  size_t images, image_bytes, messages, tools;  /* of an example; bytes of one image */
  unsigned formats;                             /* a bit for each, 1 << enum ft_format */
  enum { FT_BOM_ANY, FT_BOM_STRIP, FT_BOM_REQUIRE } bom;
} ft_limits;

typedef struct ft_rules {
  enum ft_format format;
  int guessed; /* the format is the first example's */
  ft_findings findings;
  ft_limits limits;
  unsigned char grade[FT_RULE_COUNT]; /* enum ft_severity */
  /* work space: ids of the calls that may be answered; functions that are declared, and called */
  ft_names open, declared, called;
  ft_buf plain; /* a string unescaped; the keys of an object, sorted */
} ft_rules;

/* Sets `r` to the neutral rules: no format, no limits. ft_rules_free() gives its memory back. */
void ft_rules_init(ft_rules *r, lua_Alloc alloc, void *ud);
void ft_rules_free(ft_rules *r);

/* Gives the rule `id` this severity ("error", "warning" or "off"): NULL, or why not, static */
const char *ft_rules_apply(ft_rules *r, const char *id, const char *severity);
enum ft_severity ft_rules_severity(const ft_rules *r, enum ft_rule rule); /* never FT_GRADE_USUAL */

/* Checks an example: 1 valid, 0 not (errors were found), -1 no memory. facts: NULL, or what to
   fill (also of an example that is not valid, then as far as it was understood). */
int ft_rules_example(ft_rules *r, const ft_example *e, ft_facts *facts);
/* A text that ft_scan_nodes() did not accept: its findings, by what it answered */
void ft_rules_not_json(ft_rules *r, const char *s, size_t n, size_t at, const char *why);

#endif
