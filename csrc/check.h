/*
** check.h: what the rules are written with: findings with path and excerpt, the severity of a
** rule, and checks of an example's values by tables of fields. Everything works on the nodes of
** an accepted text and visits each of them once; where a finding is, is only worked out once
** there is one. No Lua, no recursion beyond the depth of a shape.
*/
#ifndef FT_CHECK_H
#define FT_CHECK_H

#include "buf.h"
#include "example.h"

enum {
  FT_EXAMPLE_DEPTH = 128, /* levels of nesting in an example */
  FT_NODES_MAX = 1 << 22, /* values and keys in one */
  FT_FIELDS_MAX = 12,     /* in one shape */
  FT_MESSAGE_MAX = 512,   /* bytes of a finding's message, and of its path */
  FT_EXCERPT_MAX = 60
};

/* ---- the rules: rules_table.h ---- */

enum ft_rule {
#define RULE(name, id, severity, means, hint, source) FT_RULE_##name,
#include "rules_table.h"
#undef RULE
  FT_RULE_COUNT
};

enum ft_severity {
  FT_GRADE_USUAL,
  FT_GRADE_OFF,
  FT_GRADE_WARNING,
  FT_GRADE_ERROR
}; /* FT_GRADE_USUAL: as the table says */

typedef struct ft_rule_info {
  const char *id;
  enum ft_severity severity;
  const char *means, *hint, *source;
} ft_rule_info;

extern const ft_rule_info ft_rule_table[FT_RULE_COUNT];

int ft_rule_find(const char *id); /* its number, -1: there is none */

/* ---- findings ---- */

typedef struct ft_finding {
  int index;        /* enum ft_rule */
  const char *rule; /* its id, static */
  int warning;      /* 1 a warning, 0 an error */
  size_t column;    /* byte in the record where it is, from 1; 0: nowhere in particular */
  const char *path, *message;
  const char *excerpt; /* of the record, around that byte: printable UTF-8, or "" */
} ft_finding;

/* Where findings go: all are counted, the first `keep` of each sort are handed on. */
typedef struct ft_findings {
  size_t errors, warnings, keep;
  size_t counts[FT_RULE_COUNT];
  void (*found)(void *ud, const ft_finding *f); /* must not raise */
  void *ud;
} ft_findings;

/* At most FT_EXCERPT_MAX bytes of s around `at` to `out` (one byte more, for '\0'): what is no
   printable UTF-8 (also bidirectional controls) becomes '?', no character is cut */
void ft_excerpt(const char *s, size_t n, size_t at, char *out);

struct ft_rules;

/* Reports what is not at a node: s (may be NULL) is the record, column as in ft_finding */
void ft_rules_found(struct ft_rules *r, enum ft_rule rule, const char *s, size_t n, size_t column,
                    const char *message);

/* ---- a set of strings of one example: its calls' ids, its tools' names ---- */

typedef struct ft_names {
  ft_buf list; /* Key, as in rules_names.c */
  int sorted;
} ft_names;

void ft_names_init(ft_names *names, lua_Alloc alloc, void *ud);
void ft_names_clear(ft_names *names);
void ft_names_free(ft_names *names);
size_t ft_names_count(const ft_names *names);
int ft_names_add(ft_names *names, const ft_example *e, size_t node); /* 0: no memory, or too many */
size_t ft_names_at(const ft_names *names, size_t i); /* the node of one, in the order of their
                                                        coming (before anything is looked for) */
/* Marks the one that reads like this node. 1; 0: there is none; -1: it was marked before */
int ft_names_mark(ft_names *names, const ft_example *e, size_t node);
/* The nodes of a text that comes twice: the first that is met; 0: there is none */
size_t ft_names_twice(ft_names *names, const ft_example *e);

/* ---- the example that is checked ---- */

enum ft_role {
  FT_ROLE_NONE,
  FT_ROLE_SYSTEM,
  FT_ROLE_DEVELOPER,
  FT_ROLE_USER,
  FT_ROLE_ASSISTANT,
  FT_ROLE_TOOL,
  FT_ROLE_FUNCTION,
  FT_ROLES
};

extern const char *const ft_role_names[FT_ROLES]; /* NULL for FT_ROLE_NONE */

/* What is counted of an example for the statistics */
typedef struct ft_facts {
  size_t messages, images;
  size_t characters; /* code points of its texts, unescaped */
  size_t roles[FT_ROLES];
} ft_facts;

typedef struct ft_check {
  struct ft_rules *rules;
  const ft_example *e;
  const ft_node *nodes; /* e->nodes */
  ft_facts *facts;
  int nomem;
  int unsure;           /* what follows from a fault that was told is not told */
  enum ft_role role;    /* of the message being checked, or before */
  int special;          /* may there be a special token anywhere, in bars as they are? */
  int tools;            /* were tools declared? */
  size_t images, image; /* how many images; one of the message being checked, or 0 */
  struct {
    enum ft_role last, role_before;
    size_t node, last_calls; /* the last message; its tool_calls, or 0 */
    size_t count, assistants, users, systems, learned;
    size_t open, open_at; /* calls without an answer yet, and where they are */
  } talk;
  struct {
    size_t array, child;
    long index;
  } seen; /* the last step of a path that was found: the next is behind it */
} ft_check;

typedef void ft_checker(ft_check *c, size_t node);

typedef struct ft_field {
  const char *name;
  size_t len;
  ft_checker *check;
  int required;
} ft_field; /* in a table the required ones come first */

#define FT_FIELD(name, check, required)                                                            \
  { name, sizeof name - 1, check, required }
#define FT_FIELD_END                                                                               \
  { NULL, 0, NULL, 0 }

/* An object with these fields: each is checked, a required one that is absent is an error, any
   other key is a finding of the rule `unknown` (FT_RULE_COUNT: welcome). at[i]: the value of
   field i, 0 where it is absent. Answers 0 where the node is no object. */
int ft_check_object(ft_check *c, size_t node, const ft_field *fields, enum ft_rule unknown,
                    uint32_t *at);
/* An array of what `item` takes; answers how many, -1 where it is none. `filled`: may not be empty
 */
long ft_check_array(ft_check *c, size_t node, ft_checker *item, int filled);

ft_checker ft_check_any;      /* only duplicate keys, in all that it holds */
ft_checker ft_check_string;   /* may be empty */
ft_checker ft_check_name;     /* a string that is not empty */
ft_checker ft_check_nullable; /* a string or null */
ft_checker ft_check_boolean;
ft_checker ft_check_text;    /* a string that is learned or read: counted, looked through */
ft_checker ft_check_special; /* ... this string is only looked through */

/* Does this string node read so (ASCII)? */
int ft_check_is(const ft_check *c, size_t node, const char *word, size_t n);

int ft_check_on(const ft_check *c, enum ft_rule rule); /* is the rule not off? */
/* A finding at the node (a key: at the key); `key`: of a member of it that is absent, or NULL.
   The formats are printf's. */
void ft_check_found(ft_check *c, enum ft_rule rule, size_t node, const char *key,
                    const char *format, ...);
/* The same, where its path is that of another node */
void ft_check_found_in(ft_check *c, enum ft_rule rule, size_t at, size_t path, const char *format,
                       ...);
void ft_check_type_error(ft_check *c, size_t node, const char *wanted);
void ft_tame(char *s);         /* what is not printable in it becomes '?'; it may get shorter */
int ft_check_clip(ft_slice s); /* for %.*s: a length that fits into a message */
ft_slice ft_check_slice(const ft_check *c, size_t node);
/* The string as what it means: good until the next call; s NULL: no memory (c->nomem is set) */
ft_slice ft_check_plain(ft_check *c, size_t node);

/* For functions of what is rare: they stay out of the way of what is not */
#if defined __GNUC__
#define FT_RARE __attribute__((cold, noinline))
#else
#define FT_RARE
#endif

/* rules_text.c: 0: what these bytes of JSON mean surely holds no special token */
int ft_text_may_be_special(const char *s, size_t n);
/* The first special token <|...|> of a text, unescaped: 1, and where */
int ft_text_special(const char *s, size_t n, size_t *at, size_t *len);

#endif
