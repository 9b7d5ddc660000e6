/*
** finetune.h: the public interface of the C core.
**
** A provider is a vtable: one slot per operation. The core runs an operation
** by calling its slot again and again until it says FT_DONE or FT_FAIL; when
** the slot says FT_WAIT it has asked for something (a request, a sleep, another
** call) and is called again when that is there. A provider never blocks and
** never yields. `openai.c` (C) and `luaprov.c` (Lua tables) are both written
** against this header and nothing else.
**
** A provider in a shared object of its own cannot link to the core (Lua loads
** modules RTLD_LOCAL): it takes the functions from the table `ft_api`, which
** ft_getapi() finds in the state once `require "finetune"` has run.
*/
#ifndef FINETUNE_H
#define FINETUNE_H

#include <lua.h>
#include <stddef.h>

#define FT_ABI_VERSION 1u
#define FT_API_KEY "finetune.api/1" /* registry key: userdata holding an ft_api pointer */

/*
** Every operation, once: X(name, required of a provider, parameters).
** The name is the enum constant, the key in a Lua provider, the method of an
** instance and `err.op`. Parameters: `name:type|type` separated by spaces; `!`
** marks a required one; the first is the main parameter, which a caller may
** give before the table, unless the list begins with `-`. The type `id` is a
** string, or a table whose field `id` is one. Every operation also takes
** `timeout` (seconds for each of its requests) and `extra` (a table of fields
** that are passed to the service as they are).
*/
#define FT_OPERATIONS(X)                                                                           \
  X(prepare_data, 1,                                                                               \
    "examples:table|function|userdata|string path:string|table input:string columns:table "        \
    "format:string format_type:string to:string drop:table output:string|boolean "                 \
    "validation:number validation_output:string validation_path:string seed:integer "              \
    "shuffle:boolean|integer dedupe:boolean skip_invalid:boolean max_examples:integer "            \
    "max_messages:integer max_characters:integer max_tokens:integer rules:table "                  \
    "max_errors:integer vocabulary:userdata tokens:boolean on_progress:function")                  \
  X(upload_file, 1,                                                                                \
    "path:string! purpose:string filename:string wait:boolean wait_timeout:number "                \
    "on_progress:function part_size:integer expires_after:table")                                  \
  X(create_job, 1,                                                                                 \
    "-model:id! training_file:id! validation_file:id suffix:string seed:integer "                  \
    "hyperparameters:table method:string|table grader:table metadata:table integrations:table "    \
    "token:string wait_for_files:boolean file_timeout:number")                                     \
  X(get_job, 1, "job_id:id!")                                                                      \
  X(cancel_job, 1, "job_id:id!")                                                                   \
  X(list_models, 1, "-limit:integer after:string")                                                 \
  X(delete_model, 1, "model:id!")                                                                  \
  X(list_jobs, 0, "-limit:integer after:string metadata:table")                                    \
  X(pause_job, 0, "job_id:id!")                                                                    \
  X(resume_job, 0, "job_id:id!")                                                                   \
  X(delete_job, 0, "job_id:id!")                                                                   \
  X(list_events, 0, "job_id:id! limit:integer after:string")                                       \
  X(list_checkpoints, 0, "job_id:id! limit:integer after:string")                                  \
  X(list_metrics, 0, "job_id:id!")                                                                 \
  X(list_files, 0, "-purpose:string limit:integer after:string order:string")                      \
  X(get_file, 0, "file_id:id!")                                                                    \
  X(delete_file, 0, "file_id:id!")                                                                 \
  X(download_file, 0, "file_id:id! output:string on_progress:function max_bytes:integer")          \
  X(get_model, 0, "model:id!")                                                                     \
  X(deploy_model, 0, "model:id! name:string")                                                      \
  X(undeploy_model, 0, "model:id!")                                                                \
  X(sample, 0, "model:id! messages:table prompt:string max_tokens:integer temperature:number")     \
  X(estimate_cost, 0,                                                                              \
    "-model:id training_file:id path:string method:string|table hyperparameters:table")            \
  X(validate_grader, 0, "grader:table!")                                                           \
  X(run_grader, 0, "grader:table! model_sample:string! item:table")

enum ft_operation {
#define FT_OPERATION_ENUM(name, required, params) FT_OP_##name,
  FT_OPERATIONS(FT_OPERATION_ENUM)
#undef FT_OPERATION_ENUM
      FT_NOPS
};

enum ft_status { FT_FAIL = -1, FT_DONE = 0, FT_WAIT = 1 };

typedef struct ft_call ft_call; /* opaque: one running operation */

/*
** One step of an operation. The stack holds exactly the values below; what the
** op pushes is gone after the step, except its answer:
**   FT_DONE  the value on top is the result;
**   FT_FAIL  the value on top is the error (see `fail`; a string will do);
**   FT_WAIT  request, request_all, sleep or await was called in this step.
** It may raise: the raise becomes the call's error. It must not block, call
** libcurl, keep L, or keep pointers into the response beyond the step.
*/
typedef int (*ft_op)(lua_State *L, ft_call *c);

enum ft_index {              /* the stack of an op */
                FT_CALL = 1, /* the call (userdata) */
                FT_PARAMS,   /* its parameters: a table, checked, ids as strings; read only */
                FT_SCRATCH,  /* a table of the op's own, kept as long as the call */
                FT_CONFIG,   /* the instance's completed configuration; read only */
                FT_RESPONSE, /* what was waited for: a response, an array of them, a result; or nil
                              */
                FT_ERROR,    /* nil, or the error value of what was waited for */
                FT_FIRSTFREE
};

typedef struct ft_slot {
  ft_op op;           /* NULL: not supported */
  void *ud;           /* for `op`, by api->ud(c) */
  const char *reason; /* with op NULL: why not, a sentence, {name} in it is filled in for each call
                         (unsupported.c); may be NULL */
} ft_slot;

/*
** What a provider is. Everything is copied by add_provider. `open` completes
** the configuration of a new instance, the table at index 1 (user's values,
** then the environment's, then those of `describe`), and answers FT_DONE, or
** FT_FAIL with the error value on top. `describe` pushes a table of facts:
**   base_url     string: where paths of requests begin
**   env          config key -> environment variable, or array of them
**   auth         {header = "Authorization", prefix = "Bearer "} (the default)
**   config       array of the config keys it knows beyond the common ones; beside
**                it, key -> default, of whose type the setting is then
**   secrets      array of the config keys that are secret beside api_key
**   statuses     the service's word for a job's state -> ours
**   errors       the service's error code -> our kind
*/
typedef struct ft_provider {
  unsigned version; /* FT_ABI_VERSION: first, so that any reader can check it */
  unsigned nops;    /* entries in slots: an older provider has fewer */
  const char *name; /* registry key: letters, digits, '-' and '_' */
  const ft_slot *slots;
  int (*open)(lua_State *L, void *ud);     /* may be NULL */
  int (*describe)(lua_State *L, void *ud); /* may be NULL */
} ft_provider;

/*
** The functions of the core. All but those marked [pure] may raise.
**
** A request is a table on the Lua stack (units: seconds, bytes):
**   method       default GET, or POST where there is a body
**   path | url   path is put behind the instance's base_url and carries its
**                credentials; url is absolute and carries none unless auth
**   query        table name -> string|number|boolean; sorted and encoded
**   headers      table name -> string
**   json         value to encode as the body | body = string |
**   multipart    array of {name, value | path, filename, type, offset, length}
**   file         {path, offset, length, size, mtime}: a raw body; size and mtime
**                (see file_info), where given, must still be those of the file;
**                the same fields work in a multipart part
**   retry        "safe" (default but for POST and PATCH), "idempotent" (a POST
**                that may be repeated), "never": sent at most once
**   accept       array of statuses that count as success beside 200..299; a
**                3xx that is listed is not followed
**   decode       "json" (default), "text" (body as string), "none"
**   output       path: the body goes to this file, atomically
**   read_for     seconds from when the attempt is sent: then an answer that goes on
**                (the events of a running job) ends as a success with what has come
**   read_idle    seconds: so does one whose body has begun and then is silent so long
**   timeout, max_bytes, auth (boolean), tag (any value; comes back)
** read_for and read_idle begin to count when the headers of an accepted status are
** in: until then, for any other status, and where there is no read_for, `timeout` is
** the limit. They go with no output and no file. What broke off after its first byte
** is not tried again. Over HTTP/1.1 the connection of a partial answer is closed.
** A response is {status, json | body, url, tag, bytes} with `headers`, a table
** of lower-case names, and `partial` = true where read_for or read_idle ended it. JSON
** null members of objects are gone, null in an array is push_null's value, whole numbers
** are integers.
*/
typedef struct ft_api {
  unsigned version; /* FT_ABI_VERSION */
  size_t size;      /* sizeof(ft_api): members are only ever appended */

  /* Registers a copy of *p; replaces one of the same name. destroy(ud) runs
     exactly once, also when registration raises. */
  void (*add_provider)(lua_State *L, const ft_provider *p, void *ud, void (*destroy)(void *ud));

  /* What a step may ask for; each returns FT_WAIT, to be returned by the op. */
  int (*request)(lua_State *L, ft_call *c);                      /* [-1, 0] a request */
  int (*request_all)(lua_State *L, ft_call *c, int concurrency); /* [-1, 0] an array of them;
     the answer is the array of responses in order, or the first hard error, the rest aborted */
  int (*sleep)(lua_State *L, ft_call *c, double seconds);
  int (*await)(lua_State *L, ft_call *c); /* [-1, 0] another call */

  /* [-1, 0] Keeps one request (nil: none) that is sent, detached and with a
     deadline, if the call is cancelled: to abort an upload, say. */
  void (*on_cancel)(lua_State *L, ft_call *c);
  /* [pure] hook(L, c) runs, on an op's stack, if the call ends by cancellation. */
  void (*cancel_hook)(ft_call *c, void (*hook)(lua_State *L, ft_call *c));

  int *(*state)(ft_call *c);          /* [pure] an integer of the op's own, 0 at first */
  void *(*ud)(ft_call *c);            /* [pure] the slot's ud */
  const char *(*op_name)(ft_call *c); /* [pure] */
  void (*push_instance)(lua_State *L, ft_call *c); /* [0, +1] the provider instance */
  void (*push_provider)(lua_State *L, ft_call *c); /* [0, +1] what was registered: a table, or
                                                      the registration of a C provider */
  void (*push_function)(lua_State *L, ft_call *c); /* [0, +1] the Lua function that serves the op */
  void (*own_coroutine)(
      lua_State *L);                  /* [-1, +1] the coroutine on top waits by yielding the call */
  void (*push_context)(lua_State *L); /* [0, +1] the metatable of `ctx` for providers in Lua */
  void (*progress)(lua_State *L, ft_call *c, double done, double total); /* bytes, to on_progress;
     transfers of the call report by themselves: total is the call's, done the bytes before them */

  /* Pushes an error value {kind, message} and returns FT_FAIL. `kind` is one of
     usage config job auth permission not_found conflict invalid rate_limit quota
     server transport timeout cancelled unsupported decode data provider memory.
     The format is lua_pushfstring's. Op, provider and redaction are the core's. */
  int (*fail)(lua_State *L, const char *kind, const char *fmt, ...);
  void (*secret)(lua_State *L, ft_call *c, const char *value); /* redact this value from now on */

  void (*encode)(lua_State *L, int idx); /* [0, +1] a value as JSON, a string */
  int (*decode)(lua_State *L, const char *s,
                size_t len);                 /* [0, +1] 1 and a value, or 0 and words */
  void (*push_null)(lua_State *L);           /* [0, +1] finetune.null */
  void (*mark_array)(lua_State *L, int idx); /* the table at idx is an array, even empty */
  /* [0, +1] 1 and {size, mtime} (mtime: ns since the epoch), or 0 and words */
  int (*file_info)(lua_State *L, const char *path);
  double (*now)(void); /* [pure] monotonic seconds */

  /* For hosts. start: [-3, +1] instance, operation name, parameters -> call.
     step waits at most `timeout` s (< 0: until something happens), runs what is
     ready and delivers completions; returns the number of calls still running.
     pollfd: a descriptor that is readable when step(L, 0) has work. */
  void (*start)(lua_State *L);
  int (*step)(lua_State *L, double timeout);
  int (*pollfd)(lua_State *L);
  /* [0, +2] 1 when the call at idx is done: then its value, or nil and its error; else 0 */
  int (*result)(lua_State *L, int idx);
} ft_api;

/* The table of functions, or NULL when this state has not run require "finetune" */
static inline const ft_api *ft_getapi(lua_State *L) {
  const ft_api *api = NULL;
  if (lua_getfield(L, LUA_REGISTRYINDEX, FT_API_KEY) == LUA_TUSERDATA)
    api = *(const ft_api **)lua_touserdata(L, -1);
  lua_pop(L, 1);
  return api;
}

#endif
