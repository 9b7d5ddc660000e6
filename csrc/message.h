/*
** message.h: the rules for the messages of an example, and for its tools.
*/
#ifndef FT_MESSAGE_H
#define FT_MESSAGE_H

#include "check.h"

ft_checker ft_check_message;   /* any role; kept in c->tally */
ft_checker ft_check_output;    /* of a preference: an assistant's */
ft_checker ft_check_tools;     /* [{"type": "function", "function": {...}}] */
ft_checker ft_check_functions; /* the older form: [{"name": ..., "parameters": ...}] */

#endif
