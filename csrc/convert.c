/*
** convert.c: the formats between which there is a way are all turns of a conversation. A reader
** gives them one by one, as places in the text; a writer takes them: at once where its format is
** a list, at the end where it has a field for each.
*/
#include "convert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum Role { SYSTEM, USER, ASSISTANT, ROLES };

typedef struct Turn {
  enum Role role;
  size_t node;   /* where it is */
  size_t text;   /* the string that was said */
  size_t weight; /* 0: it has none */
} Turn;

enum { FEW = 3 }; /* turns of a format that has a field for each */

typedef struct Convert {
  const ft_example *e;
  const ft_conversion *c;
  ft_buf *out;
  ft_lost *lost;
  size_t begin;  /* of the line in `out` */
  size_t weight; /* of the whole example; 0: it has none */
  size_t count;  /* turns so far */
  Turn turns[FEW];
} Convert;

static const char *name_of(enum ft_format format) {
  static const char *const names[] = {
      [FT_FORMAT_NONE] = "an unknown format",
      [FT_FORMAT_CHAT] = "chat",
      [FT_FORMAT_COMPLETION] = "prompt/completion",
      [FT_FORMAT_PREFERENCE] = "preference",
      [FT_FORMAT_REINFORCEMENT] = "reinforcement",
      [FT_FORMAT_TEXT] = "plain text",
      [FT_FORMAT_INSTRUCTION] = "instruction/input/output",
      [FT_FORMAT_SHAREGPT] = "ShareGPT",
  };
  return names[format];
}

/* ---- what is lost ---- */

static int lost(Convert *C, size_t node, const char *format, ...) {
  va_list args;
  C->lost->node = node;
  C->lost->at = C->e->nodes[node].at;
  ft_convert_path(C->e, node, C->lost->path);
  va_start(args, format);
  vsnprintf(C->lost->words, sizeof C->lost->words, format, args);
  va_end(args);
  return 0;
}

static int lost_member(Convert *C, size_t object, size_t key) {
  char path[FT_LOST_PATH];
  ft_slice word = ft_example_slice(C->e, key);
  ft_convert_path(C->e, object, path);
  return lost(C, key + 1, "\"%.*s\"%s%s has no place in %s", ft_convert_clip(word), word.s,
              *path != '\0' ? " of " : "", path, name_of(C->c->to));
}

static int lost_turn(Convert *C, const Turn *turn) {
  static const char *const has[] = {"one message of the user and one of the assistant",
                                    "one message of the user, which is not empty behind one of "
                                    "the system, and one of the assistant"};
  char path[FT_LOST_PATH];
  ft_convert_path(C->e, turn->node, path);
  return lost(C, turn->node, "%s has no place in %s: there is room for %s", path, name_of(C->c->to),
              has[C->c->to == FT_FORMAT_INSTRUCTION]);
}

/* ---- writing: each function answers 1, 0 (lost) or -1 (no memory) ---- */

static int put(Convert *C, const char *s) {
  return ft_buf_addstr(C->out, s) ? 1 : -1;
}

/* The string that is copied to byte `at` */
static int note(Convert *C, size_t at, size_t node) {
  ft_node string = C->e->nodes[node];
  string.at = (uint32_t)at;
  return C->c->strings == NULL || string.type != '"' ||
         ft_buf_add(C->c->strings, &string, sizeof string);
}

/* Words, and behind them what the example has at this node: of a string what is between its
   quotes, which the words have */
static int put_slice(Convert *C, const char *before, size_t node) {
  ft_slice s = ft_example_slice(C->e, node);
  size_t n = strlen(before);
  if (!ft_buf_reserve(C->out, n + s.n) || !note(C, C->out->len - C->begin + n, node))
    return -1;
  ft_buf_add(C->out, before, n);
  ft_buf_add(C->out, s.s, s.n);
  return 1;
}

static int put_weight(Convert *C, size_t weight) {
  return weight > 0 ? put_slice(C, ",\"weight\":", weight) : 1;
}

static int is_list(enum ft_format format) {
  return format == FT_FORMAT_CHAT || format == FT_FORMAT_SHAREGPT;
}

/* Does an example of this format have a weight of its own? */
static int is_weighed(enum ft_format format) {
  return format == FT_FORMAT_CHAT || format == FT_FORMAT_COMPLETION || format == FT_FORMAT_TEXT;
}

static int put_listed(Convert *C, const Turn *turn) {
  static const char *const chat[] = {",{\"role\":\"system\",\"content\":\"",
                                     ",{\"role\":\"user\",\"content\":\"",
                                     ",{\"role\":\"assistant\",\"content\":\""};
  static const char *const sharegpt[] = {",{\"from\":\"system\",\"value\":\"",
                                         ",{\"from\":\"human\",\"value\":\"",
                                         ",{\"from\":\"gpt\",\"value\":\""};
  int is_chat = C->c->to == FT_FORMAT_CHAT, first = C->count == 1, verdict = 1;
  if (first)
    verdict = put(C, is_chat ? "{\"messages\":[" : "{\"conversations\":[");
  if (verdict == 1) /* without the comma where it is the first */
    verdict = put_slice(C, (is_chat ? chat : sharegpt)[turn->role] + first, turn->text);
  if (verdict != 1 || turn->weight == 0)
    return verdict == 1 ? put(C, "\"}") : verdict;
  verdict = put_slice(C, "\",\"weight\":", turn->weight);
  return verdict == 1 ? put(C, "}") : verdict;
}

/* Of the turns that are kept: where is the one of the user? Before it stands one of the system,
   in the format that has room for that (so it seems too where there is no turn yet). */
static size_t user_of(const Convert *C) {
  return C->c->to == FT_FORMAT_INSTRUCTION && C->turns->role == SYSTEM;
}

/* Are they of the roles that there is room for? */
static int check_kept(Convert *C, size_t count) {
  size_t user = user_of(C);
  for (size_t i = user; i < count; i++)
    if (i > user + 1 || C->turns[i].role != (i == user ? USER : ASSISTANT))
      return lost_turn(C, &C->turns[i]);
  return 1;
}

static int put_turn(Convert *C, const Turn *turn) {
  size_t i = C->count++;
  if (is_list(C->c->to))
    return put_listed(C, turn);
  if (i >= FEW)
    return check_kept(C, FEW) ? lost_turn(C, turn) : 0;
  C->turns[i] = *turn;
  return 1;
}

/* The end of an example: what is still open is closed by these words */
static int put_end(Convert *C, const char *words) {
  int verdict = put(C, words);
  if (verdict == 1)
    verdict = put_weight(C, C->weight);
  return verdict == 1 ? put(C, "}") : verdict;
}

/* The fields of an object, in turn: what stands before each text, and the text; 0: it is empty */
static int put_fields(Convert *C, const char *const *before, const size_t *texts) {
  int verdict = 1;
  for (; *before != NULL && verdict == 1; before++, texts++)
    verdict = *texts > 0 ? put_slice(C, *before, *texts) : put(C, *before);
  return verdict == 1 ? put_end(C, "\"") : verdict;
}

static int put_completion(Convert *C, size_t prompt, size_t completion) {
  static const char *const before[] = {"{\"prompt\":\"", "\",\"completion\":\"", NULL};
  size_t texts[] = {prompt, completion};
  return put_fields(C, before, texts);
}

static int put_instruction(Convert *C, size_t instruction, size_t input, size_t output) {
  static const char *const before[] = {"{\"instruction\":\"", "\",\"input\":\"", "\",\"output\":\"",
                                       NULL};
  size_t texts[] = {instruction, input, output};
  return put_fields(C, before, texts);
}

static int put_kept(Convert *C) {
  const Turn *user = &C->turns[user_of(C)], *assistant = user + 1;
  if (!check_kept(C, C->count))
    return 0;
  if (C->count < user_of(C) + 2)
    return lost(C, 0, "%s needs a message of the user and one of the assistant", name_of(C->c->to));
  if (C->c->to == FT_FORMAT_COMPLETION)
    return put_completion(C, user->text, assistant->text);
  if (user == C->turns)
    return put_instruction(C, user->text, 0, assistant->text);
  if (C->e->nodes[user->text].n == 0) /* would come back as the user's instruction */
    return lost_turn(C, user);
  return put_instruction(C, C->turns->text, user->text, assistant->text);
}

static int finish(Convert *C) {
  if (!is_list(C->c->to))
    return put_kept(C);
  if (C->count == 0)
    return lost(C, 0, "there is no message: %s needs one", name_of(C->c->to));
  return put_end(C, "]");
}

/* ---- reading ---- */

static int may_drop(const Convert *C, size_t key) {
  if (C->c->drop == NULL)
    return 0;
  for (const char *const *d = C->c->drop; *d != NULL; d++)
    if (ft_example_is(C->e, key, *d))
      return 1;
  return 0;
}

/* The members of these names (a NULL behind them): at[i] is the value's node, 0 where it is
   missing. Any other member would be lost, and so would a second one of a name. */
static int fields(Convert *C, size_t object, const char *const *names, size_t *at) {
  const ft_node *nodes = C->e->nodes;
  if (nodes[object].type != '{')
    return lost(C, object, "this is no object, as a %s example has it", name_of(C->c->from));
  for (size_t i = 0; names[i] != NULL; i++)
    at[i] = 0;
  for (size_t key = object + 1; key < nodes[object].next; key = nodes[key + 1].next) {
    size_t i = 0;
    while (names[i] != NULL && (at[i] > 0 || !ft_example_is(C->e, key, names[i])))
      i++;
    if (names[i] != NULL)
      at[i] = key + 1;
    else if (!may_drop(C, key))
      return lost_member(C, object, key);
  }
  return 1;
}

/* Is the member of this name there, and a string? */
static int check_text(Convert *C, size_t object, const char *name, size_t node) {
  if (node > 0 && C->e->nodes[node].type == '"')
    return 1;
  char path[FT_LOST_PATH];
  ft_convert_path(C->e, object, path);
  return lost(C, node > 0 ? node : object, "\"%s\"%s%s is %s, and %s has only text", name,
              *path != '\0' ? " of " : "", path, node > 0 ? "no string" : "missing",
              name_of(C->c->to));
}

/* Is there a number, or nothing? */
static int check_weight(Convert *C, size_t object, size_t weight) {
  return weight == 0 || C->e->nodes[weight].type == '0' ? 1 : lost_member(C, object, weight - 1);
}

static int says_nothing(const ft_example *e, size_t node) {
  const ft_node *value = &e->nodes[node];
  return node == 0 || value->type == 'n' || (value->type == '"' && value->n == 0);
}

/* A member for which there is no place: may it go? */
static int check_spare(Convert *C, size_t node) {
  if (says_nothing(C->e, node) || may_drop(C, node - 1))
    return 1;
  return lost_member(C, 0, node - 1);
}

typedef struct List { /* how a format with a list of turns writes it */
  const char *role, *text;
  const char *roles[ROLES];
} List;

static const List lists[] = {{"role", "content", {"system", "user", "assistant"}},
                             {"from", "value", {"system", "human", "gpt"}}};

static int read_turn(Convert *C, const List *list, size_t node) {
  const char *const names[] = {list->role, list->text, is_list(C->c->to) ? "weight" : NULL, NULL};
  size_t at[3] = {0, 0, 0};
  if (!fields(C, node, names, at) || !check_text(C, node, list->role, at[0]) ||
      !check_text(C, node, list->text, at[1]) || !check_weight(C, node, at[2]))
    return 0;
  for (int r = SYSTEM; r < ROLES; r++)
    if (ft_example_is(C->e, at[0], list->roles[r])) {
      Turn turn = {(enum Role)r, node, at[1], at[2]};
      return put_turn(C, &turn);
    }
  ft_slice word = ft_example_slice(C->e, at[0]);
  return lost(C, at[0], "the %s \"%.*s\" has no place in %s", list->role, ft_convert_clip(word),
              word.s, name_of(C->c->to));
}

static int read_list(Convert *C, const List *list, size_t array) {
  const ft_node *nodes = C->e->nodes;
  int verdict = 1;
  if (array == 0 || nodes[array].type != '[')
    return lost(C, array, "there is no array of messages");
  for (size_t i = array + 1; verdict == 1 && i < nodes[array].next; i = nodes[i].next)
    verdict = read_turn(C, list, i);
  return verdict == 1 ? finish(C) : verdict;
}

static int read_chat(Convert *C) {
  const char *const names[] = {"messages", is_weighed(C->c->to) ? "weight" : NULL, NULL};
  size_t at[2] = {0, 0};
  if (!fields(C, 0, names, at) || !check_weight(C, 0, at[1]))
    return 0;
  C->weight = at[1];
  return read_list(C, &lists[0], at[0]);
}

static int read_sharegpt(Convert *C) {
  static const char *const names[] = {"conversations", "system", "tools", NULL};
  size_t at[3];
  if (!fields(C, 0, names, at) || !check_spare(C, at[1]) || !check_spare(C, at[2]))
    return 0;
  return read_list(C, &lists[1], at[0]);
}

static int read_pair(Convert *C, size_t user, size_t assistant) {
  const Turn turns[] = {{USER, user, user, 0}, {ASSISTANT, assistant, assistant, 0}};
  int verdict = put_turn(C, &turns[0]);
  if (verdict == 1)
    verdict = put_turn(C, &turns[1]);
  return verdict == 1 ? finish(C) : verdict;
}

static int read_completion(Convert *C) {
  static const char *const text[] = {"{\"text\":\"", NULL};
  const char *const names[] = {"prompt", "completion", is_weighed(C->c->to) ? "weight" : NULL,
                               NULL};
  size_t at[3] = {0, 0, 0};
  if (!fields(C, 0, names, at) || !check_text(C, 0, names[0], at[0]) ||
      !check_text(C, 0, names[1], at[1]) || !check_weight(C, 0, at[2]))
    return 0;
  C->weight = at[2];
  if (C->c->to != FT_FORMAT_TEXT)
    return read_pair(C, at[0], at[1]);
  if (C->e->nodes[at[0]].n > 0 && !may_drop(C, at[0] - 1))
    return lost(C, at[0], "\"prompt\" has no place in plain text, unless it is empty");
  return put_fields(C, text, &at[1]);
}

static int read_instruction(Convert *C) {
  static const char *const names[] = {"instruction", "output", "input", "system", NULL};
  size_t at[4];
  if (!fields(C, 0, names, at) || !check_text(C, 0, names[0], at[0]) ||
      !check_text(C, 0, names[1], at[1]) || !check_spare(C, at[3]))
    return 0;
  if (says_nothing(C->e, at[2]))
    return read_pair(C, at[0], at[1]);
  if (C->c->to == FT_FORMAT_COMPLETION)
    return lost(C, at[2], "\"input\" has no place in prompt/completion, unless it is empty");
  Turn system = {SYSTEM, at[0], at[0], 0};
  int verdict = check_text(C, 0, names[2], at[2]) ? put_turn(C, &system) : 0;
  return verdict == 1 ? read_pair(C, at[2], at[1]) : verdict;
}

static int read_text(Convert *C) {
  static const char *const names[] = {"text", "weight", NULL};
  size_t at[2];
  if (!fields(C, 0, names, at) || !check_text(C, 0, names[0], at[0]) || !check_weight(C, 0, at[1]))
    return 0;
  C->weight = at[1];
  return put_completion(C, 0, at[0]);
}

/* ---- the conversion ---- */

/* As it is, on one line: a line end can only stand between values. */
static int copy(Convert *C) {
  ft_buf *out = C->out;
  if (!ft_buf_reserve(out, C->e->n))
    return -1;
  char *p = out->data + out->len, *end = p + C->e->n;
  ft_buf_add(out, C->e->s, C->e->n);
  for (char byte = '\n'; byte != 0; byte = byte == '\n' ? '\r' : 0)
    for (char *q = p; (q = memchr(q, byte, (size_t)(end - q))) != NULL; q++)
      *q = ' ';
  return 1;
}

const char *ft_convert_never(enum ft_format from, enum ft_format to) {
  if (from == to)
    return NULL;
  if (from == FT_FORMAT_PREFERENCE)
    return "of the two answers of a preference example only one would have a place";
  if (to == FT_FORMAT_PREFERENCE)
    return "a preference example needs a second answer, the one that is not preferred";
  if (from == FT_FORMAT_REINFORCEMENT)
    return "a reinforcement example has no answer to learn from, and what its grader reads would "
           "have no place";
  if (to == FT_FORMAT_REINFORCEMENT)
    return "a reinforcement example has no place for an answer to learn from";
  if ((from == FT_FORMAT_TEXT && to != FT_FORMAT_COMPLETION) ||
      (to == FT_FORMAT_TEXT && from != FT_FORMAT_COMPLETION))
    return "plain text does not tell who speaks; it only becomes, or comes from, a completion of "
           "an empty prompt";
  return from == FT_FORMAT_NONE || to == FT_FORMAT_NONE ? "the format is not known" : NULL;
}

static int read_example(Convert *C) {
  const char *never = ft_convert_never(C->c->from, C->c->to);
  if (never != NULL)
    return lost(C, 0, "%s", never);
  if (C->c->from == C->c->to)
    return copy(C);
  switch (C->c->from) {
  case FT_FORMAT_COMPLETION:
    return read_completion(C);
  case FT_FORMAT_INSTRUCTION:
    return read_instruction(C);
  case FT_FORMAT_TEXT:
    return read_text(C);
  default:
    return C->c->from == FT_FORMAT_CHAT ? read_chat(C) : read_sharegpt(C);
  }
}

int ft_convert(const ft_example *e, const ft_conversion *c, ft_buf *out, ft_lost *why) {
  Convert C;
  memset(&C, 0, sizeof C);
  C.e = e;
  C.c = c;
  C.out = out;
  C.lost = why;
  C.begin = out->len;
  if (c->strings != NULL)
    ft_buf_clear(c->strings);
  int verdict = read_example(&C);
  if (verdict != 1)
    out->len = C.begin;
  return verdict;
}
