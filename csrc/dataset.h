/*
** dataset.h: a set of training examples on its way: read, checked, converted, de-duplicated,
** divided, and written as JSONL that appears whole or not at all.
**
** The first part (dataset.c, dataset_example.c, dataset_found.c) knows no lua_State: it never
** raises, keeps the first fault of the world in itself, and works in slices of time. The second
** (dataset_lua.c, dataset_options.c, dataset_report.c) is the userdata around it.
*/
#ifndef FT_DATASET_H
#define FT_DATASET_H

#include "convert.h"
#include "reader.h"
#include "rules.h"
#include "shuffle.h"
#include "sink.h"
#include "stats.h"
#include "tokens.h"
#include "truncate.h"
#include "twice.h"

#include <lua.h>

enum ft_progress { FT_DATASET_MORE, FT_DATASET_IDLE, FT_DATASET_END };

enum { FT_TRAINING, FT_VALIDATION, FT_SIDES };

struct ft_dataset;

/* More to say of an example, as it would be written, from outside: 1 valid; 0 not, and findings or
   a fault were told */
typedef int ft_judge(void *ud, struct ft_dataset *d, const ft_example *e);
/* Its tokens, all and those that are learned: 1, or 0: no memory */
typedef int ft_counter(void *ud, const ft_example *e, enum ft_format format, size_t *all,
                       size_t *learned);

typedef struct ft_dataset_options {
  enum ft_shape shape;     /* of the files, but for the one to compare with; LOOK: by looking */
  enum ft_format to;       /* the format of the output; FT_FORMAT_NONE: as it comes */
  const char *const *drop; /* keys that may be lost on the way there, NULL behind them */
  int skip_invalid;
  int dedupe;             /* of examples that say the same only the first is kept */
  double validation;      /* share of the examples that goes to the second output */
  uint64_t seed;          /* of that division, and of the shuffle */
  int shuffle;            /* the training examples are written in an order of chance */
  long long max_examples; /* that are written for training; 0: all */
  size_t max_messages, max_characters, max_tokens; /* 0: any; else messages are dropped */
} ft_dataset_options;

/* What the report says of each number per example */
enum ft_measure { FT_MESSAGES, FT_CHARACTERS, FT_TOKENS, FT_MEASURES };

typedef struct ft_dataset {
  ft_dataset_options options;
  ft_rules rules;      /* with the format of what is read */
  ft_judge *judge;     /* NULL, or the user's own rules */
  ft_tokens tokenizer; /* what `count` and `weigh` work with */
  ft_counter *count;   /* NULL: tokens are not counted */
  ft_weigh *weigh;     /* a message in tokens; with count_ud */
  void *judge_ud, *count_ud;

  ft_reader reader;
  ft_record record;       /* the one at hand, by which findings are placed */
  ft_buf sources;         /* their names, a '\0' behind each */
  size_t source;          /* number of the one at hand, from 1; 0: examples of a Lua program */
  size_t opened;          /* how many there were so far */
  size_t next;            /* where the next one's name begins in `sources` */
  int reading;            /* the reader has one open */
  int comparing;          /* what is read now are examples to look out for */
  long long size, before; /* bytes of all sources where known (-1); of those read to their end */

  ft_buf texts, drop, columns; /* strings of the options, and what points to them */

  ft_buf nodes, nodes_made, made, shorter; /* the example's; and of what it becomes */
  ft_buf strings;                          /* of `made`, those that were scanned before */
  ft_twice seen, against;                  /* the examples so far, those to look out for */
  ft_buf answer;                           /* the first one; len 0: none yet */
  int answers;                             /* 0: none, 1: all the same, 2: there are others */

  ft_sink sinks[FT_SIDES];
  ft_shuffle shuffle;
  ft_buf candidates;     /* dataset_measure.c: of which max_examples will be drawn */
  size_t kept, measured; /* how many there are; of them, those in the statistics */
  ft_outfile shuffled;
  ft_buf shuffled_text;
  long long drawn_bytes; /* of the lines that were drawn for it */

  long long examples, invalid, duplicates, leaked, shortened, blank;
  long long compared, unread; /* records of the file to compare with; of those, no JSON */
  int changed;                /* of a file it was told that somebody wrote to it */
  long long formats[FT_FORMATS], roles[FT_ROLES];
  long long tokens[FT_SIDES], learned[FT_SIDES];
  ft_stats measures[FT_MEASURES];

  const char *kind;                    /* of the first fault of the world; NULL: none */
  char words[FT_MESSAGE_MAX];          /* what it was */
  int closed;                          /* finished or aborted */
  int doomed;                          /* an example was invalid: nothing will be written */
  int judging;                         /* the user's own rules look at an example: hands off */
  size_t errors_before;                /* findings before the record at hand */
  size_t counts_before[FT_RULE_COUNT]; /* of each rule, if the record may become another text */
  double pause;                        /* how long to wait for a pipe that has nothing just now */
  long long paused_at;                 /* bytes there were when it had nothing */
  int full;                            /* max_examples were written: no more is read */
  int phase;                           /* of ft_dataset_settle() */
  ft_buf found;
  lua_Alloc alloc;
  void *ud;
} ft_dataset;

/* Each of these answers 0 where a fault of the world is (now) known. */
void ft_dataset_init(ft_dataset *d, lua_Alloc alloc, void *ud);
int ft_dataset_output(ft_dataset *d, int side, const char *path);
int ft_dataset_add(ft_dataset *d, const char *s, size_t n); /* one example as JSON text */
int ft_dataset_reject(ft_dataset *d, const char *words);    /* an example that is none, because */
int ft_dataset_feed(ft_dataset *d, const char *path); /* one more file for advance; "-": stdin */
/* The examples of this file are looked out for in all that is fed after it */
int ft_dataset_compare(ft_dataset *d, const char *path);

/* Reads and checks for about so long. IDLE: the source (a pipe) has nothing just now. */
enum ft_progress ft_dataset_advance(ft_dataset *d, double seconds);
/* At the end, for about so long: checks the set as a whole, shuffles, brings what was written
   nearer to the disk. MORE or END */
enum ft_progress ft_dataset_settle(ft_dataset *d, double seconds);
int ft_dataset_commit(ft_dataset *d); /* makes the outputs appear; closes nothing else */
void ft_dataset_close(ft_dataset *d); /* gives everything back; idempotent */

/* The format of what is written */
enum ft_format ft_dataset_format(const ft_dataset *d);

/* dataset_example.c: one example through all steps */
int ft_dataset_example(ft_dataset *d, const char *s, size_t n, int joined);
int ft_dataset_invalid(ft_dataset *d); /* counts one more; 0 as above */
void ft_dataset_doom(ft_dataset *d);
int ft_dataset_look_out(ft_dataset *d, const char *s, size_t n);

/* dataset_measure.c: what is written goes into the statistics, at once or once it was drawn; 0 as
   above. Those that the shuffle has drawn since; or all of them, until then at most: 1: done */
int ft_dataset_measure(ft_dataset *d, const ft_example *e, const ft_facts *facts, int side);
void ft_dataset_measure_drawn(ft_dataset *d);
int ft_dataset_measure_all(ft_dataset *d, double until);
void ft_dataset_forget_candidates(ft_dataset *d);

/* dataset_found.c: faults and findings */
int ft_dataset_fail(ft_dataset *d, const char *kind, const char *format, ...);
int ft_dataset_fail_memory(ft_dataset *d);
int ft_dataset_fail_output(ft_dataset *d, const ft_sink *sink, int error);
void ft_dataset_keep(void *ud, const ft_finding *f);               /* for ft_findings.found */
const char *ft_dataset_source(const ft_dataset *d, size_t number); /* its name; NULL for 0 */

void ft_dataset_wrong_format(ft_dataset *d, enum ft_format format);

/* Visits what was found, in order: *at is 0 at first. 0: no more. */
typedef struct ft_told {
  ft_finding finding;
  size_t source;
  long long line; /* of the source; number of the example without one; 0: of the whole set */
} ft_told;
int ft_dataset_found(const ft_dataset *d, size_t *at, ft_told *found);

/* dataset_lua.c */
int ft_dataset_new(lua_State *L); /* core.dataset(options) -> dataset */
/* The dataset at idx, NULL where it is none or is finished */
ft_dataset *ft_dataset_test(lua_State *L, int idx);
/* dataset_report.c: core.rules() -> array of {id, severity, means, hint, source} */
int ft_dataset_rules(lua_State *L);
/* dataset_options.c: [raise] the options of the table at 1, and what the service asks for, of
   the table at 2 (or nil), to d; wrong ones raise */
void ft_dataset_configure(lua_State *L, ft_dataset *d);
/* dataset_report.c: [0, +2] [raise] ends the dataset: its report, and nil or a message. NULL, or
   the kind of error */
const char *ft_dataset_finish(lua_State *L, ft_dataset *d);

#endif
