/*
** message_tools.c: the rules for tools that are declared, and for calls of them.
*/
#include "message.h"
#include "rules.h"

#include <string.h>

/* ---- names ---- */

static int name_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

static void check_tool_name(ft_check *c, size_t node) {
  ft_check_spelled(c, node, FT_RULE_TOOL_NAME, name_letter,
                   "a function's name has 1 to 64 letters, digits, _ and -");
}

/* Keeps the string `name`, if it is one: 0 where it is none */
static int note(ft_check *c, ft_names *names, size_t name) {
  if (name == 0 || c->nodes[name].type != '"')
    return 0;
  if (!ft_names_add(names, c->e, name))
    c->nomem = 1;
  return 1;
}

/* ---- calls ---- */

/* Is the string a JSON text of an object? It is read as what it means, unescaped. */
static void check_arguments_json(ft_check *c, size_t node) {
  const char *why;
  if (!ft_check_on(c, FT_RULE_ARGUMENTS_JSON))
    return;
  ft_slice text = ft_check_plain(c, node);
  if (text.s == NULL)
    return;
  ptrdiff_t at = ft_scan(text.s, text.n, FT_EXAMPLE_DEPTH, &why);
  ft_json j = ft_json_begin(text.s, text.n);
  if (text.n == 0)
    ft_check_found(c, FT_RULE_ARGUMENTS_JSON, node, NULL,
                   "is empty; write {} for a call without arguments");
  else if (at >= 0)
    ft_check_found(c, FT_RULE_ARGUMENTS_JSON, node, NULL,
                   "the string holds no JSON: at byte %td of what it means: %s", at + 1, why);
  else if (ft_json_type(&j) != '{')
    ft_check_found(c, FT_RULE_ARGUMENTS_JSON, node, NULL,
                   "the string must hold a JSON object, such as {\"key\": 1}");
}

static void check_arguments(ft_check *c, size_t node) {
  int type = c->nodes[node].type;
  if (type == '"') {
    check_arguments_json(c, node);
    ft_check_special(c, node);
  } else if (type == '{')
    ft_check_found(c, FT_RULE_ARGUMENTS, node, NULL,
                   "must be a string that holds JSON, not an object; write \"{\\\"key\\\": 1}\"");
  else
    ft_check_type_error(c, node, "a string that holds JSON");
  ft_check_any(c, node);
}

static const ft_field called_fields[] = {FT_FIELD("name", check_tool_name, 1),
                                         FT_FIELD("arguments", check_arguments, 1), FT_FIELD_END};

static void check_called(ft_check *c, size_t node) {
  uint32_t at[FT_FIELDS_MAX];
  if (ft_check_object(c, node, called_fields, FT_RULE_UNKNOWN_KEY, at))
    note(c, &c->rules->called, at[0]);
}

static void tell_legacy(ft_check *c, size_t node, const char *instead) {
  ft_check_found(c, FT_RULE_LEGACY, node, NULL, "is an older form; write %s", instead);
}

void ft_check_function_call(ft_check *c, size_t node) {
  if (c->nodes[node].type == 'n')
    return;
  tell_legacy(c, node, "\"tool_calls\"");
  check_called(c, node);
}

static void check_type(ft_check *c, size_t node) {
  if (c->nodes[node].type != '"')
    ft_check_string(c, node);
  else if (!ft_check_is(c, node, "function", 8))
    ft_check_found(c, FT_RULE_TOOL_TYPE, node, NULL, "must be \"function\"");
}

static void check_tool_call(ft_check *c, size_t node) {
  static const ft_field fields[] = {FT_FIELD("id", ft_check_name, 1),
                                    FT_FIELD("type", check_type, 1),
                                    FT_FIELD("function", check_called, 1), FT_FIELD_END};
  uint32_t at[FT_FIELDS_MAX];
  if (!ft_check_object(c, node, fields, FT_RULE_UNKNOWN_KEY, at) ||
      !note(c, &c->rules->open, at[0]))
    c->unsure = 1; /* it was told */
}

void ft_check_tool_calls(ft_check *c, size_t node) {
  ft_names_clear(&c->rules->open);
  if (c->nodes[node].type != 'n')
    ft_check_array(c, node, check_tool_call, 1);
}

/* ---- tools ---- */

static void check_schema(ft_check *c, size_t node) {
  if (c->nodes[node].type != '{')
    ft_check_type_error(c, node, "an object (a JSON schema)");
  ft_check_any(c, node);
}

static void check_strict(ft_check *c, size_t node) {
  if (c->nodes[node].type != 'n')
    ft_check_boolean(c, node);
}

static void check_function(ft_check *c, size_t node) {
  static const ft_field fields[] = {
      FT_FIELD("name", check_tool_name, 1), FT_FIELD("description", ft_check_string, 0),
      FT_FIELD("parameters", check_schema, 0), FT_FIELD("strict", check_strict, 0), FT_FIELD_END};
  uint32_t at[FT_FIELDS_MAX];
  if (ft_check_object(c, node, fields, FT_RULE_UNKNOWN_KEY, at))
    note(c, &c->rules->declared, at[0]);
}

static void check_tool(ft_check *c, size_t node) {
  static const ft_field fields[] = {FT_FIELD("type", check_type, 1),
                                    FT_FIELD("function", check_function, 1), FT_FIELD_END};
  uint32_t at[FT_FIELDS_MAX];
  ft_check_object(c, node, fields, FT_RULE_UNKNOWN_KEY, at);
}

static void check_list(ft_check *c, size_t node, ft_checker *item) {
  long n = ft_check_array(c, node, item, 0);
  size_t most = c->rules->limits.tools;
  c->tools = 1;
  if (n > 0)
    ft_check_found(c, FT_RULE_TOOLS, node, NULL, "this service learns from no tools");
  if (most > 0 && n > (long)most)
    ft_check_found(c, FT_RULE_TOO_MANY_TOOLS, node, NULL, "%ld tools, and the service takes %zu", n,
                   most);
}

void ft_check_tools(ft_check *c, size_t node) {
  check_list(c, node, check_tool);
}

void ft_check_functions(ft_check *c, size_t node) {
  tell_legacy(c, node, "\"tools\"");
  check_list(c, node, check_function);
}

/* ---- are the tools that are called declared? ---- */

static void check_tool_twice(ft_check *c) {
  size_t twice = ft_names_twice(&c->rules->declared, c->e);
  if (twice == 0)
    return;
  ft_slice text = ft_check_slice(c, twice);
  ft_check_found(c, FT_RULE_TOOL_TWICE, twice, NULL, "the function \"%.*s\" is declared twice",
                 ft_check_clip(text), text.s);
}

void ft_check_declared(ft_check *c) {
  const ft_names *called = &c->rules->called;
  if (c->unsure || (ft_names_count(called) == 0 && !c->tools))
    return;
  if (!c->tools) {
    ft_check_found(c, FT_RULE_NO_TOOLS, 0, "tools",
                   "is missing; declare the tools that are called");
    return;
  }
  check_tool_twice(c);
  for (size_t i = 0; i < ft_names_count(called); i++) {
    size_t name = ft_names_at(called, i);
    ft_slice text = ft_check_slice(c, name);
    if (ft_names_mark(&c->rules->declared, c->e, name) == 0)
      ft_check_found(c, FT_RULE_TOOL_UNDECLARED, name, NULL,
                     "the function \"%.*s\" is not declared in tools", ft_check_clip(text), text.s);
  }
}
