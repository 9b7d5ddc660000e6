/*
** outfile.h: a file that appears whole or not at all: written under a temporary
** name in the same directory, flushed to the disk, then renamed. No Lua, no
** allocation but the one of its name; every function answers 0 or an errno. What is there
** already is replaced, and its permission bits are kept: of a symbolic link the link, never what it
** points to. A pipe or a device is refused (EOPNOTSUPP): a file in its place is not what anybody
** meant.
*/
#ifndef FT_OUTFILE_H
#define FT_OUTFILE_H

#include <stddef.h>

typedef struct ft_outfile {
  int fd;     /* -1 when not open */
  char *temp; /* malloc'd: name while being written */
  char *path; /* malloc'd: name at the end */
} ft_outfile;

#define FT_OUTFILE_CLOSED                                                                          \
  { -1, NULL, NULL }

int ft_outfile_open(ft_outfile *f, const char *path);
/* Are these two names of one file, whether or not it is there? */
int ft_outfile_same(const char *a, const char *b);
int ft_outfile_write(ft_outfile *f, const void *bytes, size_t n);
int ft_outfile_sync(ft_outfile *f);   /* to the disk, so that commit has little left to fail */
int ft_outfile_commit(ft_outfile *f); /* closes in any case; on failure nothing is left behind */
void ft_outfile_abort(ft_outfile *f); /* idempotent */
/* the whole file at once */
int ft_outfile_save(const char *path, const void *bytes, size_t n);

#endif
