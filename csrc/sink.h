/*
** sink.h: where examples go: a file that appears whole or not at all, or memory. One example
** a line. No Lua; nothing raises: each function that can fail answers 0 or an errno, and
** EFBIG where memory that was asked for is more than is kept.
*/
#ifndef FT_SINK_H
#define FT_SINK_H

#include "buf.h"
#include "outfile.h"

enum {
  FT_SINK_BLOCK = 256 * 1024,      /* bytes read or written at a time */
  FT_TEXT_MAX = 1024 * 1024 * 1024 /* bytes of JSONL kept in memory, without a file */
};

typedef struct ft_sink {
  ft_outfile file;
  ft_buf path; /* with '\0'; empty: memory */
  ft_buf out;  /* not written yet, or all of it */
  int nowhere; /* what comes is only counted */
  long long written, bytes, synced;
} ft_sink;

void ft_sink_init(ft_sink *s, lua_Alloc alloc, void *ud);
int ft_sink_open(ft_sink *s, const char *path);
int ft_sink_is_file(const ft_sink *s);
/* One example and its "\n". joined: it may have line ends between its values; they become
   spaces, the only bytes of an example that are ever changed. */
int ft_sink_put(ft_sink *s, const char *text, size_t n, int joined);
int ft_sink_flush(ft_sink *s);
/* Brings the file nearer to the disk, until `until` (CLOCK_MONOTONIC): 1: there is more to do */
int ft_sink_settle(ft_sink *s, double until);
int ft_sink_sync(ft_sink *s);   /* all of it is on the disk */
int ft_sink_commit(ft_sink *s); /* the file appears */
void ft_sink_drop(ft_sink *s);  /* what was written is gone, and counts as nothing */
void ft_sink_free(ft_sink *s);  /* idempotent */

double ft_sink_clock(void); /* CLOCK_MONOTONIC in seconds */

#endif
