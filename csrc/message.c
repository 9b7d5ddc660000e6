/*
** message.c: the rules for one message: role, content and its parts, name and weight.
*/
#include "message.h"

#include "rules.h"

#include <string.h>

/* ---- roles ---- */

const char *const ft_role_names[FT_ROLES] = {NULL,        "system", "developer", "user",
                                             "assistant", "tool",   "function"};

typedef struct Word {
  const char *name;
  size_t n;
  enum ft_role role;
} Word;

#define WORD(name, role)                                                                           \
  { name, sizeof name - 1, FT_ROLE_##role }

static const Word words[] = {WORD("user", USER),           WORD("assistant", ASSISTANT),
                             WORD("system", SYSTEM),       WORD("tool", TOOL),
                             WORD("developer", DEVELOPER), WORD("function", FUNCTION)};

static const Word other_words[] = {
    WORD("human", USER),        WORD("customer", USER),    WORD("bot", ASSISTANT),
    WORD("ai", ASSISTANT),      WORD("gpt", ASSISTANT),    WORD("model", ASSISTANT),
    WORD("chatbot", ASSISTANT), WORD("tool_result", TOOL), WORD("observation", TOOL)};

static const Word sharegpt_words[] = {
    WORD("human", USER),       WORD("gpt", ASSISTANT),       WORD("system", SYSTEM),
    WORD("user", USER),        WORD("assistant", ASSISTANT), WORD("function_call", ASSISTANT),
    WORD("observation", TOOL), WORD("tool", TOOL),           WORD("function_response", TOOL),
    WORD("chatgpt", ASSISTANT)};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int lower(char c) {
  return c >= 'A' && c <= 'Z' ? c + 32 : (unsigned char)c;
}

static unsigned least(unsigned a, unsigned b) {
  return a < b ? a : b;
}

enum { WORD_MAX = 16 }; /* longer words are near to no role */

/* Levenshtein distance of a (at most WORD_MAX bytes) and b, letters' case aside */
static unsigned distance(ft_slice a, const char *b) {
  unsigned row[WORD_MAX + 1];
  for (unsigned i = 0; i <= a.n; i++)
    row[i] = i;
  for (; *b != '\0'; b++) {
    unsigned corner = row[0]++;
    for (unsigned i = 1; i <= a.n; i++) {
      unsigned up = row[i], change = corner + (lower(a.s[i - 1]) != lower(*b));
      row[i] = least(change, least(up, row[i - 1]) + 1);
      corner = up;
    }
  }
  return row[a.n];
}

static const char *nearest_role(ft_slice word) {
  unsigned best = word.n < 6 ? 2 : (unsigned)(word.n / 3) + 1;
  const char *name = NULL;
  if (word.n > WORD_MAX)
    return NULL;
  for (size_t i = 0; i < COUNT(other_words); i++)
    if (distance(word, other_words[i].name) == 0)
      return ft_role_names[other_words[i].role];
  for (int r = FT_ROLE_SYSTEM; r < FT_ROLES; r++) {
    unsigned d = distance(word, ft_role_names[r]);
    if (d < best)
      best = d, name = ft_role_names[r];
  }
  return name;
}

static void unknown_role(ft_check *c, size_t node, const char *use) {
  ft_slice word = ft_check_slice(c, node);
  const char *near = nearest_role(word);
  if (near != NULL)
    ft_check_found(c, FT_RULE_ROLE, node, NULL, "unknown role \"%.*s\"; did you mean \"%s\"?",
                   ft_check_clip(word), word.s, near);
  else
    ft_check_found(c, FT_RULE_ROLE, node, NULL, "unknown role \"%.*s\"; use %s",
                   ft_check_clip(word), word.s, use);
}

static enum ft_role role_of(const ft_check *c, size_t node, const Word *list, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (ft_check_is(c, node, list[i].name, list[i].n))
      return list[i].role;
  return FT_ROLE_NONE;
}

/* the roles that every service takes, as they are usually written */
static enum ft_role plain_role(const char *s, size_t n) {
  if (n == 4 && memcmp(s, "user", 4) == 0)
    return FT_ROLE_USER;
  if (n == 9 && memcmp(s, "assistant", 9) == 0)
    return FT_ROLE_ASSISTANT;
  return n == 6 && memcmp(s, "system", 6) == 0 ? FT_ROLE_SYSTEM : FT_ROLE_NONE;
}

/* known, but not to every service */
static void check_taken(ft_check *c, size_t node) {
  static const unsigned char rules[FT_ROLES] = {
      0, 0, FT_RULE_DEVELOPER_ROLE, 0, 0, FT_RULE_TOOL_ROLE, FT_RULE_FUNCTION_ROLE};
  if (rules[c->role] != 0)
    ft_check_found(c, (enum ft_rule)rules[c->role], node, NULL,
                   "this service does not take messages of the role %s", ft_role_names[c->role]);
}

static void set_role(ft_check *c, size_t node, const Word *list, size_t n, const char *use) {
  c->role = FT_ROLE_NONE;
  if (c->nodes[node].type != '"') {
    ft_check_string(c, node);
    return;
  }
  c->role = role_of(c, node, list, n);
  if (c->role == FT_ROLE_NONE)
    unknown_role(c, node, use);
  else
    check_taken(c, node);
}

static void check_role(ft_check *c, size_t node) {
  set_role(c, node, words, COUNT(words), "system, developer, user, assistant, tool or function");
}

/* ---- content ---- */

enum PartField { PART_TYPE, PART_TEXT, PART_IMAGE, PART_REFUSAL, PART_AUDIO, PART_FILE };

static const ft_field part_fields[] = {FT_FIELD("type", ft_check_name, 1),
                                       FT_FIELD("text", ft_check_text, 0),
                                       FT_FIELD("image_url", ft_check_image_url, 0),
                                       FT_FIELD("refusal", ft_check_text, 0),
                                       FT_FIELD("input_audio", ft_check_any, 0),
                                       FT_FIELD("file", ft_check_any, 0),
                                       FT_FIELD_END};

/* a part carries what its type names, in a field of that name */
static void check_part(ft_check *c, size_t node) {
  uint32_t at[FT_FIELDS_MAX];
  if (!ft_check_object(c, node, part_fields, FT_RULE_UNKNOWN_KEY, at) || at[PART_TYPE] == 0 ||
      c->nodes[at[PART_TYPE]].type != '"')
    return;
  for (int i = PART_TEXT; i <= PART_FILE; i++)
    if (ft_check_is(c, at[PART_TYPE], part_fields[i].name, part_fields[i].len)) {
      if (at[i] == 0)
        ft_check_found(c, FT_RULE_MISSING, node, part_fields[i].name,
                       "\"%s\" is missing; a part of type \"%s\" has it", part_fields[i].name,
                       part_fields[i].name);
      return;
    }
  ft_slice word = ft_check_slice(c, at[PART_TYPE]);
  ft_check_found(c, FT_RULE_PART_TYPE, at[PART_TYPE], NULL,
                 "the part type \"%.*s\" is not known here; a service may refuse it",
                 ft_check_clip(word), word.s);
}

void ft_check_parts(ft_check *c, size_t node) {
  ft_check_found(c, FT_RULE_CONTENT_PARTS, node, NULL,
                 "must be a string: this service takes no content in parts");
  ft_check_array(c, node, check_part, 1);
}

static void check_content(ft_check *c, size_t node) {
  int type = c->nodes[node].type;
  if (type == '"')
    ft_check_text(c, node);
  else if (type == '[')
    ft_check_parts(c, node);
  else if (type != 'n') { /* null: check_has_content() knows where it may be */
    ft_check_type_error(c, node, "a string or an array of parts");
    ft_check_any(c, node);
  }
}

/* ---- the other fields ---- */

static void check_weight(ft_check *c, size_t node) {
  ft_slice value = ft_check_slice(c, node);
  if (c->nodes[node].type != '0' || value.n != 1 || (*value.s != '0' && *value.s != '1'))
    ft_check_found(c, FT_RULE_WEIGHT, node, NULL, "must be 0 (do not learn from it) or 1, not %.*s",
                   ft_check_clip(value), value.s);
  ft_check_any(c, node);
}

enum { SPELLED_MOST = 64 };

void ft_check_spelled(ft_check *c, size_t node, enum ft_rule rule, int (*fits)(char),
                      const char *must) {
  ft_check_name(c, node);
  if (c->nodes[node].type != '"' || c->nodes[node].n == 0)
    return;
  ft_slice name = ft_check_plain(c, node);
  if (name.s == NULL)
    return;
  for (size_t i = 0; i < name.n; i++)
    if (!fits(name.s[i]) || name.n > SPELLED_MOST) {
      ft_check_found(c, rule, node, NULL, "%s", must);
      return;
    }
}

static int in_a_name(char c) {
  return strchr(" \t\n\r\f\v<|\\/>", c) == NULL; /* nor is NUL, which ends the list */
}

static void check_message_name(ft_check *c, size_t node) {
  ft_check_spelled(c, node, FT_RULE_NAME, in_a_name,
                   "a name has at most 64 characters, and no blanks, <, |, \\, / and >");
}

static void check_text_or_null(ft_check *c, size_t node) {
  if (c->nodes[node].type == '"')
    ft_check_text(c, node);
  else
    ft_check_nullable(c, node);
}

static void check_reasoning(ft_check *c, size_t node) {
  ft_check_found(c, FT_RULE_REASONING, node, NULL,
                 "reasoning beside the content is not known to every service");
  check_text_or_null(c, node);
}

static void check_audio(ft_check *c, size_t node) {
  static const ft_field fields[] = {FT_FIELD("id", ft_check_name, 1), FT_FIELD_END};
  uint32_t at[FT_FIELDS_MAX];
  if (c->nodes[node].type != 'n')
    ft_check_object(c, node, fields, FT_RULE_UNKNOWN_KEY, at);
}

/* ---- a message ---- */

enum MessageField {
  M_ROLE,
  M_CONTENT,
  M_WEIGHT,
  M_CALLS,
  M_FUNCTION_CALL,
  M_REFUSAL,
  M_AUDIO,
  M_CALL_ID,
  M_NAME
};

static const ft_field message_fields[] = {FT_FIELD("role", check_role, 1),
                                          FT_FIELD("content", check_content, 0),
                                          FT_FIELD("weight", check_weight, 0),
                                          FT_FIELD("tool_calls", ft_check_tool_calls, 0),
                                          FT_FIELD("function_call", ft_check_function_call, 0),
                                          FT_FIELD("refusal", check_text_or_null, 0),
                                          FT_FIELD("audio", check_audio, 0),
                                          FT_FIELD("tool_call_id", ft_check_name, 0),
                                          FT_FIELD("name", check_message_name, 0),
                                          FT_FIELD("reasoning", check_reasoning, 0),
                                          FT_FIELD("reasoning_content", check_reasoning, 0),
                                          FT_FIELD_END};

static int given(const ft_check *c, size_t node) {
  return node != 0 && c->nodes[node].type != 'n';
}

/* what only an assistant may say */
static void check_assistant_only(ft_check *c, const uint32_t *at) {
  if (given(c, at[M_WEIGHT]))
    ft_check_found(c, FT_RULE_WEIGHT_ROLE, at[M_WEIGHT], NULL,
                   "only an assistant message may have a weight; remove it");
  if (given(c, at[M_CALLS]))
    c->unsure = 1; /* which calls are there to be answered? */
  for (int i = M_CALLS; i <= M_AUDIO; i++)
    if (given(c, at[i]))
      ft_check_found(c, FT_RULE_ASSISTANT_ONLY, at[i], NULL,
                     "only an assistant message may have \"%s\"; remove it or correct the role",
                     message_fields[i].name);
}

static void check_image_role(ft_check *c) {
  if (c->image != 0 && c->role != FT_ROLE_USER)
    ft_check_found(c, FT_RULE_IMAGE_ROLE, c->image, NULL,
                   "a %s message has no images; only a user message may", ft_role_names[c->role]);
}

static void check_has_content(ft_check *c, size_t node, const uint32_t *at) {
  size_t content = at[M_CONTENT];
  int said = 0, empty = content != 0 && c->nodes[content].type == '"' && c->nodes[content].n == 0;
  if (given(c, content) && !empty)
    return;
  for (int i = M_CALLS; i <= M_AUDIO; i++)
    said |= given(c, at[i]);
  if (c->role == FT_ROLE_ASSISTANT && said)
    return;
  if (empty)
    ft_check_found(c, FT_RULE_EMPTY_CONTENT, content, NULL,
                   "is empty; write the text, or remove the message");
  else
    ft_check_found(c, FT_RULE_CONTENT, content != 0 ? content : node,
                   content != 0 ? NULL : "content",
                   c->role == FT_ROLE_ASSISTANT
                       ? "\"content\" is missing; an assistant message has text, or tool_calls, "
                         "function_call or refusal"
                       : "\"content\" is missing; write a string or an array of parts");
}

static void check_reply(ft_check *c, size_t node, const uint32_t *at) {
  if (c->role == FT_ROLE_TOOL && at[M_CALL_ID] == 0)
    ft_check_found(c, FT_RULE_TOOL_CALL_ID, node, "tool_call_id",
                   "\"tool_call_id\" is missing; a tool message names the id of the call that it "
                   "answers");
  if (c->role != FT_ROLE_TOOL && at[M_CALL_ID] != 0)
    ft_check_found(c, FT_RULE_TOOL_ONLY, at[M_CALL_ID], NULL,
                   "only a tool message has a \"tool_call_id\"; a service may refuse it");
  if (c->role == FT_ROLE_FUNCTION && at[M_NAME] == 0)
    ft_check_found(c, FT_RULE_FUNCTION_NAME, node, "name",
                   "\"name\" is missing; a function message names the function that it answers "
                   "for");
}

static void count(ft_check *c) {
  if (c->facts == NULL)
    return;
  c->facts->messages++;
  c->facts->roles[c->role]++;
}

static int check_message_at(ft_check *c, size_t node, uint32_t *at) {
  c->role = FT_ROLE_NONE;
  c->image = 0;
  if (!ft_check_object(c, node, message_fields, FT_RULE_UNKNOWN_KEY, at) || c->role == FT_ROLE_NONE)
    return 0;
  if (c->role != FT_ROLE_ASSISTANT)
    check_assistant_only(c, at);
  check_image_role(c);
  check_has_content(c, node, at);
  check_reply(c, node, at);
  count(c);
  return 1;
}

/* What most messages are, {"role": ..., "content": ...} and text in it, without the tables: 1.
   Nothing can be said against such a message but for its role and its text. */
static int plain_message(ft_check *c, size_t node) {
  const ft_node *m = &c->nodes[node], *role = m + 1, *content = m + 3;
  const char *s = c->e->s;
  if (m->type != '{' || m->next != node + 5 || role->n != 4 || content->n != 7 ||
      memcmp(s + role->at, "role", 4) != 0 || memcmp(s + content->at, "content", 7) != 0 ||
      role[1].type != '"' || content[1].type != '"' || content[1].n == 0)
    return 0;
  c->role = plain_role(s + role[1].at, role[1].n);
  if (c->role == FT_ROLE_NONE)
    return 0;
  ft_check_text(c, node + 4);
  ft_message plain = {node, node + 2, node + 4, 0, 0, 0};
  count(c);
  ft_talk_turn(c, &plain);
  return 1;
}

void ft_check_message(ft_check *c, size_t node) {
  uint32_t at[FT_FIELDS_MAX];
  if (plain_message(c, node))
    return;
  if (!check_message_at(c, node, at)) {
    c->unsure = 1;
    return;
  }
  ft_message m = {node, at[M_ROLE], at[M_CONTENT], at[M_WEIGHT], 0, at[M_CALL_ID]};
  if (c->role == FT_ROLE_ASSISTANT && given(c, at[M_CALLS]))
    m.calls = at[M_CALLS];
  ft_talk_turn(c, &m);
}

void ft_check_output(ft_check *c, size_t node) {
  uint32_t at[FT_FIELDS_MAX];
  if (check_message_at(c, node, at) && c->role != FT_ROLE_ASSISTANT)
    ft_check_found(c, FT_RULE_OUTPUT_ROLE, at[M_ROLE], NULL,
                   "an output holds assistant messages only; put the others into input.messages");
}

/* ---- ShareGPT ---- */

static void check_from(ft_check *c, size_t node) {
  set_role(c, node, sharegpt_words, COUNT(sharegpt_words),
           "system, human, gpt, function_call or observation");
}

void ft_check_turn(ft_check *c, size_t node) {
  static const ft_field fields[] = {FT_FIELD("from", check_from, 1),
                                    FT_FIELD("value", ft_check_text, 1),
                                    FT_FIELD("weight", check_weight, 0), FT_FIELD_END};
  uint32_t at[FT_FIELDS_MAX];
  c->role = FT_ROLE_NONE;
  if (!ft_check_object(c, node, fields, FT_RULE_UNKNOWN_KEY, at) || c->role == FT_ROLE_NONE ||
      at[1] == 0) {
    c->unsure = 1;
    return;
  }
  if (c->nodes[at[1]].type == '"' && c->nodes[at[1]].n == 0)
    ft_check_found(c, FT_RULE_EMPTY_CONTENT, at[1], NULL,
                   "is empty; write the text, or remove the message");
  count(c);
  ft_message m = {node, at[0], at[1], at[2], 0, 0};
  ft_talk_turn(c, &m);
}
