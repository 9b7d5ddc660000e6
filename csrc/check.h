/*
** check.h: what the rules of rules.c and message.c are written with: a walk over a checked
** JSON text that knows its path, sees duplicate keys and reports findings. The
** shape of an object is a table of fields; every function takes the value that
** begins at the cursor and leaves the cursor behind it. No Lua, no recursion
** beyond the text's depth.
*/
#ifndef FT_CHECK_H
#define FT_CHECK_H

#include "buf.h"
#include "scan.h"

enum {
  FT_EXAMPLE_DEPTH = 128, /* levels of nesting in an example */
  FT_FIELDS_MAX = 10,     /* in one shape */
  FT_MESSAGE_MAX = 512,   /* bytes of a finding's message, and of its path */
  FT_KEYS_MAX = 1 << 20   /* keys of the objects that are open at one time */
};

typedef struct ft_finding {
  const char *rule; /* static: the rule's name */
  int warning;
  size_t column; /* byte in the example where it is, from 1; 0: nowhere in particular */
  const char *path;
  const char *message;
} ft_finding;

/* Where findings go: all are counted, the first `keep` of each sort are handed on. */
typedef struct ft_findings {
  size_t errors, warnings, keep;
  void (*found)(void *ud, const ft_finding *f); /* must not raise */
  void *ud;
} ft_findings;

/* Reports what is not inside the text of an example (path "") */
void ft_found(ft_findings *to, int warning, const char *rule, size_t column, const char *message);

/* Makes the working space for ft_check.keys, bounded; ft_buf_free() it. */
void ft_check_keys(ft_buf *keys, lua_Alloc alloc, void *ud);

typedef struct ft_check {
  ft_findings *to;
  ft_buf *keys;     /* the keys seen in the objects that are open */
  const char *text; /* for columns */
  int level, nomem;
  int role; /* of the message being checked: message.c */
  struct {
    int assistants, learned; /* is there an assistant message, and one of weight 1? */
    int unsure;              /* a message was too wrong to tell */
  } tally;
  struct {
    ft_slice key; /* of an object; s NULL: the index of an array */
    long index;
  } path[FT_EXAMPLE_DEPTH + 2];
} ft_check;

typedef void ft_checker(ft_check *c, ft_json *j);

typedef struct ft_field {
  const char *name;
  size_t len;
  ft_checker *check;
  int required;
} ft_field;

#define FT_FIELD(name, check, required)                                                            \
  { name, sizeof name - 1, check, required }
#define FT_FIELD_END                                                                               \
  { NULL, 0, NULL, 0 }

/* An object with these fields: a missing one is an error, an unknown one a
   warning. at[i]: where the value of field i begins, NULL where it is absent.
   Answers 0 where the value is no object. */
int ft_check_object(ft_check *c, ft_json *j, const ft_field *fields, const char **at);
/* An array (not empty, if so told) of what `item` takes; answers how many, -1 where it is none */
long ft_check_array(ft_check *c, ft_json *j, ft_checker *item, int filled);

ft_checker ft_check_any;      /* only duplicate keys */
ft_checker ft_check_string;   /* may be empty */
ft_checker ft_check_name;     /* a string that is not empty */
ft_checker ft_check_nullable; /* a string or null */
ft_checker ft_check_boolean;

/* Findings at `at`, a place in the text; `key`: of a member of the current
   object, or NULL for the current value. The formats are printf's. */
void ft_check_error(ft_check *c, const char *rule, const char *key, const char *at,
                    const char *format, ...);
void ft_check_warning(ft_check *c, const char *rule, const char *key, const char *at,
                      const char *format, ...);
void ft_check_type_error(ft_check *c, const ft_json *j, const char *wanted);
int ft_check_clip(ft_slice s); /* for %.*s: a length that fits into a message */

#endif
