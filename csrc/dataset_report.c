/*
** dataset_report.c: what a dataset has to say at its end, as a table. Its fields are described in
** meta_values.lua (finetune.report).
*/
#include "dataset.h"

#include <lauxlib.h>
#include <string.h>

static void set_integer(lua_State *L, const char *key, long long value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

static void set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

/* ---- findings ---- */

static void push_finding(lua_State *L, const ft_dataset *d, const ft_told *f) {
  const ft_rule_info *info = f->finding.index >= 0 ? &ft_rule_table[f->finding.index] : NULL;
  const char *file = ft_dataset_source(d, f->source);
  lua_createtable(L, 0, 9);
  set_integer(L, "line", f->line);
  set_string(L, "rule", f->finding.rule);
  set_string(L, "severity", f->finding.warning ? "warning" : "error");
  set_string(L, "path", f->finding.path);
  set_string(L, "message", f->finding.message);
  if (file != NULL)
    set_string(L, "file", file);
  if (f->finding.column > 0)
    set_integer(L, "column", (long long)f->finding.column);
  if (info != NULL)
    set_string(L, "hint", info->hint);
  if (*f->finding.excerpt != '\0')
    set_string(L, "excerpt", f->finding.excerpt);
}

/* [0, +1] array of the errors, or of the warnings */
static void push_findings(lua_State *L, const ft_dataset *d, int warning) {
  ft_told f;
  size_t at = 0;
  lua_Integer n = 0;
  lua_newtable(L);
  while (ft_dataset_found(d, &at, &f))
    if (f.finding.warning == warning) {
      push_finding(L, d, &f);
      lua_rawseti(L, -2, ++n);
    }
}

/* [0, +1] id of a rule -> how often it was broken */
static void push_rules(lua_State *L, const ft_dataset *d) {
  lua_newtable(L);
  for (int i = 0; i < FT_RULE_COUNT; i++)
    if (d->rules.findings.counts[i] > 0)
      set_integer(L, ft_rule_table[i].id, (long long)d->rules.findings.counts[i]);
  int counts = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, d) == LUA_TTABLE) /* the user's own: dataset_lua.c */
    for (lua_Integer i = 1; lua_rawgeti(L, counts + 1, i) == LUA_TSTRING; i += 4) {
      lua_rawgeti(L, counts + 1, i + 3);
      if (lua_tointeger(L, -1) > 0)
        lua_rawset(L, counts);
      lua_settop(L, counts + 1);
    }
  lua_settop(L, counts);
}

int ft_dataset_rules(lua_State *L) {
  static const char *const severities[] = {"error", "off", "warning", "error"};
  lua_createtable(L, FT_RULE_COUNT, 0);
  for (int i = 0; i < FT_RULE_COUNT; i++) {
    const ft_rule_info *r = &ft_rule_table[i];
    lua_createtable(L, 0, 5);
    set_string(L, "id", r->id);
    set_string(L, "severity", severities[r->severity]);
    set_string(L, "means", r->means);
    set_string(L, "hint", r->hint);
    set_string(L, "source", r->source);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* ---- figures ---- */

/* [0, +1] {min, mean, median, p95, max, histogram = {{from, to, count}...}} */
static void push_measure(lua_State *L, const ft_stats *s) {
  ft_bar bars[FT_STATS_BARS];
  size_t n = ft_stats_bars(s, bars);
  lua_createtable(L, 0, 6);
  set_integer(L, "min", (long long)s->least);
  set_integer(L, "max", (long long)s->greatest);
  const struct {
    const char *key;
    double value;
  } numbers[] = {{"mean", ft_stats_mean(s)},
                 {"median", ft_stats_median(s)},
                 {"p95", ft_stats_quantile(s, 0.95)}};
  for (int i = 0; i < 3; i++) {
    lua_pushnumber(L, numbers[i].value);
    lua_setfield(L, -2, numbers[i].key);
  }
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_createtable(L, 0, 3);
    set_integer(L, "from", (long long)bars[i].from);
    set_integer(L, "to", (long long)bars[i].to);
    set_integer(L, "count", (long long)bars[i].count);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "histogram");
}

static void push_measures(lua_State *L, const ft_dataset *d) {
  static const char *const names[FT_MEASURES] = {"messages", "characters", "tokens"};
  lua_newtable(L);
  for (int i = 0; i < FT_MEASURES; i++)
    if (d->measures[i].count > 0) {
      push_measure(L, &d->measures[i]);
      lua_setfield(L, -2, names[i]);
    }
}

static void push_counts(lua_State *L, const ft_dataset *d) { /* report -- report */
  lua_newtable(L);
  for (int role = FT_ROLE_NONE + 1; role < FT_ROLES; role++)
    if (d->roles[role] > 0)
      set_integer(L, ft_role_names[role], d->roles[role]);
  lua_setfield(L, -2, "roles");
  lua_newtable(L);
  for (int f = FT_FORMAT_NONE + 1; f < FT_FORMATS; f++)
    if (d->formats[f] > 0)
      set_integer(L, ft_format_name((enum ft_format)f), d->formats[f]);
  lua_setfield(L, -2, "formats");
  push_measures(L, d);
  lua_setfield(L, -2, "stats");
}

/* ---- outputs ---- */

static void set_output(lua_State *L, const ft_dataset *d, int side, int good) {
  const ft_sink *sink = &d->sinks[side];
  set_integer(L, "written", good ? sink->written : 0);
  set_integer(L, "bytes", good ? sink->bytes : 0);
  if (good && d->count != NULL) {
    set_integer(L, "tokens", d->tokens[side]);
    lua_pushboolean(L, d->tokenizer.v == NULL);
    lua_setfield(L, -2, "tokens_estimated");
    set_integer(L, "learned_tokens", d->learned[side]);
  }
  if (good && ft_sink_is_file(sink))
    set_string(L, "output", sink->path.data);
  else if (good && !sink->nowhere) {
    lua_pushlstring(L, sink->out.data, sink->out.len);
    lua_setfield(L, -2, "text");
  }
}

static void push_report(lua_State *L, const ft_dataset *d, int good) {
  lua_createtable(L, 0, 24);
  set_integer(L, "examples", d->examples);
  set_integer(L, "invalid", d->invalid);
  set_integer(L, "duplicates", d->duplicates);
  set_integer(L, "leaked", d->leaked);
  set_integer(L, "shortened", d->shortened);
  set_integer(L, "error_count", (long long)d->rules.findings.errors);
  set_integer(L, "warning_count", (long long)d->rules.findings.warnings);
  push_findings(L, d, 0);
  lua_setfield(L, -2, "errors");
  push_findings(L, d, 1);
  lua_setfield(L, -2, "warnings");
  push_rules(L, d);
  lua_setfield(L, -2, "rules");
  set_string(L, "source_format", ft_format_name(d->rules.format));
  set_string(L, "format", ft_format_name(ft_dataset_format(d)));
  push_counts(L, d);
  set_output(L, d, FT_TRAINING, good);
  if (d->options.validation <= 0)
    return;
  lua_newtable(L);
  set_output(L, d, FT_VALIDATION, good);
  lua_setfield(L, -2, "validation");
}

/* ---- the end ---- */

/* [0, +1] "; line 3, messages[1].role: ..." of the first error that was kept */
static void push_first_error(lua_State *L, const ft_dataset *d) {
  ft_told f;
  size_t at = 0;
  while (ft_dataset_found(d, &at, &f))
    if (!f.finding.warning) {
      const char *unit = f.source > 0 ? "line" : "example";
      int is_placed = f.line > 0;
      lua_pushliteral(L, "; ");
      if (is_placed)
        lua_pushfstring(L, "%s %I%s%s: ", unit, (LUAI_UACINT)f.line,
                        *f.finding.path != '\0' ? ", " : "", f.finding.path);
      else
        lua_pushliteral(L, "");
      lua_pushstring(L, f.finding.message);
      lua_concat(L, 3);
      return;
    }
  lua_pushliteral(L, "");
}

/* [0, +1] why nothing comes of it, though the world did nothing wrong */
static void push_refusal(lua_State *L, const ft_dataset *d) {
  const char *path = d->sources.len > 0 ? d->sources.data : NULL;
  if (d->examples == 0) {
    lua_pushfstring(L, "there is no example%s%s", path != NULL ? " in " : "",
                    path != NULL ? path : "");
    return;
  }
  if (d->invalid > 0)
    lua_pushfstring(L, "%I of %I examples %s invalid", (LUAI_UACINT)d->invalid,
                    (LUAI_UACINT)d->examples, d->invalid == 1 ? "is" : "are");
  else if (d->doomed)
    lua_pushliteral(L, "the set as a whole is refused");
  else
    lua_pushfstring(L, "none of %I examples is left for training", (LUAI_UACINT)d->examples);
  push_first_error(L, d);
  lua_concat(L, 2);
}

/* The report is made before the output appears, so that lack of memory for it leaves nothing
   behind; if the output then fails, the report must not boast. */
const char *ft_dataset_finish(lua_State *L, ft_dataset *d) {
  int refused = d->kind == NULL && (d->doomed || d->sinks[FT_TRAINING].written == 0);
  push_report(L, d, d->kind == NULL && !refused);
  if (refused)
    push_refusal(L, d);
  else if (ft_dataset_commit(d))
    lua_pushnil(L);
  else {
    lua_pop(L, 1);
    push_report(L, d, 0);
    lua_pushstring(L, d->words);
  }
  const char *kind = refused ? "data" : d->kind;
  ft_dataset_close(d);
  return kind;
}
