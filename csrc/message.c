/*
** message.c: the rules for one message and for the tools it may call.
*/
#include "message.h"

/* ---- roles ---- */

enum Role { ROLE_NONE, SYSTEM, DEVELOPER, USER, ASSISTANT, TOOL, FUNCTION, ROLES };

static const char *const role_names[ROLES] = {NULL,        "system", "developer", "user",
                                              "assistant", "tool",   "function"};

static const struct {
  const char *name;
  int role;
} other_names[] = {{"human", USER},        {"customer", USER},    {"bot", ASSISTANT},
                   {"ai", ASSISTANT},      {"gpt", ASSISTANT},    {"model", ASSISTANT},
                   {"chatbot", ASSISTANT}, {"tool_result", TOOL}, {"observation", TOOL}};

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
  for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++)
    if (distance(word, other_names[i].name) == 0)
      return role_names[other_names[i].role];
  for (int r = SYSTEM; r < ROLES; r++) {
    unsigned d = distance(word, role_names[r]);
    if (d < best)
      best = d, name = role_names[r];
  }
  return name;
}

static void unknown_role(ft_check *c, const char *at, ft_slice word) {
  const char *near = nearest_role(word);
  if (near != NULL)
    ft_check_error(c, "role", NULL, at, "unknown role \"%.*s\"; did you mean \"%s\"?",
                   ft_check_clip(word), word.s, near);
  else
    ft_check_error(
        c, "role", NULL, at,
        "unknown role \"%.*s\"; use system, developer, user, assistant, tool or function",
        ft_check_clip(word), word.s);
}

static void check_role(ft_check *c, ft_json *j) {
  const char *at = j->p;
  c->role = ROLE_NONE;
  if (ft_json_type(j) != '"') {
    ft_check_string(c, j);
    return;
  }
  ft_slice word = ft_json_string(j);
  for (int r = SYSTEM; r < ROLES; r++)
    if (ft_json_is(word, role_names[r])) {
      c->role = r;
      return;
    }
  unknown_role(c, at, word);
}

/* ---- content ---- */

static void check_image_url(ft_check *c, ft_json *j) {
  static const ft_field fields[] = {FT_FIELD("url", ft_check_name, 1),
                                    FT_FIELD("detail", ft_check_string, 0), FT_FIELD_END};
  const char *at[FT_FIELDS_MAX];
  ft_check_object(c, j, fields, at);
}

enum PartField { PART_TYPE, PART_TEXT, PART_IMAGE, PART_REFUSAL, PART_AUDIO, PART_FILE };

static const ft_field part_fields[] = {FT_FIELD("type", ft_check_name, 1),
                                       FT_FIELD("text", ft_check_string, 0),
                                       FT_FIELD("image_url", check_image_url, 0),
                                       FT_FIELD("refusal", ft_check_string, 0),
                                       FT_FIELD("input_audio", ft_check_any, 0),
                                       FT_FIELD("file", ft_check_any, 0),
                                       FT_FIELD_END};

/* a part carries what its type names, in a field of that name */
static void check_part(ft_check *c, ft_json *j) {
  const char *at[FT_FIELDS_MAX], *begin = j->p;
  ft_json type;
  if (!ft_check_object(c, j, part_fields, at) || at[PART_TYPE] == NULL || *at[PART_TYPE] != '"')
    return;
  type.p = at[PART_TYPE];
  type.end = j->end;
  ft_slice word = ft_json_string(&type);
  for (int i = PART_TEXT; i <= PART_FILE; i++)
    if (ft_json_is(word, part_fields[i].name)) {
      if (at[i] == NULL)
        ft_check_error(c, "missing", part_fields[i].name, begin,
                       "\"%s\" is missing; a part of type \"%s\" has it", part_fields[i].name,
                       part_fields[i].name);
      return;
    }
  ft_check_warning(c, "part_type", "type", at[PART_TYPE],
                   "the part type \"%.*s\" is not known here; a service may refuse it",
                   ft_check_clip(word), word.s);
}

static void check_content(ft_check *c, ft_json *j) {
  int type = ft_json_type(j);
  if (type == '[') {
    ft_check_array(c, j, check_part, 1);
    return;
  }
  if (type != '"' && type != 'n') /* null: check_message() knows where it may be */
    ft_check_type_error(c, j, "a string or an array of parts");
  ft_check_any(c, j);
}

/* ---- tool calls ---- */

static void check_arguments(ft_check *c, ft_json *j) {
  if (ft_json_type(j) == '{')
    ft_check_error(c, "arguments", NULL, j->p,
                   "must be a string that holds JSON, not an object; write \"{\\\"key\\\": 1}\"");
  else if (ft_json_type(j) != '"')
    ft_check_type_error(c, j, "a string that holds JSON");
  ft_check_any(c, j);
}

static const ft_field called_fields[] = {FT_FIELD("name", ft_check_name, 1),
                                         FT_FIELD("arguments", check_arguments, 1), FT_FIELD_END};

static void check_called(ft_check *c, ft_json *j) {
  const char *at[FT_FIELDS_MAX];
  ft_check_object(c, j, called_fields, at);
}

static void check_function_call(ft_check *c, ft_json *j) {
  if (ft_json_type(j) == 'n')
    ft_check_any(c, j);
  else
    check_called(c, j);
}

static void check_call_type(ft_check *c, ft_json *j) {
  const char *at = j->p;
  if (ft_json_type(j) == '"' && !ft_json_is(ft_json_string(j), "function"))
    ft_check_error(c, "tool_type", NULL, at, "must be \"function\"");
  else if (*at != '"')
    ft_check_string(c, j);
}

static void check_tool_call(ft_check *c, ft_json *j) {
  static const ft_field fields[] = {FT_FIELD("id", ft_check_name, 1),
                                    FT_FIELD("type", check_call_type, 1),
                                    FT_FIELD("function", check_called, 1), FT_FIELD_END};
  const char *at[FT_FIELDS_MAX];
  ft_check_object(c, j, fields, at);
}

static void check_tool_calls(ft_check *c, ft_json *j) {
  ft_check_array(c, j, check_tool_call, 1);
}

/* ---- tools ---- */

static void check_schema(ft_check *c, ft_json *j) {
  if (ft_json_type(j) != '{')
    ft_check_type_error(c, j, "an object (a JSON schema)");
  ft_check_any(c, j);
}

static void check_strict(ft_check *c, ft_json *j) {
  if (ft_json_type(j) == 'n')
    ft_check_any(c, j);
  else
    ft_check_boolean(c, j);
}

static void check_function(ft_check *c, ft_json *j) {
  static const ft_field fields[] = {
      FT_FIELD("name", ft_check_name, 1), FT_FIELD("description", ft_check_string, 0),
      FT_FIELD("parameters", check_schema, 0), FT_FIELD("strict", check_strict, 0), FT_FIELD_END};
  const char *at[FT_FIELDS_MAX];
  ft_check_object(c, j, fields, at);
}

static void check_tool(ft_check *c, ft_json *j) {
  static const ft_field fields[] = {FT_FIELD("type", check_call_type, 1),
                                    FT_FIELD("function", check_function, 1), FT_FIELD_END};
  const char *at[FT_FIELDS_MAX];
  ft_check_object(c, j, fields, at);
}

void ft_check_tools(ft_check *c, ft_json *j) {
  ft_check_array(c, j, check_tool, 0);
}

void ft_check_functions(ft_check *c, ft_json *j) {
  ft_check_array(c, j, check_function, 0);
}

/* ---- messages ---- */

static void check_weight(ft_check *c, ft_json *j) {
  const char *at = j->p;
  ft_slice value = ft_json_skip(j);
  if (value.n != 1 || (*value.s != '0' && *value.s != '1'))
    ft_check_error(c, "weight", NULL, at, "must be 0 (do not learn from it) or 1, not %.*s",
                   ft_check_clip(value), value.s);
  if (*at == '{' || *at == '[') { /* its keys are checked as any */
    ft_json again = {at, j->end};
    ft_check_any(c, &again);
  }
}

static void check_audio(ft_check *c, ft_json *j) {
  static const ft_field fields[] = {FT_FIELD("id", ft_check_name, 1), FT_FIELD_END};
  const char *at[FT_FIELDS_MAX];
  if (ft_json_type(j) == 'n')
    ft_check_any(c, j);
  else
    ft_check_object(c, j, fields, at);
}

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
                                          FT_FIELD("tool_calls", check_tool_calls, 0),
                                          FT_FIELD("function_call", check_function_call, 0),
                                          FT_FIELD("refusal", ft_check_nullable, 0),
                                          FT_FIELD("audio", check_audio, 0),
                                          FT_FIELD("tool_call_id", ft_check_name, 0),
                                          FT_FIELD("name", ft_check_name, 0),
                                          FT_FIELD_END};

static int given(const char *value) {
  return value != NULL && *value != 'n';
}

/* what only an assistant may say */
static void check_assistant_only(ft_check *c, const char **at) {
  if (given(at[M_WEIGHT]))
    ft_check_error(c, "weight", "weight", at[M_WEIGHT],
                   "only an assistant message may have a weight; remove it");
  for (int i = M_CALLS; i <= M_AUDIO; i++)
    if (given(at[i]))
      ft_check_error(c, "assistant_only", message_fields[i].name, at[i],
                     "only an assistant message may have \"%s\"; remove it or correct the role",
                     message_fields[i].name);
}

static void check_has_content(ft_check *c, const char *begin, const char **at) {
  int said = 0;
  for (int i = M_CALLS; i <= M_AUDIO; i++)
    said |= given(at[i]);
  if (given(at[M_CONTENT]) || (c->role == ASSISTANT && said))
    return;
  ft_check_error(c, "content", "content", at[M_CONTENT] != NULL ? at[M_CONTENT] : begin,
                 c->role == ASSISTANT
                     ? "\"content\" is missing; an assistant message has text, or tool_calls, "
                       "function_call or refusal"
                     : "\"content\" is missing; write a string or an array of parts");
}

static void check_reply(ft_check *c, const char *begin, const char **at) {
  if (c->role == TOOL && at[M_CALL_ID] == NULL)
    ft_check_error(
        c, "tool_call_id", "tool_call_id", begin,
        "\"tool_call_id\" is missing; a tool message names the id of the call that it answers");
  if (c->role != TOOL && at[M_CALL_ID] != NULL)
    ft_check_warning(c, "tool_call_id", "tool_call_id", at[M_CALL_ID],
                     "only a tool message has a \"tool_call_id\"; a service may refuse it");
  if (c->role == FUNCTION && at[M_NAME] == NULL)
    ft_check_error(
        c, "function_name", "name", begin,
        "\"name\" is missing; a function message names the function that it answers for");
}

static int check_message_at(ft_check *c, ft_json *j, const char **at) {
  const char *begin = j->p;
  c->role = ROLE_NONE;
  if (!ft_check_object(c, j, message_fields, at) || c->role == ROLE_NONE)
    return 0;
  if (c->role != ASSISTANT)
    check_assistant_only(c, at);
  check_has_content(c, begin, at);
  check_reply(c, begin, at);
  return 1;
}

void ft_check_message(ft_check *c, ft_json *j) {
  const char *at[FT_FIELDS_MAX];
  if (!check_message_at(c, j, at))
    c->tally.unsure = 1;
  else if (c->role == ASSISTANT) {
    c->tally.assistants = 1;
    c->tally.learned |= at[M_WEIGHT] == NULL || *at[M_WEIGHT] != '0';
  }
}

void ft_check_output(ft_check *c, ft_json *j) {
  const char *at[FT_FIELDS_MAX], *begin = j->p;
  if (check_message_at(c, j, at) && c->role != ASSISTANT)
    ft_check_error(c, "output_role", "role", at[M_ROLE] != NULL ? at[M_ROLE] : begin,
                   "an output holds assistant messages only; put the others into input.messages");
}
