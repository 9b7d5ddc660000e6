/*
** openai.c: the OpenAI dialect, spoken by OpenAI itself and, with other facts,
** by Azure, Nebius, gateways and local servers (`base = "openai"` in Lua).
** Paths, fields and limits: openai-openapi 2.3.0 (2026-08-21).
**
** What differs between services is configuration. Beside base_url, auth, query,
** headers and statuses there is the table `quirks`; what is left out has the
** default given here:
**   path_prefix           ""     put before every path
**   metadata              true   jobs carry metadata; false: no token is sent, so
**                                that a lost answer to create_job is a conflict
**   metadata_filter       true   false: list_jobs cannot be asked for jobs with some
**   wait_for_files        true   default of create_job's parameter
**   hyperparameters       {}     array of names that are passed on unchecked beside
**                                the known ones; true: any name, any value, any method
**   flat_hyperparameters  false  true: the body's `hyperparameters`, not those of `method`;
**                                "supervised": so for that method, which is then not named.
**                                "auto" is left out of them
**   fields                {}     parameter of create_job -> field of its body
**   extra                 {}     fields of every request (in the body of a POST, else in the
**                                query), where the call does not name them; not of parts
**   suffix_limit          64     characters
**   suffix_plain          false  true: of a suffix only letters, digits, '-' and '_'
**   upload_limit          512e6  bytes of a file sent in one request
**   uploads               true   false: the service has no /uploads
**   upload_total          8 GiB  bytes of a file sent in parts
**   part_limit            64 MiB bytes of a part
**   part_type             "application/octet-stream"  Content-Type of a file in a form
**   mime_type             "text/jsonl"                the file's type in /uploads
**   max_tokens            "max_completion_tokens"     what sample calls its max_tokens
**
** Most operations are one request and one conversion: those are rows of a table.
** The three that take several steps have functions of their own elsewhere.
*/
#include "openai.h"

#include <lauxlib.h>
#include <string.h>

void ft_openai_register(lua_State *L);

/* ---- operations that are one request ---- */

enum { MAX_FIELDS = 4 };
enum answer { ITEM, PAGE, WHOLE_LIST, DELETED };

typedef struct route {
  const char *method, *path;
  const char *param;              /* the parameter that is the id in the path, or NULL */
  const char *fields[MAX_FIELDS]; /* parameters sent: in the body of a POST, else as query */
  enum answer answer;
  ft_oa_convert value; /* of the document, or of each item of the page */
} route;

#define JOB "/fine_tuning/jobs/{}"
#define GRADERS "/fine_tuning/alpha/graders"

static const struct {
  enum ft_operation op;
  route route;
} routes[] = {
    {FT_OP_get_job, {"GET", JOB, "job_id", {NULL}, ITEM, ft_oa_job}},
    {FT_OP_cancel_job, {"POST", JOB "/cancel", "job_id", {NULL}, ITEM, ft_oa_job}},
    {FT_OP_pause_job, {"POST", JOB "/pause", "job_id", {NULL}, ITEM, ft_oa_job}},
    {FT_OP_resume_job, {"POST", JOB "/resume", "job_id", {NULL}, ITEM, ft_oa_job}},
    {FT_OP_list_jobs,
     {"GET", "/fine_tuning/jobs", NULL, {"limit", "after", "metadata"}, PAGE, ft_oa_job}},
    {FT_OP_list_events, {"GET", JOB "/events", "job_id", {"limit", "after"}, PAGE, ft_oa_event}},
    {FT_OP_list_checkpoints,
     {"GET", JOB "/checkpoints", "job_id", {"limit", "after"}, PAGE, ft_oa_checkpoint}},
    {FT_OP_list_files,
     {"GET", "/files", NULL, {"purpose", "limit", "after", "order"}, PAGE, ft_oa_file}},
    {FT_OP_get_file, {"GET", "/files/{}", "file_id", {NULL}, ITEM, ft_oa_file}},
    {FT_OP_delete_file, {"DELETE", "/files/{}", "file_id", {NULL}, DELETED, NULL}},
    {FT_OP_list_models, {"GET", "/models", NULL, {NULL}, WHOLE_LIST, ft_oa_model}},
    {FT_OP_get_model, {"GET", "/models/{}", "model", {NULL}, ITEM, ft_oa_model}},
    {FT_OP_delete_model, {"DELETE", "/models/{}", "model", {NULL}, DELETED, NULL}},
    {FT_OP_validate_grader, {"POST", GRADERS "/validate", NULL, {"grader"}, ITEM, ft_oa_graded}},
    {FT_OP_run_grader,
     {"POST", GRADERS "/run", NULL, {"grader", "model_sample", "item"}, ITEM, ft_oa_graded}},
};

/* [-1, 0] {k = v} becomes metadata[k] = v of the table `into`: a deepObject */
static void spread_metadata(lua_State *L, int into) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      continue;
    lua_pushliteral(L, "metadata[");
    lua_pushvalue(L, -3);
    lua_pushliteral(L, "]");
    lua_concat(L, 3);
    lua_pushvalue(L, -2);
    lua_settable(L, into);
  }
  lua_pop(L, 1);
}

/* A service that ignored the filter would answer with other people's jobs */
static int refuse_filter(lua_State *L, const route *r) {
  int given = r->value == ft_oa_job && r->answer == PAGE &&
              lua_getfield(L, FT_PARAMS, "metadata") != LUA_TNIL;
  if (given && ft_oa_quirk_off(L, "metadata"))
    return ft_oa_invalid(L, "metadata", "is not kept by this service");
  if (given && ft_oa_quirk_off(L, "metadata_filter"))
    return ft_oa_invalid(L, "metadata", "cannot be asked for: this service lists all jobs");
  return FT_DONE;
}

/* [0, +1] the table of the fields that were given */
static void push_fields(lua_State *L, const route *r) {
  lua_newtable(L);
  int into = lua_gettop(L);
  for (int i = 0; i < MAX_FIELDS && r->fields[i] != NULL; i++) {
    if (lua_getfield(L, FT_PARAMS, r->fields[i]) == LUA_TNIL)
      lua_pop(L, 1);
    else if (strcmp(r->fields[i], "metadata") == 0)
      spread_metadata(L, into);
    else
      lua_setfield(L, into, r->fields[i]);
  }
  ft_oa_merge_extra(L, into);
}

/* Every POST of the table may be repeated: cancelling, pausing or resuming twice is
   doing it once, and a grader run changes nothing. */
static int route_send(lua_State *L, ft_call *c, const route *r) {
  int is_post = strcmp(r->method, "POST") == 0;
  size_t len = 0;
  const char *id = NULL;
  if (r->param != NULL) {
    lua_getfield(L, FT_PARAMS, r->param);
    id = lua_tolstring(L, -1, &len);
  }
  if (refuse_filter(L, r) == FT_FAIL ||
      ft_oa_request(L, r->method, r->path, r->param, id, len) == FT_FAIL)
    return FT_FAIL;
  push_fields(L, r);
  if (ft_oa_is_empty(L, -1))
    lua_pop(L, 1);
  else
    lua_setfield(L, -2, is_post ? "json" : "query");
  if (is_post) {
    lua_pushliteral(L, "idempotent");
    lua_setfield(L, -2, "retry");
  }
  return ft_oa_send(L, c, 1);
}

static int route_answer(lua_State *L, const route *r) {
  ft_oa_document(L);
  int doc = lua_gettop(L);
  if (r->answer == ITEM)
    return r->value(L, doc);
  if (r->answer == DELETED)
    return ft_oa_deleted(L, doc, r->param);
  if (ft_oa_page(L, doc, r->value) == FT_FAIL)
    return FT_FAIL;
  return r->answer == PAGE ? FT_DONE : ft_oa_slice(L);
}

static int route_run(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  const route *r = (const route *)api->ud(c);
  if (*api->state(c) == 0)
    return route_send(L, c, r);
  return lua_isnil(L, FT_ERROR) ? route_answer(L, r) : ft_oa_failed(L);
}

/* ---- the configuration of an instance ---- */

enum { CONFIG = 1 }; /* the argument of `open` */

static int bad_config(lua_State *L, const char *key, const char *words) {
  return ft_getapi(L)->fail(L, "config", "%s %s", key, words);
}

static int has_control(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] == 127)
      return 1;
  return 0;
}

/* ASCII only, whatever the host's locale says */
static int same_nocase(const char *s, const char *lower, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (s[i] != lower[i] && !(s[i] >= 'A' && s[i] <= 'Z' && s[i] + ('a' - 'A') == lower[i]))
      return 0;
  return 1;
}

/* 1 where the table on top has the header, in any spelling of its case */
static int has_header(lua_State *L, const char *lower) {
  size_t n = strlen(lower);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING && lua_rawlen(L, -2) == n &&
        same_nocase(lua_tostring(L, -2), lower, n)) {
      lua_pop(L, 2);
      return 1;
    }
  return 0;
}

/* config[key] as a header of the table on top, but where the user set that himself;
   false: none, whatever the environment says */
static int put_header(lua_State *L, const char *key, const char *name, const char *lower) {
  size_t len;
  if (has_header(L, lower))
    return FT_DONE;
  int type = lua_getfield(L, CONFIG, key);
  if (type == LUA_TNIL || (type == LUA_TBOOLEAN && !lua_toboolean(L, -1))) {
    lua_pop(L, 1);
    return FT_DONE;
  }
  const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
  if (value == NULL || len == 0 || has_control(value, len))
    return bad_config(L, key, "must be a string without blanks or control characters");
  lua_setfield(L, -2, name);
  return FT_DONE;
}

/* [0, +1] a copy of config.headers: the user's own table is not ours to change */
static void push_headers(lua_State *L) {
  lua_newtable(L);
  if (lua_getfield(L, CONFIG, "headers") == LUA_TTABLE)
    for (lua_pushnil(L); lua_next(L, -2);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_settable(L, -5);
    }
  lua_pop(L, 1);
}

static int check_poll_interval(lua_State *L) {
  int type = lua_getfield(L, CONFIG, "poll_interval");
  if (type != LUA_TNIL && !(type == LUA_TNUMBER && lua_tonumber(L, -1) > 0))
    return bad_config(L, "poll_interval", "must be a number of seconds above 0");
  lua_pop(L, 1);
  return FT_DONE;
}

/* The core has checked base_url and completed the rest from the environment */
static int provider_open(lua_State *L, void *ud) {
  (void)ud;
  if (check_poll_interval(L) == FT_FAIL)
    return FT_FAIL;
  push_headers(L);
  if (put_header(L, "organization", "OpenAI-Organization", "openai-organization") == FT_FAIL ||
      put_header(L, "project", "OpenAI-Project", "openai-project") == FT_FAIL)
    return FT_FAIL;
  lua_setfield(L, CONFIG, "headers");
  return FT_DONE;
}

/* ---- facts and registration ---- */

/* [0, +1] a table of n pairs; with a NULL key, an array */
static void push_strings(lua_State *L, const char *const (*pairs)[2], int n) {
  lua_createtable(L, 0, n);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, pairs[i][1]);
    if (pairs[i][0] != NULL)
      lua_setfield(L, -2, pairs[i][0]);
    else
      lua_rawseti(L, -2, i + 1);
  }
}

/* [0, 0] t[key] = n, of the table t at the top */
static void set_number(lua_State *L, const char *key, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, key);
}

enum { MIN_EXAMPLES = 10, MAX_IMAGES = 64, MAX_IMAGE_BYTES = 10000000, MAX_TOOLS = 128 };

/* [0, +1] What is asked of training data: the guides to supervised fine-tuning, DPO, reinforcement
   and vision, the error invalid_n_examples, the schemas of chat data. Any order of roles is taken.
   (The cookbook's check refuses empty content, the schemas do not: it stays a warning.) */
static void push_dataset(lua_State *L) {
  static const char *const formats[][2] = {
      {NULL, "chat"}, {NULL, "completion"}, {NULL, "preference"}, {NULL, "reinforcement"}};
  static const char *const rules[][2] = {{"alternation", "off"},
                                         {"first_message", "off"},
                                         {"system_place", "off"},
                                         {"tool_name", "error"}};
  lua_createtable(L, 0, 7);
  push_strings(L, formats, 4);
  lua_setfield(L, -2, "formats");
  set_number(L, "min_examples", MIN_EXAMPLES);
  lua_pushliteral(L, "strip");
  lua_setfield(L, -2, "bom");
  lua_createtable(L, 0, 3);
  set_number(L, "images", MAX_IMAGES);
  set_number(L, "image_bytes", MAX_IMAGE_BYTES);
  set_number(L, "tools", MAX_TOOLS);
  lua_setfield(L, -2, "limits");
  push_strings(L, rules, 4);
  lua_setfield(L, -2, "rules");
  lua_pushliteral(L, "OpenAI, guides to fine-tuning; openai-cookbook, Chat_finetuning_data_prep");
  lua_setfield(L, -2, "source");
  lua_pushliteral(L, "2026-11-22");
  lua_setfield(L, -2, "checked");
}

static int provider_describe(lua_State *L, void *ud) {
  static const char *const env[][2] = {{"api_key", "OPENAI_API_KEY"},
                                       {"base_url", "OPENAI_BASE_URL"},
                                       {"organization", "OPENAI_ORG_ID"},
                                       {"project", "OPENAI_PROJECT_ID"}};
  static const char *const keys[][2] = {
      {NULL, "organization"}, {NULL, "project"}, {NULL, "poll_interval"}};
  static const char *const statuses[][2] = {
      {"validating_files", "validating"},
      {"canceled", "cancelled"}}; /* gateways that spell it the American way */
  (void)ud;
  lua_createtable(L, 0, 5);
  lua_pushliteral(L, "https://api.openai.com/v1");
  lua_setfield(L, -2, "base_url");
  push_strings(L, env, 4);
  lua_setfield(L, -2, "env");
  push_strings(L, keys, 3);
  lua_setfield(L, -2, "config");
  push_strings(L, statuses, 2);
  lua_setfield(L, -2, "statuses");
  push_dataset(L);
  lua_setfield(L, -2, "dataset");
  return FT_DONE;
}

/* A slot's ud is not const, the routes are: nobody writes through it */
static ft_slot slot_of_route(const route *r) {
  union {
    const void *in;
    void *out;
  } ud = {r};
  ft_slot slot = {route_run, NULL, NULL};
  slot.ud = ud.out;
  return slot;
}

void ft_openai_register(lua_State *L) {
  ft_slot slots[FT_NOPS] = {{NULL, NULL, NULL}}; /* prepare_data, list_metrics: the core's own */
  for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
    slots[routes[i].op] = slot_of_route(&routes[i].route);
  slots[FT_OP_upload_file].op = ft_oa_upload_file;
  slots[FT_OP_download_file].op = ft_oa_download_file;
  slots[FT_OP_create_job].op = ft_oa_create_job;
  slots[FT_OP_delete_job].reason =
      "the service keeps a record of every job; delete its model with delete_model";
  slots[FT_OP_deploy_model].reason =
      "a fine-tuned model is served under its name as soon as its job has succeeded";
  slots[FT_OP_undeploy_model].reason = "there are no deployments; delete_model removes the model";
  slots[FT_OP_sample].op = ft_oa_sample;
  slots[FT_OP_estimate_cost].reason =
      "the service has no price list to ask; finetune.estimate_cost counts a file or a report";
  ft_provider provider = {FT_ABI_VERSION, FT_NOPS,       "openai",
                          slots,          provider_open, provider_describe};
  ft_getapi(L)->add_provider(L, &provider, NULL, NULL);
}
