/*
** request.h: what request.c, request_body.c and request_field.c share: a request table on
** its way to a transfer, at fixed places of the stack. Everything here may raise.
*/
#ifndef FT_REQUEST_H
#define FT_REQUEST_H

#include "ft.h"

enum { R_REQUEST = 1, R_TRANSFER, R_INSTANCE, R_CONFIG, R_ANCHOR, R_TOP = R_ANCHOR };

typedef struct Request {
  lua_State *L;
  ft_transfer *t;
  int anchors;
} Request;

int ft_rq_wrong(Request *r, const char *what); /* always raises */
void ft_rq_no_memory(Request *r, int ok);      /* raises where ok is 0 */
void ft_rq_anchor(Request *r);                 /* [-1, 0] keeps the value as long as the transfer */
/* [0, +1] the field as a string, NULL where it is absent; text: without NUL */
const char *ft_rq_string(Request *r, int table, const char *key);
const char *ft_rq_text(Request *r, int table, const char *key);
double ft_rq_number(Request *r, int table, const char *key, double otherwise);

void ft_rq_body(Request *r); /* request_body.c */

#endif
