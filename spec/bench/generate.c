/*
** generate.c: training data of any size for the benches and tests, the same bytes for a seed.
**   generate BYTES [SEED [plain|mixed|tools]] > FILE
** Chat examples as OpenAI's rules have them, one a line, all valid: 0.27 to 8.6 KB long (log-
** normal, median 1.75 KB), half as Python's json.dumps() writes them (", " and \u escapes), half
** compact in raw UTF-8; 85 % with a system prompt, 35 % of several turns, 10 % with weights;
** code, twenty scripts, emoji. `mixed` has tool calls in 13 % of the lines, `tools` in all.
*/
#include "generate_words.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORTEST = 270, LONGEST = 8600, MEDIAN = 1750, LINE_MAX_BYTES = 1 << 16 };
static const double SIGMA = 0.6; /* of the lengths' logarithm */

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define PICK(list) ((list)[below(COUNT(list))])

/* ---- chance ---- */

static uint64_t state;

static uint64_t chance(void) { /* splitmix64 */
  uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return z ^ z >> 31;
}

static size_t below(size_t n) {
  return (size_t)(chance() >> 33) % n;
}

static int percent(size_t p) {
  return below(100) < p;
}

static double unit(void) { /* in (0, 1] */
  return (double)((chance() >> 11) + 1) / 9007199254740992.0;
}

static size_t length(void) {
  double normal = sqrt(-2 * log(unit())) * cos(6.283185307179586 * unit());
  double n = MEDIAN * exp(SIGMA * normal);
  return n < SHORTEST ? SHORTEST : n > LONGEST ? LONGEST : (size_t)n;
}

/* ---- the line ---- */

static char line[LINE_MAX_BYTES];
static size_t len, until; /* texts end once len has come to `until` */
static int python;        /* the style of this line */
static int nested;        /* inside a string that holds JSON: quotes and backslashes twice */

static void raw(const char *s) {
  size_t n = strlen(s);
  if (len + n >= sizeof line)
    abort(); /* texts end long before */
  memcpy(line + len, s, n);
  len += n;
}

static void comma(void) {
  raw(python ? ", " : ",");
}

static void key(const char *name) {
  raw("\"");
  raw(name);
  raw(python ? "\": " : "\":");
}

static void unicode(unsigned long c) {
  char s[64];
  const char *b = nested ? "\\\\" : "\\";
  if (c < 0x10000)
    snprintf(s, sizeof s, "%su%04lx", b, c);
  else
    snprintf(s, sizeof s, "%su%04lx%su%04lx", b, 0xD800 + ((c - 0x10000) >> 10), b,
             0xDC00 + (c & 0x3FF));
  raw(s);
}

/* one character beyond ASCII; answers its last byte */
static const char *beyond(const char *s) {
  int more = (unsigned char)*s >= 0xF0 ? 3 : (unsigned char)*s >= 0xE0 ? 2 : 1;
  unsigned long c = (unsigned char)*s & (0x3Fu >> more);
  char bytes[5] = {*s};
  for (int i = 1; i <= more; i++) {
    bytes[i] = s[i];
    c = c << 6 | ((unsigned char)s[i] & 0x3F);
  }
  if (python)
    unicode(c);
  else
    raw(bytes);
  return s + more;
}

/* inside a string: escaped as the style has it */
static void text(const char *s) {
  for (; *s != '\0'; s++) {
    char one[2] = {*s, '\0'};
    if ((unsigned char)*s >= 0x80)
      s = beyond(s);
    else if (*s == '\n')
      raw(nested ? "\\\\n" : "\\n");
    else if (*s == '\t')
      raw(nested ? "\\\\t" : "\\t");
    else if (*s == '"')
      raw(nested ? "\\\\\\\"" : "\\\"");
    else if (*s == '\\')
      raw(nested ? "\\\\\\\\" : "\\\\");
    else
      raw(one);
  }
}

/* ---- texts ---- */

static int script; /* of this line: its index, or -1 for English */

static void pseudo_word(void) {
  static const char letters[] = "etaoinshrdlcumwfgypbvk";
  for (size_t n = 3 + below(8); n > 0; n--) {
    char one[2] = {letters[below(sizeof letters - 1)], '\0'};
    raw(one);
  }
}

static void word(void) {
  if (percent(5))
    pseudo_word();
  else
    text(script >= 0 && percent(85) ? scripts[script].words[below(WORDS)] : PICK(english));
}

static void sentence(void) {
  int spaces = script < 0 || scripts[script].spaces;
  for (size_t n = 5 + below(14); n > 0; n--) {
    word();
    if (len >= until)
      break;
    if (n > 1 && spaces)
      text(percent(7) ? ", " : " ");
  }
  if (percent(4))
    text(PICK(typography));
  if (percent(5)) {
    text(" ");
    text(PICK(emoji));
  }
  text(percent(12) ? "?" : percent(8) ? "!" : ".");
}

static void code(void) {
  static const char *const blocks[] = {
      ("```python\ndef %s(items):\n    \"\"\"Return the %s of items.\"\"\"\n    total = 0\n"
       "    for i, item in enumerate(items):\n        total += item[\"%s\"] * %d\n"
       "    return total\n```\n"),
      ("```c\nint %s(const char *s) {\n\tif (s == NULL || *s == '\\0')\n\t\treturn -1; /* %s */\n"
       "\tprintf(\"%s: %%d\\n\", %d);\n\treturn 0;\n}\n```\n"),
      "```json\n{\n  \"%s\": \"%s\",\n  \"%s\": [%d, 2, 3],\n  \"done\": true\n}\n```\n",
      ("```sh\n$ grep -rn \"%s\" src/ | awk '{print $2}' > /tmp/%s.txt\n"
       "$ ./%s --limit=%d\n```\n")};
  static const char *const names[] = {"price", "total", "user_id", "count", "weight", "title"};
  const char *block = PICK(blocks), *a = PICK(names), *b = PICK(names), *c = PICK(names);
  char filled[512];
  snprintf(filled, sizeof filled, block, a, b, c, (int)below(1000));
  text(filled);
}

static void list(void) {
  for (size_t i = 1, n = 3 + below(3); i <= n && len < until; i++) {
    char number[16];
    snprintf(number, sizeof number, "\n%d. **", (int)i);
    text(number);
    word();
    text("**: ");
    sentence();
  }
  text("\n");
}

/* a text of about `bytes` */
static void prose(size_t bytes) {
  until = len + bytes;
  sentence();
  while (len < until) {
    text(percent(15) ? "\n\n" : " ");
    if (percent(8))
      code();
    else if (percent(6))
      list();
    else
      sentence();
  }
}

static void content(size_t bytes) {
  key("content");
  raw("\"");
  prose(bytes);
  raw("\"");
}

/* ---- messages ---- */

static int first; /* no message of this line stands yet */

static void message(const char *role) {
  if (!first)
    comma();
  first = 0;
  raw("{");
  key("role");
  raw("\"");
  raw(role);
  raw("\"");
}

static void system_message(size_t bytes) {
  message("system");
  comma();
  if (bytes < 200 || percent(60)) {
    key("content");
    raw("\"");
    text(PICK(assistants));
    raw("\"");
  } else
    content(bytes);
  raw("}");
}

static void plain_message(const char *role, size_t bytes, const char *weight) {
  message(role);
  comma();
  content(bytes);
  if (weight != NULL) {
    comma();
    key("weight");
    raw(weight);
  }
  raw("}");
}

static const char *const tools[] = {"get_weather", "find_order", "convert_currency"};
static size_t declared; /* so many of them, in this line */

static void arguments(void) {
  char number[64];
  key("arguments");
  raw("\"");
  nested = 1;
  raw("{\\\"place\\\": \\\"");
  word();
  raw("\\\", \\\"days\\\": ");
  int days = (int)below(30);
  snprintf(number, sizeof number, "%d, \\\"factor\\\": -%d.5e-2}\"", days, (int)below(1000));
  raw(number);
  nested = 0;
}

/* an assistant's calls, and the tools' answers */
static void tool_calls(size_t bytes) {
  unsigned long id = (unsigned long)below(1u << 30);
  size_t calls = 1 + below(2);
  char s[96];
  message("assistant");
  if (percent(50)) {
    comma();
    key("content");
    raw("null");
  }
  comma();
  key("tool_calls");
  raw("[");
  for (size_t i = 0; i < calls; i++) {
    if (i > 0)
      comma();
    raw("{");
    key("id");
    snprintf(s, sizeof s, "\"call_%08lx%d\"", id, (int)i);
    raw(s);
    comma();
    key("type");
    raw("\"function\"");
    comma();
    key("function");
    raw("{");
    key("name");
    snprintf(s, sizeof s, "\"%s\"", tools[below(declared)]);
    raw(s);
    comma();
    arguments();
    raw("}}");
  }
  raw("]}");
  for (size_t i = 0; i < calls; i++) {
    message("tool");
    comma();
    key("tool_call_id");
    snprintf(s, sizeof s, "\"call_%08lx%d\"", id, (int)i);
    raw(s);
    comma();
    content(bytes / calls);
    raw("}");
  }
}

static void tool_declaration(const char *name) {
  raw("{");
  key("type");
  raw("\"function\"");
  comma();
  key("function");
  raw("{");
  key("name");
  raw("\"");
  raw(name);
  raw("\"");
  comma();
  key("description");
  raw("\"");
  sentence();
  raw("\"");
  comma();
  key("parameters");
  raw(python ? "{\"type\": \"object\", \"properties\": {\"place\": {\"type\": \"string\"}, "
               "\"days\": {\"type\": \"integer\", \"minimum\": 0}, \"factor\": {\"type\": "
               "\"number\"}}, \"required\": [\"place\", \"days\"]}}}"
             : "{\"type\":\"object\",\"properties\":{\"place\":{\"type\":\"string\"},\"days\":"
               "{\"type\":\"integer\",\"minimum\":0},\"factor\":{\"type\":\"number\"}},"
               "\"required\":[\"place\",\"days\"]}}}");
}

static void declare_tools(void) {
  comma();
  key("tools");
  raw("[");
  until = len + 4096; /* whole descriptions */
  for (size_t i = 0; i < declared; i++) {
    if (i > 0)
      comma();
    tool_declaration(tools[i]);
  }
  raw("]");
  if (percent(30)) {
    comma();
    key("parallel_tool_calls");
    raw(percent(50) ? "true" : "false");
  }
}

/* ---- examples ---- */

/* the user and the assistant by turns; the last weight is 1, so something is learned */
static void turns(size_t count, size_t bytes, int weights, int with_tools) {
  for (size_t i = 0; i < count; i++) {
    size_t share = bytes / count, asked = share / 4;
    plain_message("user", asked, NULL);
    if (with_tools && i == 0) {
      tool_calls(share / 4);
      share -= share / 4;
    }
    int last = i + 1 == count;
    plain_message("assistant", share - asked, !weights ? NULL : last || percent(50) ? "1" : "0");
  }
}

static void example(int with_tools) {
  size_t bytes = length(), frame = with_tools ? 600 : 40;
  size_t count = percent(35) ? 2 + below(3) : 1;
  len = 0;
  first = 1;
  declared = 1 + below(2);
  python = percent(50);
  script = percent(20) ? (int)below(COUNT(scripts)) : -1;
  frame += count * 70;
  bytes = bytes > frame + 140 ? bytes - frame : 140;
  raw("{");
  key("messages");
  raw("[");
  if (percent(85)) {
    size_t share = bytes > 400 ? bytes / 5 : 0;
    system_message(share);
    bytes -= share;
  }
  turns(count, bytes, percent(10), with_tools);
  raw("]");
  if (with_tools)
    declare_tools();
  raw("}\n");
}

int main(int argc, char **argv) {
  uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, written = 0;
  const char *kind = argc > 3 ? argv[3] : "mixed";
  size_t share = strcmp(kind, "plain") == 0 ? 0 : strcmp(kind, "mixed") == 0 ? 13 : 100;
  if (argc < 2 || argc > 4 || (share == 100 && strcmp(kind, "tools") != 0)) {
    fprintf(stderr, "usage: generate BYTES [SEED [plain|mixed|tools]]\n");
    return 2;
  }
  state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  while (written < wanted) {
    example(percent(share));
    written += len;
    if (fwrite(line, 1, len, stdout) != len)
      return perror("generate"), 1;
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
