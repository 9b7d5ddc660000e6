/*
** dataset.h: a set of training examples on its way: read from JSONL or given
** one by one, checked, and written as JSONL that appears whole or not at all.
**
** The first part (dataset.c) knows no lua_State: it never raises, keeps the
** first fault of the world in itself, and works in slices of time. The second
** (dataset_lua.c) is the userdata around it.
*/
#ifndef FT_DATASET_H
#define FT_DATASET_H

#include "outfile.h"
#include "rules.h"

#include <lua.h>

enum {
  FT_LINE_MAX = 64 * 1024 * 1024,  /* bytes of an example */
  FT_BLOCK = 256 * 1024,           /* bytes read or written at a time */
  FT_TEXT_MAX = 1024 * 1024 * 1024 /* bytes of JSONL kept in memory, without an output */
};

enum ft_progress { FT_DATASET_MORE, FT_DATASET_IDLE, FT_DATASET_END };

typedef struct ft_dataset {
  ft_rules rules;
  int skip_invalid;
  lua_Integer line; /* of the source; number of the example without one */
  lua_Integer examples, invalid, written, bytes;
  lua_Integer synced;         /* bytes of the output that are on the disk */
  const char *kind;           /* of the first fault of the world; NULL: none */
  char words[FT_MESSAGE_MAX]; /* what it was */
  int closed;                 /* finished or aborted */
  int doomed;                 /* an example was invalid: nothing will be written */
  int source;                 /* descriptor, -1 none */
  int at_start, dropping, is_file;
  size_t taken, seen; /* of `in`: consumed; known to hold no end of line */
  ft_buf in, out, found;
  ft_buf source_path, output_path; /* with '\0', or empty */
  ft_outfile file;
  lua_Alloc alloc;
  void *ud;
} ft_dataset;

/* Each of these answers 0 where a fault of the world is (now) known, but for advance. */
void ft_dataset_init(ft_dataset *d, lua_Alloc alloc, void *ud);
int ft_dataset_output(ft_dataset *d, const char *path);
int ft_dataset_add(ft_dataset *d, const char *s, size_t n); /* one example as JSON text */
int ft_dataset_reject(ft_dataset *d, const char *words);    /* an example that is none, because */
int ft_dataset_feed(ft_dataset *d, const char *path);       /* opens a JSONL file, for advance */
/* Reads and checks for about so long. IDLE: the source (a pipe) has nothing just now. */
enum ft_progress ft_dataset_advance(ft_dataset *d, double seconds);
/* At the end, for about so long: brings what was written nearer to the disk. MORE or END */
enum ft_progress ft_dataset_settle(ft_dataset *d, double seconds);
int ft_dataset_commit(ft_dataset *d); /* makes the output appear; closes nothing else */
void ft_dataset_close(ft_dataset *d); /* gives everything back; idempotent */

/* Visits what was found, in order: *at is 0 at first. 0: no more. */
typedef struct ft_record {
  ft_finding finding;
  lua_Integer line;
} ft_record;
int ft_dataset_found(const ft_dataset *d, size_t *at, ft_record *record);

/* dataset_lua.c */
int ft_dataset_new(lua_State *L); /* core.dataset(options) -> dataset */
/* The dataset at idx, NULL where it is none or is finished */
ft_dataset *ft_dataset_test(lua_State *L, int idx);
/* [0, +2] [raise] Ends the dataset: its report, and nil or a message. NULL, or the kind of error */
const char *ft_dataset_finish(lua_State *L, ft_dataset *d);

/* profile.c: [raise] on an op's stack: adds to the report at idx what the service's profile
   (the instance's setting `dataset`) has against it, as warnings */
void ft_profile_check(lua_State *L, int report);

#endif
