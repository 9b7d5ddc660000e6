/*
** openai.h: what the files of the OpenAI dialect share. Like any provider they
** see the core through finetune.h alone. Every function here runs inside a step:
** FT_PARAMS, FT_SCRATCH, FT_CONFIG, FT_RESPONSE and FT_ERROR are on the stack.
** `int` answers are FT_DONE with what is said pushed, or FT_FAIL with the error
** value pushed, so that a caller passes them on with one `if`.
*/
#ifndef FT_OPENAI_H
#define FT_OPENAI_H

#include "finetune.h"

#define FT_OA_TOKEN "finetune_token" /* the key of metadata that says whose a job is */

/* openai.c: requests, settings and errors */
int ft_oa_request(lua_State *L, const char *method, const char *path, const char *param,
                  const char *id, size_t len); /* [0, +1] a request table; `{}` in path is the id */
int ft_oa_send(lua_State *L, ft_call *c, int state); /* [-1, 0] the request; FT_WAIT */
void ft_oa_merge_extra(lua_State *L, int into);      /* params.extra over the fields of the table */
int ft_oa_quirk(lua_State *L, const char *name);     /* [0, +1] config.quirks[name]; its type */
int ft_oa_quirk_off(lua_State *L, const char *name); /* 1 where it is false */
lua_Number ft_oa_quirk_number(lua_State *L, const char *name, lua_Number otherwise);
lua_Number ft_oa_number(lua_State *L, int idx, const char *field, lua_Number otherwise);
int ft_oa_is_empty(lua_State *L, int idx);                             /* a table without fields */
int ft_oa_invalid(lua_State *L, const char *param, const char *words); /* kind invalid */
int ft_oa_failed(lua_State *L); /* pushes FT_ERROR; FT_FAIL */

/* openai_values.c: [0, +1] the service's document at idx, normalised */
typedef int (*ft_oa_convert)(lua_State *L, int idx);
int ft_oa_job(lua_State *L, int idx);
int ft_oa_file(lua_State *L, int idx);
int ft_oa_event(lua_State *L, int idx);
int ft_oa_checkpoint(lua_State *L, int idx);
int ft_oa_model(lua_State *L, int idx);
int ft_oa_graded(lua_State *L, int idx);
int ft_oa_page(lua_State *L, int idx, ft_oa_convert item);
int ft_oa_deleted(lua_State *L, int idx, const char *param); /* the document may be nil */
int ft_oa_slice(lua_State *L);     /* [-1, +1] cuts a whole list by `after` and `limit` */
void ft_oa_document(lua_State *L); /* [0, +1] the JSON of FT_RESPONSE, nil where none */
size_t ft_oa_characters(lua_State *L, int idx); /* of a UTF-8 string */

/* openai_files.c. Waiting until a file is processed: begin, ask, then poll in each
   step until it says FT_DONE, with the file, or FT_FAIL. */
void ft_oa_poll_begin(lua_State *L, const char *limit_param); /* [-1, 0] the file's id */
int ft_oa_poll_ask(lua_State *L, ft_call *c);                 /* FT_WAIT */
int ft_oa_poll_look(lua_State *L, ft_call *c);                /* [-1, +1] at the file on top */
int ft_oa_poll(lua_State *L, ft_call *c);
int ft_oa_download_file(lua_State *L, ft_call *c);

/* openai_sample.c */
int ft_oa_sample(lua_State *L, ft_call *c);

/* openai_upload.c */
int ft_oa_upload_file(lua_State *L, ft_call *c);

/* openai_body.c: [0, +1] the body of create_job, checked; scratch.token, where it has one */
int ft_oa_body(lua_State *L);
/* openai_method.c: `method` and hyperparameters into the body, which is on top */
int ft_oa_method(lua_State *L, int body);

/* openai_jobs.c */
int ft_oa_create_job(lua_State *L, ft_call *c);

#endif
