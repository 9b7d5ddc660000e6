/*
** prepare.h: the operation prepare_data; and what an iterator needs of it. Its examples are pulled
** by provider.lua in the caller's coroutine, which may wait there, into a dataset that the
** operation is given when the iterator has ended.
*/
#ifndef FT_PREPARE_H
#define FT_PREPARE_H

#include "finetune.h"

int ft_prepare_data(lua_State *L, ft_call *c); /* an ft_op */

/* dataset, parameters -> true: the validation file, if there is one, will be read by slices; false
   where they are wrong: the operation says how */
int ft_prepare_compare(lua_State *L);
/* dataset -> seconds to wait until the next slice; nil: the validation file has been read; false: a
   fault, which the operation will tell */
int ft_prepare_slice(lua_State *L);
/* dataset, example -> is there any sense in going on?, core.now(): from here it costs next to
   nothing */
int ft_prepare_add(lua_State *L);
/* dataset -> bytes so far, {examples, errors, warnings} */
int ft_prepare_told(lua_State *L);

#endif
