#include "rules.h"

#include "message.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes ---- */

static void check_input_messages(ft_check *c, ft_json *j) {
  ft_check_array(c, j, ft_check_message, 1);
}

static void check_chat_messages(ft_check *c, ft_json *j) {
  const char *begin = j->p;
  long n = ft_check_array(c, j, ft_check_message, 1);
  if (n <= 0 || c->tally.unsure) /* the fault was told: do not tell its consequences */
    return;
  if (!c->tally.assistants)
    ft_check_error(c, "no_assistant", NULL, begin,
                   "no assistant message; add the answer that the model shall learn");
  else if (!c->tally.learned)
    ft_check_error(c, "no_weight", NULL, begin,
                   "every assistant message has weight 0; give one of them weight 1");
}

static void check_outputs(ft_check *c, ft_json *j) {
  ft_check_array(c, j, ft_check_output, 1);
}

static void check_input(ft_check *c, ft_json *j) {
  static const ft_field fields[] = {FT_FIELD("messages", check_input_messages, 1),
                                    FT_FIELD("tools", ft_check_tools, 0),
                                    FT_FIELD("parallel_tool_calls", ft_check_boolean, 0),
                                    FT_FIELD("functions", ft_check_functions, 0), FT_FIELD_END};
  const char *at[FT_FIELDS_MAX];
  ft_check_object(c, j, fields, at);
}

static void check_completion(ft_check *c, ft_json *j) {
  if (ft_json_type(j) == '"' && j->p[1] == '"')
    ft_check_warning(c, "empty_completion", NULL, j->p, "is empty: nothing can be learned from it");
  ft_check_string(c, j);
}

static const ft_field chat_fields[] = {FT_FIELD("messages", check_chat_messages, 1),
                                       FT_FIELD("tools", ft_check_tools, 0),
                                       FT_FIELD("parallel_tool_calls", ft_check_boolean, 0),
                                       FT_FIELD("functions", ft_check_functions, 0), FT_FIELD_END};

static const ft_field completion_fields[] = {FT_FIELD("prompt", ft_check_string, 1),
                                             FT_FIELD("completion", check_completion, 1),
                                             FT_FIELD_END};

static const ft_field preference_fields[] = {FT_FIELD("preferred_output", check_outputs, 1),
                                             FT_FIELD("non_preferred_output", check_outputs, 1),
                                             FT_FIELD("input", check_input, 1), FT_FIELD_END};

/* ---- formats ---- */

static const struct {
  const char *name;   /* what it is called in reports */
  const char *others; /* names that are understood too, a space behind each */
  const ft_field *fields;
  int decisive; /* the first so many fields belong to this format alone */
} formats[] = {
    {NULL, "", NULL, 0},
    {"chat", "", chat_fields, 1},
    {"completion", "prompt prompt_completion prompt/completion ", completion_fields, 2},
    {"preference", "dpo ", preference_fields, 2},
};

enum { FORMATS = sizeof formats / sizeof *formats };

static int has_word(const char *words, const char *word) {
  size_t n = strlen(word);
  for (const char *p = words; n > 0 && *p != '\0'; p = strchr(p, ' ') + 1)
    if (strncmp(p, word, n) == 0 && p[n] == ' ')
      return 1;
  return 0;
}

enum ft_format ft_format_find(const char *name) {
  for (int f = FT_FORMAT_CHAT; f < FORMATS; f++)
    if (strcmp(name, formats[f].name) == 0 || has_word(formats[f].others, name))
      return (enum ft_format)f;
  return FT_FORMAT_NONE;
}

const char *ft_format_name(enum ft_format format) {
  return formats[format].name;
}

/* the format that a top-level key gives away */
static enum ft_format key_format(ft_slice key) {
  for (int f = FT_FORMAT_CHAT; f < FORMATS; f++)
    for (int i = 0; i < formats[f].decisive; i++)
      if (ft_json_is(key, formats[f].fields[i].name))
        return (enum ft_format)f;
  return FT_FORMAT_NONE;
}

/* What the object at j is. A key of `now` settles it (usually the first: the
   rest is not looked at); else messages count before the other formats' keys. */
static enum ft_format guess(ft_json j, enum ft_format now) {
  enum ft_format best = FT_FORMAT_NONE;
  ft_slice key;
  for (ft_json_enter(&j); ft_json_member(&j, &key); ft_json_skip(&j)) {
    enum ft_format f = key_format(key);
    if (f != FT_FORMAT_NONE && f == now)
      return f;
    if (f != FT_FORMAT_NONE && (best == FT_FORMAT_NONE || f == FT_FORMAT_CHAT))
      best = f;
  }
  return best;
}

/* formats that exist elsewhere, by a key, and how to come from there */
static const char *foreign(ft_json j) {
  static const char *const known[][2] = {
      {"conversations",
       "this looks like ShareGPT; write \"messages\" with \"role\" and \"content\""},
      {"instruction", "this looks like Alpaca; write \"messages\" with a user and an assistant"},
      {"chosen", "write \"input\": {\"messages\": ...}, \"preferred_output\" and "
                 "\"non_preferred_output\""}};
  ft_slice key;
  for (ft_json_enter(&j); ft_json_member(&j, &key); ft_json_skip(&j))
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
      if (ft_json_is(key, known[i][0]))
        return known[i][1];
  return "chat has \"messages\", completion \"prompt\" and \"completion\", preference \"input\", "
         "\"preferred_output\" and \"non_preferred_output\"";
}

/* 1: the example is of r->format (or should be: what is missing will be told) */
static int settle_format(ft_rules *r, ft_check *c, const ft_json *j) {
  enum ft_format f = guess(*j, r->format);
  if (f == FT_FORMAT_NONE && r->format == FT_FORMAT_NONE) {
    ft_check_error(c, "format", NULL, j->p, "no known format; %s", foreign(*j));
    return 0;
  }
  if (r->format == FT_FORMAT_NONE)
    r->format = f, r->guessed = 1;
  if (f == FT_FORMAT_NONE || f == r->format)
    return 1;
  ft_check_error(c, "format", NULL, j->p,
                 r->guessed ? "a %s example among %s examples; keep one format in a file"
                            : "a %s example, but the format asked for is %s",
                 formats[f].name, formats[r->format].name);
  return 0;
}

static void check_example(ft_rules *r, ft_check *c, ft_json *j) {
  const char *at[FT_FIELDS_MAX];
  int type = ft_json_type(j);
  if (type != '{')
    ft_check_error(c, "type", NULL, j->p, "an example must be an object, %s",
                   type == '[' ? "not an array; write each of its items on a line of its own"
                               : "in braces");
  if (type == '{' && settle_format(r, c, j))
    ft_check_object(c, j, formats[r->format].fields, at);
  else
    ft_check_any(c, j);
}

/* what is not JSON: the rule says of which kind the fault is */
static void not_json(ft_rules *r, const char *s, size_t n, size_t at, const char *why) {
  const char *rule = why == ft_scan_utf8 ? "utf8" : why == ft_scan_deep ? "depth" : "syntax";
  if (at == 0 && n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0)
    why = "a byte order mark is allowed at the beginning of a file only; remove it";
  else if (at == 0 && n >= 2 && (memcmp(s, "\xFF\xFE", 2) == 0 || memcmp(s, "\xFE\xFF", 2) == 0))
    rule = "utf8", why = "this is UTF-16; save it as UTF-8";
  else if (at == 0 && n >= 2 && memcmp(s, "\x1F\x8B", 2) == 0)
    why = "this is a gzip file; unpack it first";
  char message[FT_MESSAGE_MAX];
  snprintf(message, sizeof message, "byte %zu: %s", at + 1, why);
  ft_found(&r->findings, 0, rule, at + 1, message);
}

int ft_rules_check(ft_rules *r, const char *s, size_t n) {
  size_t errors = r->findings.errors;
  const char *why;
  ptrdiff_t at = ft_scan(s, n, FT_EXAMPLE_DEPTH, &why);
  if (at >= 0) {
    not_json(r, s, n, (size_t)at, why);
    return 0;
  }
  ft_check c;
  c.to = &r->findings;
  c.keys = &r->keys;
  c.text = s;
  c.level = c.nomem = 0;
  memset(&c.tally, 0, sizeof c.tally);
  ft_buf_clear(&r->keys);
  ft_json j = ft_json_begin(s, n);
  check_example(r, &c, &j);
  return c.nomem & 1 ? -1 : errors == r->findings.errors;
}
