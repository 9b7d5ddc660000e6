#include "truncate.h"

#include <string.h>

typedef struct Truncate {
  const ft_example *e;
  const char *role; /* the key of a message's role */
  size_t list;      /* the array of messages; 0: there is none */
  size_t user;      /* the last message of the user; 0: there is none */
  size_t last;      /* the last answer, with which the tools' answers behind it stay */
  size_t copied;    /* bytes of the text that were written, or left out */
  int64_t most;
  ft_weigh *weigh;
  void *ud;
  ft_buf *out;
  ft_truncation *t;
} Truncate;

/* ---- messages ---- */

enum Kind { STAYS, ASKS, ANSWERS, TOOL };

static enum Kind kind_of(const Truncate *T, size_t message) {
  static const struct {
    const char *role;
    enum Kind kind;
  } kinds[] = {{"system", STAYS}, {"developer", STAYS}, {"user", ASKS},       {"human", ASKS},
               {"tool", TOOL},    {"function", TOOL},   {"observation", TOOL}};
  size_t role = ft_example_member(T->e, message, T->role);
  if (role > 0 && T->e->nodes[role].type == '"')
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
      if (ft_json_is(ft_example_slice(T->e, role), kinds[i].role))
        return kinds[i].kind;
  return ANSWERS;
}

static size_t list_of(const ft_example *e, enum ft_format format) {
  size_t object = 0;
  if (format == FT_FORMAT_PREFERENCE && (object = ft_example_member(e, 0, "input")) == 0)
    return 0;
  size_t list =
      ft_example_member(e, object, format == FT_FORMAT_SHAREGPT ? "conversations" : "messages");
  return list > 0 && e->nodes[list].type == '[' ? list : 0;
}

/* Weighs all; finds the last of the user and the last answer behind it. 0: no memory */
static int look(Truncate *T) {
  int64_t weight = T->weigh(T->ud, T->e, 0);
  size_t end = T->list > 0 ? T->e->nodes[T->list].next : 0;
  T->t->before = weight;
  for (size_t m = T->list + 1; m < end && weight >= 0; m = T->e->nodes[m].next) {
    enum Kind kind = kind_of(T, m);
    if (kind == ASKS)
      T->user = T->last = m;
    else if (kind == ANSWERS)
      T->last = m;
    weight = T->weigh(T->ud, T->e, m);
    T->t->before += weight;
  }
  T->t->after = T->t->before;
  return weight >= 0;
}

/* ---- leaving out ---- */

/* Where its text begins: a node of a string stands behind the quote */
static size_t begin_of(const ft_node *node) {
  return node->at - (node->type == '"');
}

static int copy_to(Truncate *T, size_t at) {
  int ok = at <= T->copied || ft_buf_add(T->out, T->e->s + T->copied, at - T->copied);
  T->copied = at;
  return ok;
}

/* A message stands behind it, since the last one stays. */
static int leave_out(Truncate *T, size_t message) {
  const ft_node *node = &T->e->nodes[message];
  int64_t weight = T->weigh(T->ud, T->e, message);
  if (weight < 0 || !copy_to(T, begin_of(node)))
    return 0;
  T->copied = begin_of(&T->e->nodes[node->next]);
  T->t->after -= weight;
  T->t->dropped++;
  return 1;
}

/* May the weight be looked at before this message, and nothing more be left out? */
static int begins(const Truncate *T, size_t message, enum Kind kind) {
  return kind == ASKS || (kind == ANSWERS && message > T->user);
}

static int leave_out_some(Truncate *T) {
  size_t next;
  for (size_t m = T->list + 1; m < T->last; m = next) {
    enum Kind kind = kind_of(T, m);
    next = T->e->nodes[m].next;
    if (T->t->after <= T->most && begins(T, m, kind))
      return 1;
    if (kind != STAYS && m != T->user && !leave_out(T, m))
      return 0;
  }
  return 1;
}

int ft_truncate(const ft_example *e, enum ft_format format, int64_t most, ft_weigh *weigh, void *ud,
                ft_buf *out, ft_truncation *t) {
  Truncate T = {e, "role", list_of(e, format), 0, 0, 0, most, weigh, ud, out, t};
  size_t before = out->len;
  if (format == FT_FORMAT_SHAREGPT)
    T.role = "from";
  memset(t, 0, sizeof *t);
  if (!look(&T))
    return FT_TRUNCATE_NOMEM;
  if (t->before <= most)
    return FT_TRUNCATE_FITS;
  int ok = leave_out_some(&T), fits = t->after <= most;
  if (ok && fits && copy_to(&T, e->n))
    return FT_TRUNCATE_DONE;
  out->len = before;
  return ok && !fits ? FT_TRUNCATE_CANNOT : FT_TRUNCATE_NOMEM;
}

/* ---- weights ---- */

int64_t ft_weigh_message(void *ud, const ft_example *e, size_t node) {
  (void)ud, (void)e;
  return node > 0;
}

/* Characters of a string: an escape is one, and so is a pair of surrogates */
static int64_t characters(const ft_example *e, const ft_node *node) {
  const char *p = e->s + node->at, *end = p + node->n;
  int64_t count = 0;
  if ((node->flags & FT_NODE_ESCAPED) == 0) {
    for (; p < end; p++)
      count += ((unsigned char)*p & 0xC0) != 0x80;
    return count;
  }
  while (p < end) {
    count += ((unsigned char)*p & 0xC0) != 0x80;
    if (*p != '\\')
      p++;
    else if (p[1] != 'u')
      p += 2;
    else
      p += (p[2] | 0x20) == 'd' && strchr("89abAB", p[3]) != NULL ? 12 : 6;
  }
  return count;
}

static int64_t characters_of_part(const ft_example *e, size_t part) {
  size_t text = ft_example_member(e, part, "text");
  return text > 0 && e->nodes[text].type == '"' ? characters(e, &e->nodes[text]) : 0;
}

int64_t ft_weigh_characters(void *ud, const ft_example *e, size_t node) {
  int64_t count = 0;
  (void)ud;
  if (node == 0)
    return 0;
  size_t content = ft_example_member(e, node, "content");
  if (content == 0)
    content = ft_example_member(e, node, "value");
  if (content == 0)
    return 0;
  if (e->nodes[content].type == '"')
    return characters(e, &e->nodes[content]);
  if (e->nodes[content].type == '[')
    for (size_t i = content + 1; i < e->nodes[content].next; i = e->nodes[i].next)
      count += characters_of_part(e, i);
  return count;
}
