/*
** openai_jobs.c: create_job. A job costs money, and the service has no idempotency
** key: a POST that is repeated after a lost answer is a second job on the bill. So
** it is sent at most once, and it carries a token of its own in its metadata. When
** it is not known whether the service made the job, the recent jobs are looked
** through for that token: the one that has it is the answer. File, suffix and time
** prove nothing, because the jobs of a sweep share them; without the token it is a
** conflict, told with what was found, and a person (or the same call, given the same
** token) decides.
**
**   START -> FILES -> (LOOK: only with the caller's token) -> POST -> done
**                                       lost answer: SEARCH -> (PAUSE -> SEARCH) -> done
*/
#include "openai.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>

enum { START, FILES, LOOK, POST, SEARCH, PAUSE };
enum { NOT_FOUND = 2 }; /* an answer of search_step, beside FT_* */
enum { PAGE_LIMIT = 100, MAX_PAGES = 5, LOOKS = 2 };

#define LOOK_PAUSE 1.0 /* seconds: a service may finish making the job after we gave up */
#define CLOCK_SKEW                                                                                 \
  300 /* seconds that its clock and ours may differ: only candidates depend on it */

/* ---- searching the recent jobs for the token ---- */

static int search_page(lua_State *L, ft_call *c, int state) {
  ft_oa_request(L, "GET", "/fine_tuning/jobs", NULL, NULL, 0);
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, PAGE_LIMIT);
  lua_setfield(L, -2, "limit");
  lua_getfield(L, FT_SCRATCH, "after");
  lua_setfield(L, -2, "after");
  lua_setfield(L, -2, "query");
  return ft_oa_send(L, c, state);
}

static int search_begin(lua_State *L, ft_call *c, int state) {
  lua_pushnil(L);
  lua_setfield(L, FT_SCRATCH, "after");
  lua_pushinteger(L, 0);
  lua_setfield(L, FT_SCRATCH, "pages");
  lua_newtable(L);
  ft_getapi(L)->mark_array(L, -1);
  lua_setfield(L, FT_SCRATCH, "candidates");
  return search_page(L, c, state);
}

enum token { NO_TOKEN, OWN_TOKEN, OTHER_TOKEN };

/* Whose token the job carries */
static enum token token_of(lua_State *L, int job) {
  int top = lua_gettop(L);
  enum token token = NO_TOKEN;
  lua_getfield(L, FT_SCRATCH, "token");
  if (lua_getfield(L, job, "metadata") == LUA_TTABLE &&
      lua_getfield(L, -1, FT_OA_TOKEN) == LUA_TSTRING)
    token = lua_rawequal(L, -1, top + 1) ? OWN_TOKEN : OTHER_TOKEN;
  lua_settop(L, top);
  return token;
}

/* 1 where the body's `field` is that of the job, or begins it: a service answers
   gpt-4o-mini-2024-07-18 when it was asked for gpt-4o-mini */
static int begins_same(lua_State *L, int job, const char *field) {
  int top = lua_gettop(L);
  lua_getfield(L, FT_SCRATCH, "body");
  int same = lua_getfield(L, -1, field) == LUA_TSTRING &&
             lua_getfield(L, job, field) == LUA_TSTRING &&
             strncmp(lua_tostring(L, -1), lua_tostring(L, -2), lua_rawlen(L, -2)) == 0;
  lua_settop(L, top);
  return same;
}

/* Might the job be the one whose answer was lost? It is for the caller to look at. A
   job with another call's token is that call's. */
static int is_candidate(lua_State *L, int job) {
  double since = ft_oa_number(L, FT_SCRATCH, "began", 0) - CLOCK_SKEW;
  return token_of(L, job) == NO_TOKEN && begins_same(L, job, "model") &&
         begins_same(L, job, "training_file") && ft_oa_number(L, job, "created_at", since) >= since;
}

/* [0, +1] the job of the page that has the token; else NOT_FOUND */
static int search_items(lua_State *L, int data) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, data);
  lua_getfield(L, FT_SCRATCH, "candidates");
  int candidates = lua_gettop(L);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, data, i);
    if (token_of(L, candidates + 1) == OWN_TOKEN)
      return FT_DONE;
    if (is_candidate(L, candidates + 1))
      lua_rawseti(L, candidates, (lua_Integer)lua_rawlen(L, candidates) + 1);
    lua_settop(L, candidates);
  }
  return NOT_FOUND;
}

/* The answer to search_page: FT_DONE and the job, FT_WAIT for the next page,
   NOT_FOUND, or FT_FAIL and why the jobs could not be listed */
static int search_step(lua_State *L, ft_call *c) {
  if (!lua_isnil(L, FT_ERROR))
    return ft_oa_failed(L);
  ft_oa_document(L);
  if (ft_oa_page(L, lua_gettop(L), ft_oa_job) == FT_FAIL)
    return FT_FAIL;
  int page = lua_gettop(L);
  lua_getfield(L, page, "data");
  int found = search_items(L, page + 1);
  double pages = ft_oa_number(L, FT_SCRATCH, "pages", 0) + 1;
  if (found == FT_DONE || pages >= MAX_PAGES || lua_getfield(L, page, "next") == LUA_TNIL)
    return found;
  lua_setfield(L, FT_SCRATCH, "after");
  lua_pushnumber(L, pages);
  lua_setfield(L, FT_SCRATCH, "pages");
  return search_page(L, c, *ft_getapi(L)->state(c));
}

/* ---- the answer that was lost ---- */

/* [0, +1] the message of the error in scratch[key], or "" */
static const char *push_words(lua_State *L, const char *key) {
  if (lua_getfield(L, FT_SCRATCH, key) == LUA_TTABLE)
    lua_getfield(L, -1, "message");
  return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
}

/* [0, +1] what can be said of the search */
static const char *push_findings(lua_State *L) {
  if (lua_getfield(L, FT_SCRATCH, "list_error") != LUA_TNIL)
    return lua_pushfstring(L, "the jobs could not be listed either (%s)",
                           push_words(L, "list_error"));
  lua_getfield(L, FT_SCRATCH, "candidates");
  int n = (int)lua_rawlen(L, -1);
  int has_token = lua_getfield(L, FT_SCRATCH, "token") == LUA_TSTRING;
  return lua_pushfstring(L, "%s; %d recent job%s of this model and file %s in err.candidates",
                         has_token ? "no recent job carries this call's token"
                                   : "jobs carry no token here",
                         n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
}

static void put_scratch(lua_State *L, const char *ours, const char *theirs) {
  lua_getfield(L, FT_SCRATCH, ours);
  lua_setfield(L, -2, theirs);
}

static int conflict(lua_State *L) {
  const char *findings = push_findings(L);
  const char *advice =
      lua_getfield(L, FT_SCRATCH, "token") == LUA_TSTRING
          ? "Call create_job again with token = err.token: it takes the job that was made, if "
            "one was, and makes one otherwise."
          : "Look at them (list_jobs) before you create the job again: it may exist already.";
  ft_getapi(L)->fail(L, "conflict",
                     "it is not known whether the job was created: its answer was lost (%s) and "
                     "%s. %s",
                     push_words(L, "cause"), findings, advice);
  put_scratch(L, "candidates", "candidates");
  put_scratch(L, "token", "token");
  put_scratch(L, "cause", "cause");
  put_scratch(L, "list_error", "list_error");
  return FT_FAIL;
}

/* The search failed: there are no candidates, whatever earlier pages said */
static int search_failed(lua_State *L) {
  lua_setfield(L, FT_SCRATCH, "list_error");
  lua_newtable(L);
  ft_getapi(L)->mark_array(L, -1);
  lua_setfield(L, FT_SCRATCH, "candidates");
  return conflict(L);
}

static int search_again(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  double looks = ft_oa_number(L, FT_SCRATCH, "looks", 0) + 1;
  double longest = ft_oa_number(L, FT_CONFIG, "poll_interval", LOOK_PAUSE);
  lua_getfield(L, FT_SCRATCH, "token");
  if (looks >= LOOKS || lua_isnil(L, -1)) /* without a token nothing can be found */
    return conflict(L);
  lua_pushnumber(L, looks);
  lua_setfield(L, FT_SCRATCH, "looks");
  *api->state(c) = PAUSE;
  return api->sleep(L, c, longest < LOOK_PAUSE ? longest : LOOK_PAUSE);
}

static int job_searched(lua_State *L, ft_call *c) {
  int r = search_step(L, c);
  if (r == FT_FAIL)
    return search_failed(L);
  return r == NOT_FOUND ? search_again(L, c) : r;
}

/* [-1, ...] the error of the POST, or of its answer */
static int job_lost(lua_State *L, ft_call *c) {
  lua_setfield(L, FT_SCRATCH, "cause");
  return search_begin(L, c, SEARCH);
}

/* ---- the error of the POST ---- */

static int is_one_of(lua_State *L, const char *field, const char *const *words) {
  int found = 0;
  if (lua_getfield(L, FT_ERROR, field) == LUA_TSTRING)
    for (; *words != NULL && !found; words++)
      found = strcmp(lua_tostring(L, -1), *words) == 0;
  lua_pop(L, 1);
  return found;
}

/* 1 where the service cannot have made the job: it was not reached (err.sent is
   false), what it was asked was never sent, or it said no. 408 and 409 say nothing,
   nor does a 2xx whose body cannot be read, nor a 303 ("done, look there"). */
static int surely_not_made(lua_State *L) {
  static const char *const before[] = {"usage", "config", "data", "invalid", "unsupported", NULL};
  int status = (int)ft_oa_number(L, FT_ERROR, "status", 0);
  if (status != 0)
    return status >= 300 && status < 500 && status != 303 && status != 408 && status != 409;
  int sent = lua_getfield(L, FT_ERROR, "sent") != LUA_TBOOLEAN || lua_toboolean(L, -1);
  lua_pop(L, 1);
  return !sent || is_one_of(L, "kind", before);
}

static int is_openai(lua_State *L) {
  static const char host[] = "https://api.openai.com";
  const char *url =
      lua_getfield(L, FT_CONFIG, "base_url") == LUA_TSTRING ? lua_tostring(L, -1) : "";
  int same = strncmp(url, host, sizeof host - 1) == 0 &&
             strchr("/:", url[sizeof host - 1]) != NULL; /* or its end */
  lua_pop(L, 1);
  return same;
}

/* 403, 404 and 410 on the one path that every service of the dialect has, or had.
   Dates: OpenAI's deprecations page, announced 2026-05-07. */
static int is_refusal(lua_State *L) {
  static const char *const codes[] = {"model_not_found", NULL}; /* that is about the model */
  int status = (int)ft_oa_number(L, FT_ERROR, "status", 0);
  return (status == 403 || status == 404 || status == 410) && !is_one_of(L, "code", codes);
}

static int refused(lua_State *L) {
  static const char openai[] =
      "OpenAI is ending self-serve fine-tuning: since 2026-05-07 organizations that never "
      "fine-tuned, and since 2026-07-02 those without recent inference on a fine-tuned model, "
      "cannot create jobs; from 2027-01-06 nobody can. Jobs, files and models that exist stay "
      "within reach. To train elsewhere name another provider, as in "
      "finetune.create_provider(\"together\")";
  static const char other[] = "this service does not create fine-tuning jobs here: they were "
                              "retired, this key may not create them, or base_url is wrong";
  ft_oa_failed(L);
  if (lua_getfield(L, -1, "message") != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "refused");
  }
  lua_pushfstring(L, "%s (%s)", lua_tostring(L, -1), is_openai(L) ? openai : other);
  lua_setfield(L, -3, "message");
  lua_pop(L, 1);
  return FT_FAIL;
}

static int job_answered(lua_State *L, ft_call *c) {
  if (lua_isnil(L, FT_ERROR)) {
    ft_oa_document(L);
    return ft_oa_job(L, lua_gettop(L)) == FT_DONE ? FT_DONE : job_lost(L, c);
  }
  if (surely_not_made(L))
    return is_refusal(L) ? refused(L) : ft_oa_failed(L);
  ft_oa_failed(L);
  return job_lost(L, c);
}

/* ---- until the POST ---- */

static int job_post(lua_State *L, ft_call *c) {
  lua_pushnumber(L, (lua_Number)time(NULL));
  lua_setfield(L, FT_SCRATCH, "began");
  ft_oa_request(L, "POST", "/fine_tuning/jobs", NULL, NULL, 0);
  lua_getfield(L, FT_SCRATCH, "body");
  lua_setfield(L, -2, "json");
  lua_pushliteral(L, "never");
  lua_setfield(L, -2, "retry");
  return ft_oa_send(L, c, POST);
}

/* A caller with a token of his own has perhaps been here before */
static int job_look(lua_State *L, ft_call *c) {
  int has_own = lua_getfield(L, FT_PARAMS, "token") == LUA_TSTRING;
  lua_pop(L, 1);
  return has_own ? search_begin(L, c, LOOK) : job_post(L, c);
}

static int job_looked(lua_State *L, ft_call *c) {
  int r = search_step(L, c);
  return r == NOT_FOUND ? job_post(L, c) : r;
}

/* Begins to wait for the file of that parameter; 0 where there is none */
static int wait_for(lua_State *L, const char *param) {
  if (lua_getfield(L, FT_PARAMS, param) != LUA_TSTRING) {
    lua_pop(L, 1);
    return 0;
  }
  ft_oa_poll_begin(L, "file_timeout");
  return 1;
}

static int job_files(lua_State *L, ft_call *c) {
  int r = ft_oa_poll(L, c);
  if (r != FT_DONE)
    return r;
  int had_both = lua_getfield(L, FT_SCRATCH, "had_training") != LUA_TNIL;
  lua_pushboolean(L, 1);
  lua_setfield(L, FT_SCRATCH, "had_training");
  return !had_both && wait_for(L, "validation_file") ? ft_oa_poll_ask(L, c) : job_look(L, c);
}

/* params.wait_for_files, else the quirk, else true */
static int waits_for_files(lua_State *L) {
  int type = lua_getfield(L, FT_PARAMS, "wait_for_files");
  int wait = type == LUA_TBOOLEAN ? lua_toboolean(L, -1) : !ft_oa_quirk_off(L, "wait_for_files");
  lua_pop(L, 1);
  return wait;
}

static int job_start(lua_State *L, ft_call *c) {
  if (ft_oa_body(L) == FT_FAIL)
    return FT_FAIL;
  lua_setfield(L, FT_SCRATCH, "body");
  if (!waits_for_files(L) || !wait_for(L, "training_file"))
    return job_look(L, c);
  *ft_getapi(L)->state(c) = FILES;
  return ft_oa_poll_ask(L, c);
}

int ft_oa_create_job(lua_State *L, ft_call *c) {
  luaL_checkstack(L, 40, "create_job"); /* the words of an error are put together on it */
  switch (*ft_getapi(L)->state(c)) {
  case START:
    return job_start(L, c);
  case FILES:
    return job_files(L, c);
  case LOOK:
    return job_looked(L, c);
  case POST:
    return job_answered(L, c);
  case SEARCH:
    return job_searched(L, c);
  default:
    return search_begin(L, c, SEARCH);
  }
}
