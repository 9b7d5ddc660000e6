/*
** convert.h: an example in another format, its strings copied as they are written. Nothing is
** lost on the way: what has no place in the other format is an error that says what, and where
** there is none the way back gives the same example. No Lua.
**
**   chat <-> ShareGPT          messages of system, user (human) and assistant (gpt), text only
**   chat <-> prompt/completion [user, assistant]
**   chat <-> instruction       [user, assistant]: instruction and output, input empty;
**                              [system, user, assistant]: instruction, input (not empty), output
**   ShareGPT, prompt/completion, instruction <-> one another, as if by chat
**   text <-> prompt/completion with an empty prompt
**
** A weight of a message goes between chat and ShareGPT, one of the whole example between chat,
** prompt/completion and text. An instruction without input is the same as one whose input is
** empty (or null), and is written as that; so an empty "system" or "tools" is the same as none.
** Preference and reinforcement examples become nothing else, and nothing else becomes them.
*/
#ifndef FT_CONVERT_H
#define FT_CONVERT_H

#include "example.h"
#include "rules.h"

typedef struct ft_conversion {
  enum ft_format from, to;
  const char *const *drop; /* NULL, or keys that may be lost (name, id ...), a NULL behind them */
} ft_conversion;

enum { FT_LOST_PATH = 128 };

typedef struct ft_lost {
  size_t node, at;            /* where it is, and its byte in the example */
  char path[FT_LOST_PATH];    /* messages[2].name */
  char words[FT_MESSAGE_MAX]; /* "name" of messages[2] has no place in prompt/completion */
} ft_lost;

/* 1: one line of JSON was appended to `out`, without its "\n"; 0: something would be lost, and
   `lost` says what; -1: no memory, or `out` is full. What is in c->to already is copied, byte for
   byte (but line ends between values, which become spaces). Never writes a part. */
int ft_convert(const ft_example *e, const ft_conversion *c, ft_buf *out, ft_lost *lost);

/* Why no example at all can go this way, or NULL */
const char *ft_convert_never(enum ft_format from, enum ft_format to);

/* convert_path.c: messages[2].name; what does not fit is left out */
void ft_convert_path(const ft_example *e, size_t node, char path[FT_LOST_PATH]);
int ft_convert_clip(ft_slice s); /* for %.*s: a length that fits into words and cuts no character */

#endif
