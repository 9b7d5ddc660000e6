/*
** tokens_example.c: the tokens of a training example. It is accepted already; what is not shaped
** as it should be counts nothing, or as its text.
*/
#include "tokens.h"

enum { PER_MESSAGE = 3, PER_NAME = 1, REPLY = 3, PER_CALL = 3 };
enum { PROPERTIES = 3, PROPERTY = 3, ENUM = -3, ENUM_ITEM = 3, TOOLS_END = 12 };

typedef struct Count {
  const ft_vocab *v;
  const ft_example *e;
  ft_buf *space;
  int nomem;
  size_t total, trained;
} Count;

/* ---- text ---- */

static size_t of_text(const Count *c, const char *s, size_t n) {
  return c->v != NULL ? ft_tokens_count(c->v, s, n) : ft_tokens_estimate(s, n);
}

/* Adds a string's text to the space */
static void add_text(Count *c, size_t node) {
  ft_slice a = ft_example_slice(c->e, node);
  if (!ft_buf_reserve(c->space, a.n))
    c->nomem = 1;
  else if (c->e->nodes[node].flags & FT_NODE_ESCAPED)
    c->space->len += ft_json_unescape(a, c->space->data + c->space->len);
  else
    ft_buf_add(c->space, a.s, a.n);
}

static size_t of_space(const Count *c) {
  return of_text(c, c->space->len > 0 ? c->space->data : "", c->space->len);
}

/* Of a string its text, of anything else its JSON; of null, and of no node at all, 0 */
static size_t of_node(Count *c, size_t node) {
  const ft_node *at = &c->e->nodes[node];
  ft_slice a = ft_example_slice(c->e, node);
  if (node == 0 || at->type == 'n')
    return 0;
  if (at->type != '"' || !(at->flags & FT_NODE_ESCAPED))
    return of_text(c, a.s, a.n);
  ft_buf_clear(c->space);
  add_text(c, node);
  return of_space(c);
}

static size_t member(const Count *c, size_t object, const char *key) {
  return c->e->nodes[object].type == '{' ? ft_example_member(c->e, object, key) : 0;
}

static int is_text(const Count *c, size_t node, const char *word) {
  return node > 0 && c->e->nodes[node].type == '"' &&
         ft_json_is(ft_example_slice(c->e, node), word);
}

/* The first child of an object or array, and the one behind a child; 0: there is none */
static size_t first(const Count *c, size_t node) {
  int type = c->e->nodes[node].type;
  return node > 0 && (type == '{' || type == '[') && c->e->nodes[node].next > node + 1 ? node + 1
                                                                                       : 0;
}

static size_t after(const Count *c, size_t parent, size_t child) {
  size_t next = c->e->nodes[child].next;
  return next < c->e->nodes[parent].next ? next : 0;
}

/* ---- messages ---- */

/* A string, or parts of which only text counts */
static size_t of_content(Count *c, size_t content) {
  size_t sum = 0;
  if (content == 0 || c->e->nodes[content].type != '[')
    return of_node(c, content);
  for (size_t i = first(c, content); i > 0; i = after(c, content, i))
    sum += of_node(c, member(c, i, "text")) + of_node(c, member(c, i, "refusal"));
  return sum;
}

static size_t of_call(Count *c, size_t call) {
  if (call == 0 || c->e->nodes[call].type != '{')
    return 0;
  return PER_CALL + of_node(c, member(c, call, "name")) + of_node(c, member(c, call, "arguments"));
}

static size_t of_calls(Count *c, size_t message) {
  size_t calls = member(c, message, "tool_calls");
  size_t sum = of_call(c, member(c, message, "function_call"));
  for (size_t i = first(c, calls); i > 0; i = after(c, calls, i))
    sum += of_call(c, member(c, i, "function"));
  return sum;
}

static int is_learned(const Count *c, size_t message) {
  size_t weight = member(c, message, "weight");
  return weight == 0 || *ft_example_slice(c->e, weight).s != '0';
}

static void count_message(Count *c, size_t message) {
  size_t role = member(c, message, "role"), name = member(c, message, "name");
  size_t said = of_content(c, member(c, message, "content")) +
                of_node(c, member(c, message, "refusal")) + of_calls(c, message);
  c->total += PER_MESSAGE + of_node(c, role) + said;
  if (name > 0)
    c->total += PER_NAME + of_node(c, name);
  if (is_text(c, role, "assistant") && is_learned(c, message))
    c->trained += said;
}

static void count_messages(Count *c, size_t list) {
  for (size_t i = first(c, list); i > 0; i = after(c, list, i))
    count_message(c, i);
}

/* ShareGPT: {"from": "human", "value": ...} */
static void count_turn(Count *c, size_t turn) {
  size_t from = member(c, turn, "from"), said = of_node(c, member(c, turn, "value"));
  c->total += PER_MESSAGE + of_node(c, from) + said;
  if (is_text(c, from, "gpt") || is_text(c, from, "assistant"))
    c->trained += said;
}

static void count_turns(Count *c, size_t list) {
  for (size_t i = first(c, list); i > 0; i = after(c, list, i))
    count_turn(c, i);
}

/* ---- tools ---- */

/* "a:b" of two strings, without a full stop at the end */
static size_t of_line(Count *c, size_t a, size_t b, size_t d) {
  ft_buf_clear(c->space);
  add_text(c, a);
  for (int i = 0; i < 2; i++) {
    size_t more = i == 0 ? b : d;
    if (more == 0)
      continue;
    if (!ft_buf_addchar(c->space, ':'))
      c->nomem = 1;
    if (c->e->nodes[more].type == '"')
      add_text(c, more);
  }
  if (c->space->len > 0 && c->space->data[c->space->len - 1] == '.')
    c->space->len--;
  return of_space(c);
}

static size_t of_enum(Count *c, size_t list) {
  size_t sum = 0;
  for (size_t i = first(c, list); i > 0; i = after(c, list, i))
    sum += ENUM_ITEM + of_node(c, i);
  return sum;
}

/* What a property has beside type, description and enum: as its JSON */
static size_t of_rest(Count *c, size_t property) {
  size_t sum = 0;
  for (size_t key = first(c, property); key > 0;) {
    size_t value = key + 1;
    if (c->e->nodes[value].type == '{' ||
        (c->e->nodes[value].type == '[' && !is_text(c, key, "enum")))
      sum += of_node(c, value);
    key = after(c, property, value);
  }
  return sum;
}

static long of_property(Count *c, size_t key) {
  size_t value = key + 1, list = member(c, value, "enum");
  size_t sum =
      PROPERTY + of_line(c, key, member(c, value, "type"), member(c, value, "description"));
  return (long)(sum + of_enum(c, list) + of_rest(c, value)) + (list > 0 ? ENUM : 0);
}

static long of_properties(Count *c, size_t list) {
  long sum = 0;
  for (size_t key = first(c, list); key > 0; key = after(c, list, key + 1))
    sum += of_property(c, key);
  return list > 0 && first(c, list) > 0 ? sum + PROPERTIES : 0;
}

static long of_function(Count *c, size_t function) {
  size_t name = member(c, function, "name"), parameters = member(c, function, "parameters");
  long begin = c->v != NULL && c->v->encoding == FT_CL100K_BASE ? 10 : 7;
  if (name == 0)
    return 0;
  return begin + (long)of_line(c, name, member(c, function, "description"), 0) +
         of_properties(c, parameters > 0 ? member(c, parameters, "properties") : 0);
}

static void count_tools(Count *c, size_t object) {
  size_t tools = member(c, object, "tools"), functions = member(c, object, "functions");
  long sum = 0;
  for (size_t i = first(c, tools); i > 0; i = after(c, tools, i)) {
    size_t function = member(c, i, "function");
    sum += function > 0 ? of_function(c, function) : 0;
  }
  for (size_t i = first(c, functions); i > 0; i = after(c, functions, i))
    sum += of_function(c, i);
  c->total += sum > 0 ? (size_t)sum + TOOLS_END : 0;
}

/* ---- formats ---- */

/* Text members: of these the ones that are learned from. */
static void count_members(Count *c) {
  static const struct {
    const char *key;
    int learned;
  } members[] = {{"prompt", 0}, {"completion", 1}, {"instruction", 0},
                 {"input", 0},  {"output", 1},     {"text", 1}};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    size_t value = member(c, 0, members[i].key), n = of_node(c, value);
    c->total += n;
    c->trained += members[i].learned ? n : 0;
  }
}

static void count_preference(Count *c, size_t input) {
  count_messages(c, member(c, input, "messages"));
  count_tools(c, input);
  count_messages(c, member(c, 0, "preferred_output"));
  count_messages(c, member(c, 0, "non_preferred_output"));
  c->total += REPLY;
}

static void count_example(Count *c) {
  size_t messages = member(c, 0, "messages"), turns = member(c, 0, "conversations");
  size_t input = member(c, 0, "input");
  if (messages > 0) {
    count_messages(c, messages);
    count_tools(c, 0);
    c->total += REPLY;
  } else if (turns > 0) {
    count_turns(c, turns);
    c->total += REPLY;
  } else if (input > 0 && c->e->nodes[input].type == '{')
    count_preference(c, input);
  else
    count_members(c);
}

int ft_tokens_example(const ft_vocab *v, const ft_example *e, ft_buf *space, size_t *total,
                      size_t *trained) {
  Count c = {v, e, space, 0, 0, 0};
  if (e->count > 0)
    count_example(&c);
  *total = c.total;
  *trained = c.trained;
  return !c.nomem;
}

int64_t ft_tokens_message(const ft_vocab *v, const ft_example *e, size_t node, ft_buf *space) {
  Count c = {v, e, space, 0, 0, 0};
  if (node > 0 && member(&c, node, "from") > 0)
    count_turn(&c, node);
  else if (node > 0)
    count_message(&c, node);
  else {
    count_tools(&c, 0);
    c.total += REPLY;
  }
  return c.nomem ? -1 : (int64_t)c.total;
}

/* ---- for the dataset engine ---- */

void ft_tokens_init(ft_tokens *t, const ft_vocab *v, lua_Alloc alloc, void *ud) {
  t->v = v;
  ft_buf_init(&t->space, alloc, ud, SIZE_MAX / 2);
}

void ft_tokens_free(ft_tokens *t) {
  ft_buf_free(&t->space);
}

int ft_tokens_counter(void *tokens, const ft_example *e, enum ft_format format, size_t *all,
                      size_t *learned) {
  ft_tokens *t = tokens;
  (void)format; /* its members tell */
  return ft_tokens_example(t->v, e, &t->space, all, learned);
}

int64_t ft_tokens_weigh(void *tokens, const ft_example *e, size_t node) {
  ft_tokens *t = tokens;
  return ft_tokens_message(t->v, e, node, &t->space);
}
