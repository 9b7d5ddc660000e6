/*
** ft.h: private structures and prototypes of the core.
**
** Who owns whom: the engine (one per lua_State, a userdata in the registry)
** anchors the calls that wait; a call anchors its instance, parameters and
** transfers; an instance anchors its registration. Every C pointer below is
** backed by one of these anchors. Functions marked [raise] may raise; the others never do.
*/
#ifndef FT_H
#define FT_H

#include "buf.h"
#include "finetune.h"
#include "outfile.h"
#include "poll.h"
#include "retry.h"

#include <curl/curl.h>
#include <lauxlib.h>
#include <sys/types.h>

#define FT_VERSION "0.1.0"
#define FT_ERROR_META "finetune.error"
#define FT_CALL_META "finetune.call"
#define FT_INSTANCE_META "finetune.provider"
#define FT_REGISTRATION_META "finetune.registration"
#define FT_ARRAY_META "finetune.array"
#define FT_UNSUPPORTED_META "finetune.unsupported"

enum {
  FT_JSON_DEPTH = 128,            /* levels of nesting in any JSON that we take or write */
  FT_BODY_MAX = 32 * 1024 * 1024, /* bytes of an answer held in memory */
  FT_HEAD_MAX = 256 * 1024,       /* bytes of an answer's headers */
  FT_SOURCES_MAX = 4,             /* files in one request */
  FT_HOPS_MAX = 5,                /* redirects followed */
  FT_HOST_CONNECTIONS = 16,       /* to one host over HTTP/1.1; HTTP/2 needs one */
  FT_IDLE_MAX = 64                /* easy handles kept to be used again */
};

typedef struct ft_engine ft_engine;
typedef struct ft_transfer ft_transfer;
typedef struct ft_host ft_host;

/* ---- timers: a binary heap of nodes that live in calls and transfers ---- */
typedef struct ft_timer {
  double at; /* ft_now() when it fires */
  int index; /* place in the heap, -1 when not set */
  void (*fire)(lua_State *L, struct ft_timer *t);
} ft_timer;

/* An easy handle without work. What was set for a plain GET of one instance is
   good for the next one: a tenth of a request's CPU is setting it again. */
typedef struct ft_idle {
  CURL *easy;
  unsigned serial; /* of that instance, 0: the handle is blank */
  double timeout;
} ft_idle;

/* ---- the engine ---- */
enum ft_engine_uv { /* user values of the engine: what Lua values the core keeps */
                    FT_EU_MODULE = 1, /* the module table */
                    FT_EU_LIVE,    /* address -> userdata of each waiting call and each transfer */
                    FT_EU_QUEUE,   /* what waits for the drain: f and three arguments, ... */
                    FT_EU_WAITERS, /* coroutine -> function(call); weak keys */
                    FT_EU_MEMERR,  /* the error value for lack of memory, made beforehand */
                    FT_EU_METHODS, /* of provider instances */
                    FT_EU_CONTEXT, /* metatable of ctx */
                    FT_EU_PROVIDERS, /* name -> registration */
                    FT_EU_DEFAULTS,  /* operation -> Lua function for empty slots */
                    FT_EU_YIELDER,   /* the waiter of provider coroutines: function(call)
                                        coroutine.yield(call) */
                    FT_EU_INTERNAL,  /* the instance that core.sleep runs on */
                    FT_EU_RAISED,    /* what came up in ft_engine_quietly() */
                    FT_EU_LAST = FT_EU_RAISED
};

struct ft_engine {
  const ft_api *api;                         /* first: ft_getapi() reads it */
  void (*close)(lua_State *L, ft_engine *E); /* step.c's: the engine knows nothing above it */
  CURLM *multi;
  ft_poll poll;
  pid_t pid; /* who made it: a forked child must not touch it */
  lua_Alloc alloc;
  void *alloc_ud;
  ft_timer **heap;
  int nheap, heapcap, reserved; /* reserved: timers that exist, set or not */
  double curl_at;               /* when libcurl wants to be called, < 0 never */
  double armed_at;              /* what the poll set's timer stands at, < 0 disarmed */
  ft_call *calls;               /* all that wait */
  ft_call *ready_first, *ready_last;
  ft_call *owed_first, *owed_last; /* ended, with callbacks to be told */
  ft_transfer *transfers;          /* all that exist */
  ft_idle idle[FT_IDLE_MAX];
  int nidle;
  ft_host *hosts; /* see admit.c */
  int nhosts;
  int admits;         /* a host may have a place for one that waits */
  unsigned instances; /* made so far: their serial numbers */
  int ncalls;         /* calls that wait */
  int nactive;        /* transfers in the multi */
  int nfiles;         /* of them, those that carry files: they report progress */
  int depth;          /* operations being run right now */
  ft_call *running;   /* the innermost of them */
  unsigned round;     /* of the ready queue */
  int stepping, draining, hosted, seen_h1;
  int raised;               /* is there an FT_EU_RAISED? */
  lua_Integer qhead, qtail; /* of FT_EU_QUEUE */
};

ft_engine *ft_engine_of(lua_State *L);     /* NULL before luaopen */
ft_engine *ft_engine_check(lua_State *L);  /* [raise] also in a forked child */
void ft_engine_push(lua_State *L, int uv); /* [0, +1] a user value of the engine */
void ft_engine_set(lua_State *L, int uv);  /* [-1, 0] */
/* [-nargs - 1, 0] calls what can only fail for lack of memory, which does no harm here. But a
   debugging hook may raise anywhere, as the lua program has it for Ctrl-C: what it raised is
   raised again at the end of the step. */
void ft_engine_quietly(lua_State *L, ft_engine *E, int nargs);
void ft_engine_raise(lua_State *L, ft_engine *E); /* [raise] that, if there is any */
/* [raise] [0, +1]; close(L, E) gives back what is libcurl's */
void ft_engine_new(lua_State *L, const ft_api *api, void (*close)(lua_State *, ft_engine *));
double ft_engine_deadline(const ft_engine *E); /* when something is due by itself, < 0 never */
int ft_engine_has_work(const ft_engine *E);
void ft_engine_ready(ft_engine *E, ft_call *c); /* c runs in the next step */
void ft_engine_unready(ft_engine *E, ft_call *c);
enum { FT_QUEUED = 4 }; /* values of one thing in the queue: a function, its arguments */
void ft_engine_queue(lua_State *L, ft_engine *E); /* [raise] [-4, 0] f, a, b, c */
int ft_engine_step(lua_State *L, double timeout); /* step.c [raise] */
void ft_step_close(lua_State *L, ft_engine *E);
int ft_engine_inside(const ft_engine *E);
int ft_engine_pending(const ft_engine *E); /* calls that run or owe a callback */
int ft_engine_pollfd(lua_State *L);        /* [raise] */
void ft_engine_arm(ft_engine *E);          /* tell a host's descriptor the next deadline */
int ft_engine_reserve(ft_engine *E);       /* room for one timer more; 0: no memory */
void ft_engine_unreserve(ft_engine *E);
void ft_timer_set(ft_engine *E, ft_timer *t, double at); /* needs a reserved place */
void ft_timer_clear(ft_engine *E, ft_timer *t);
ft_idle ft_engine_easy(ft_engine *E, ft_idle want); /* that handle, a blank one, or NULL */
void ft_engine_anchor(lua_State *L, ft_engine *E, const void *p, int idx); /* [raise] until drop */
void ft_engine_drop(lua_State *L, ft_engine *E, const void *p);
int ft_engine_find(lua_State *L, ft_engine *E, const void *p); /* [0, +1] what is anchored */
void ft_engine_easy_done(ft_engine *E, ft_idle idle);
void ft_engine_seen_h1(ft_engine *E); /* there are hosts that take one request a connection */

/* ---- providers ---- */
enum ft_reg_uv {
  FT_RU_VALUE = 1, /* the table that was registered; nil for a provider in C */
  FT_RU_FACTS,     /* what describe gave, or the data of the table */
  FT_RU_FUNCS,     /* operation (and "open") -> Lua function */
  FT_RU_BASE,      /* the registration that this one is a variant of */
  FT_RU_LAST = FT_RU_BASE
};

typedef struct ft_registration {
  ft_slot slots[FT_NOPS];
  int (*open)(lua_State *L, void *ud);
  int (*describe)(lua_State *L, void *ud);
  void *ud;
  void (*destroy)(void *ud);
  char name[64];
} ft_registration;

enum ft_inst_uv {
  FT_IU_CONFIG = 1,
  FT_IU_REG,
  FT_IU_SECRETS,
  FT_IU_STRINGS, /* array of strings that C points into */
  FT_IU_LAST = FT_IU_STRINGS
};

typedef struct ft_instance {
  ft_engine *E;
  const ft_registration *reg;
  double timeout, connect_timeout, retry_delay; /* seconds */
  int max_retries;
  int traced, scripted, closed;
  unsigned serial;                                        /* never 0, never used twice */
  const char *proxy, *ca_file, *user_agent, *unix_socket; /* or NULL */
} ft_instance;

const char *ft_op_name(int op);
int ft_op_find(const char *name); /* index, or -1 */
int ft_name_valid(const char *name, size_t len);
/* the slot that serves op: the provider's, or the default of an empty one */
const ft_slot *ft_slot_of(lua_State *L, const ft_registration *reg, int op);
void ft_push_function(lua_State *L, ft_call *c); /* [0, +1] the Lua function behind the slot */
int ft_op_required(int op);
void ft_add_provider(lua_State *L, const ft_provider *p, void *ud, void (*destroy)(void *));
ft_registration *ft_registration_new(lua_State *L, const char *name); /* [raise] [0, +1] */
void ft_registry_put(lua_State *L, const char *name);                 /* [raise] [-1, 0] */
int ft_registry_register(lua_State *L);   /* core.register, in register.c */
int ft_registry_unregister(lua_State *L); /* core.unregister */
int ft_registry_provider(lua_State *L);   /* core.provider */
int ft_registry_providers(lua_State *L);  /* core.providers */
int ft_registry_facts(lua_State *L);      /* core.facts */
int ft_registry_default(lua_State *L);    /* core.set_default */
void ft_registry_open(lua_State *L);      /* [raise] metatables */
ft_registration *ft_registration_find(lua_State *L, const char *name); /* [0, +1] or NULL, 0 */

int ft_instance_create(lua_State *L);   /* core.create */
int ft_instance_supports(lua_State *L); /* core.supports */
int ft_instance_close(lua_State *L);    /* core.close */
void ft_instance_open(lua_State *L);    /* [raise] metatables */

/* luaprov.c, for registry.c: slots and facts of a provider that is a table */
int ft_luaprov_run(lua_State *L, ft_call *c);
void ft_openai_register(lua_State *L);

/* ---- calls ---- */
enum ft_call_uv {
  FT_CU_PARAMS = 1,
  FT_CU_SCRATCH,
  FT_CU_INSTANCE,
  FT_CU_VALUE,   /* result; while running: what was waited for */
  FT_CU_ERROR,   /* error; while running: the error of what was waited for */
  FT_CU_ON_DONE, /* array of callbacks */
  FT_CU_ABORT,   /* the request of on_cancel */
  FT_CU_WAIT,    /* what it waits for: an array of requests, or a call */
  FT_CU_LAST = FT_CU_WAIT
};

enum ft_call_state { FT_CS_NEW, FT_CS_RUNNING, FT_CS_WAITING, FT_CS_DONE };

struct ft_call {
  ft_engine *E;
  ft_instance *inst;
  const ft_slot *slot;
  int op;
  enum ft_call_state state;
  int user_state;                  /* the op's own */
  int asked;                       /* what this step asked for: FT_ASK_* */
  int level;                       /* operations that began one another, down to this one */
  int ok, cancelled;               /* how it ended; a cancel while its own op runs */
  int anchored;                    /* in FT_EU_LIVE and in the engine's list of calls */
  unsigned round;                  /* of the ready queue it belongs to */
  int queued, owed;                /* in the ready queue; in the list of calls with callbacks due */
  int next_callback;               /* of FT_CU_ON_DONE */
  int batch;                       /* number of requests of a request_all, else 0 */
  int next_request;                /* of the batch: the first that was not begun */
  int concurrency;                 /* of the batch */
  int has_progress;                /* 1: on_progress is a function */
  double timeout;                  /* of each request; 0: the instance's */
  ft_call *prev, *next;            /* in the engine */
  ft_call *ready_next, *owed_next; /* in those queues */
  ft_call *parents;                /* calls that wait for this one */
  ft_call *sibling;                /* next in that list */
  ft_call *child;                  /* the call that this one waits for */
  ft_transfer *first;              /* its transfers */
  ft_timer timer;
  void (*hook)(lua_State *L, ft_call *c);
  double progress_done, progress_total, progress_told;
  double progress_at; /* when progress was last told */
};

enum { FT_ASK_NOTHING, FT_ASK_TRANSFER, FT_ASK_SLEEP, FT_ASK_CALL };

void ft_call_open(lua_State *L);                /* [raise] metatable */
void ft_call_start(lua_State *L);               /* [raise] [-3, +1] */
void ft_call_advance(lua_State *L, ft_call *c); /* one step, protected */
void ft_unsupported(lua_State *L);              /* [raise] [0, +1] error of the call on top */
int ft_call_sleeper(lua_State *L);              /* core.sleep */
int ft_call_cancel(lua_State *L, ft_call *c);   /* 1 where it was running; protected */
int ft_call_result(lua_State *L, int idx);      /* [0, +2] */
ft_call *ft_call_check(lua_State *L, int idx);  /* [raise] */

/* await.c: what a step asks for, and its answer */
int ft_call_push_awaited(lua_State *L, ft_call *c); /* [raise] [0, +2] response and error, or 0 */
int ft_call_is_ready(const ft_call *c);             /* has what it waits for */
void ft_call_drop_transfers(lua_State *L, ft_call *c);
int ft_call_request(lua_State *L, ft_call *c);
int ft_call_request_all(lua_State *L, ft_call *c, int concurrency);
int ft_call_sleep(lua_State *L, ft_call *c, double seconds);
int ft_call_await(lua_State *L, ft_call *c);
void ft_call_on_cancel(lua_State *L, ft_call *c);
void ft_call_progress(lua_State *L, ft_call *c, double done, double total);
void ft_call_report(lua_State *L, ft_call *c, int last); /* progress of its transfers */
void ft_call_let_go(lua_State *L, ft_call *c);           /* an ended call that owes no callback */
int ft_call_deliver(lua_State *L);           /* [raise] tells one callback; 0: there is none */
void ft_call_abandon(lua_State *L, int idx); /* a waiting call whose state closes */
void ft_call_close_all(lua_State *L, ft_instance *inst); /* cancels the calls of an instance */

/* ---- transfers: one request, with its retries and redirects ---- */
typedef struct ft_source { /* a slice of a file that is sent */
  int fd;
  const char *path; /* anchored by the request table */
  curl_off_t offset, length, pos;
  curl_off_t size; /* what the whole file must measure, -1 any */
  long long mtime; /* ns since the epoch, -1 any */
  ft_transfer *owner;
} ft_source;

enum ft_transfer_state { FT_TS_NEW, FT_TS_ACTIVE, FT_TS_BACKOFF, FT_TS_DONE };
enum ft_decode { FT_DECODE_JSON, FT_DECODE_TEXT, FT_DECODE_NONE };
enum ft_transfer_uv {
  FT_TU_REQUEST = 1, /* the request table */
  FT_TU_ANCHOR,      /* array of strings that C points into */
  FT_TU_INSTANCE,
  FT_TU_LAST = FT_TU_INSTANCE
};

struct ft_transfer {
  ft_engine *E;
  ft_call *call; /* NULL when detached */
  ft_instance *inst;
  ft_transfer *prev, *next; /* in the engine */
  ft_transfer *sibling;     /* next of the same call */
  int index;                /* place in a batch */
  enum ft_transfer_state state;
  ft_idle easy;        /* its handle while it is under way; one with a mime from its birth */
  ft_host *host;       /* while it has a place there or waits for one */
  int waits;           /* in that host's queue */
  ft_transfer *behind; /* next in that queue */
  struct curl_slist *headers;
  curl_mime *mime;
  ft_buf url, head, body;
  ft_timer timer;                          /* backoff, or the deadline of an attempt */
  void (*look)(lua_State *L, ft_timer *t); /* what it is while a stream flows */
  ft_source *src; /* FT_SOURCES_MAX of them, anchored; NULL: none. Few transfers have any, and
                     malloc is slow beyond 1 KiB */
  int nsrc;
  ft_outfile out;
  const char *output; /* anchored path, or NULL */
  const char *post;   /* anchored body, or NULL */
  size_t post_len;
  enum ft_decode decode;
  int once, has_body, is_get;
  char method[16];
  int accept[8], naccept;
  double timeout;
  double read_for, read_idle; /* see finetune.h; 0: not given */
  double read_until, heard;   /* when read_for is over; when the body's last bytes came, 0 none */
  int flowing, partial;       /* an accepted answer to be read so; it was ended early */
  int attempt, hops, status, in_multi, file_transfer;
  int unsent;  /* the last attempt certainly never left */
  int foreign; /* the URL is not the service's own: its query may be a credential */
  enum ft_net net;
  CURLcode code;
  const char *fault; /* static words, set by a callback or before sending */
  int fault_data;    /* the fault lies in the caller's file */
  double began, retry_after;
  curl_off_t up, down, up_total, down_total;
  char errbuf[CURL_ERROR_SIZE];
};

/* request.c: [-1, +1] request table -> transfer userdata; [raise] a wrong request */
ft_transfer *ft_request_prepare(lua_State *L, ft_instance *inst, int instance_idx, double timeout);
void ft_escape(ft_buf *b, const char *s, size_t len); /* percent-encoding; see buf.h for failure */

/* admit.c */
int ft_admit_enter(ft_transfer *t);
void ft_admit_leave(ft_transfer *t);
void ft_admit_learn(ft_transfer *t, long version); /* HTTP's, as libcurl counts it */
ft_transfer *ft_admit_next(ft_engine *E);          /* that may go now, or NULL */
void ft_admit_close(ft_engine *E);

/* source.c: libcurl's read and seek callbacks, and the files behind them */
size_t ft_source_read(char *p, size_t size, size_t n, void *source);
int ft_source_seek(void *source, curl_off_t offset, int origin);
int ft_sources_open(ft_transfer *t); /* 0: t->fault says why not */
void ft_sources_close(ft_transfer *t);

/* stream.c: answers that are read for a time and not to their end */
int ft_stream_is(const ft_transfer *t);
void ft_stream_head(ft_transfer *t);  /* a head is in: called from libcurl's callbacks, as ... */
void ft_stream_bytes(ft_transfer *t); /* ... when bytes of a body are */
int ft_stream_over(const ft_transfer *t, double now); /* 1: with what has come; -1: too late */
double ft_stream_next(const ft_transfer *t);          /* when to look again */

/* http.c */
void ft_http_learn(ft_transfer *t); /* which HTTP its host speaks */
int ft_http_take(ft_transfer *t);   /* gets a handle, set up; 0: no memory */
void ft_http_give(ft_transfer *t);
int ft_http_part(curl_mimepart *part, ft_source *s);
/* scripted.c: in place of a socket: seconds until the answer, < 0 never */
double ft_scripted_answer(lua_State *L, ft_transfer *t);

/* transfer.c */
void ft_transfer_open(lua_State *L);                      /* [raise] metatable */
ft_transfer *ft_transfer_new(lua_State *L, ft_engine *E); /* [raise] [0, +1] */
void ft_transfer_begin(lua_State *L, ft_transfer *t);     /* first or next attempt; never raises */
void ft_transfer_ended(lua_State *L, ft_transfer *t, CURLcode code); /* libcurl is done with it */
void ft_transfer_release(ft_transfer *t);          /* gives everything back; idempotent */
void ft_transfer_go(lua_State *L, ft_transfer *t); /* the attempt has a place: never raises */

/* header.c: what the status and the headers of an answer say */
int ft_transfer_header(const ft_transfer *t, const char *name, const char **value, size_t *len);
int ft_header_text(const ft_transfer *t, const char *name, char *text, size_t room); /* 0: none */
int ft_response_accepted(const ft_transfer *t);
int ft_response_out_of_quota(const ft_transfer *t);   /* a 429 that waiting does not mend */
double ft_response_retry_after(const ft_transfer *t); /* seconds, < 0 none */
int ft_response_should_retry(const ft_transfer *t);
void ft_push_content_type(lua_State *L, const ft_transfer *t); /* [raise] [0, +1] */
void ft_set_header(lua_State *L, const ft_transfer *t, const char *name, const char *key);
/* failure.c: [raise] [0, +1] the error value, with the transfer at index 1; and on it, what every
 * error of a transfer carries */
void ft_failure_push(lua_State *L, ft_transfer *t, int config);
void ft_failure_facts(lua_State *L, const ft_transfer *t);
/* response.c */
int ft_response_push(lua_State *L, ft_transfer *t, int instance_idx); /* [raise] [0, +1]
   1 and a response, or 0 and an error value */
void ft_response_open(lua_State *L);
void ft_trace(lua_State *L, ft_transfer *t); /* queues a trace; never raises */
/* redirect.c */
int ft_redirect(ft_transfer *t); /* 1: to be sent again, to t->url; sets t->fault where refused */

/* ---- values ---- */
int ft_error(lua_State *L, const char *kind, const char *fmt, ...); /* [raise] [0, +1] FT_FAIL */
int ft_error_is(lua_State *L, int idx);
void ft_error_coerce(lua_State *L, const char *kind); /* [-1, +1] anything -> error value */
void ft_error_complete(lua_State *L, int idx, ft_instance *inst, int instance_idx, const char *op);
void ft_error_open(lua_State *L);
int ft_error_new(lua_State *L);            /* core.error */
int ft_error_is_lua(lua_State *L);         /* core.is_error */
void ft_redact(lua_State *L, int secrets); /* [-1, +1] a string; secrets: index of an array */
void ft_redact_table(lua_State *L, int idx, int secrets, int depth); /* [raise] its strings */
void ft_redact_query(lua_State *L, int idx, const char *url); /* [raise] values of its query */
void ft_secret_add(lua_State *L, int secrets);                /* [raise] [-1, 0] */
int ft_raise_usage(lua_State *L, const char *fmt, ...);       /* [raise] always */
int ft_traceback(lua_State *L);                               /* message handler */

int ft_json_decode(lua_State *L, const char *s, size_t len);
void ft_json_encode(lua_State *L, int idx); /* [raise] */
typedef struct ft_key {
  const char *s;
  size_t len;
} ft_key;
ft_key *ft_sorted_keys(lua_State *L, int idx, size_t *n); /* [raise] [0, +1] */
void ft_json_mark_array(lua_State *L, int idx);           /* [raise] */

int ft_new_metatable(lua_State *L, const char *name); /* [raise] [0, +1] util.c; 1: it is new */
/* util.c: a buffer in a userdata, freed by __gc, or at once by ft_box_close */
ft_buf *ft_box(lua_State *L, size_t max); /* [raise] [0, +1] */
void ft_box_close(lua_State *L);          /* [-1, 0] */
void ft_util_open(lua_State *L);
void ft_copy_pairs(lua_State *L, int from, int to);                   /* [raise] absolute indices */
void ft_set_string(lua_State *L, const char *key, const char *value); /* [raise] */
int ft_nearest(lua_State *L);                                         /* core.nearest */
void ft_push_nearest(lua_State *L, const char *word, int list); /* [raise] [0, +1] string or nil */
void ft_system_open(lua_State *L);                              /* [raise] into the module on top */
int ft_sounds_secret(const char *name);                         /* of a header or a setting */
int ft_list_dir(lua_State *L);                                  /* core.list_dir */
int ft_random_token(lua_State *L);
int ft_file_info(lua_State *L, const char *path);

#endif
