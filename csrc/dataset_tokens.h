/*
** dataset_tokens.h: vocabularies and token counts for Lua.
*/
#ifndef FT_DATASET_TOKENS_H
#define FT_DATASET_TOKENS_H

#include "tokens.h"

/* [0, +0] with the module table on top: adds core.vocabulary and core.tokens */
void ft_tokens_open(lua_State *L);

/* The vocabulary at idx if it is one and is read; else NULL. It lives as long as that value. */
const ft_vocab *ft_vocabulary_test(lua_State *L, int idx);

#endif
