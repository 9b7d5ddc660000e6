/*
** message.h: the rules for the messages of an example, and for its tools.
*/
#ifndef FT_MESSAGE_H
#define FT_MESSAGE_H

#include "check.h"

ft_checker ft_check_message;   /* of a conversation, in its order: kept in c->talk */
ft_checker ft_check_output;    /* of a preference: an assistant's, alone */
ft_checker ft_check_turn;      /* of ShareGPT: from and value */
ft_checker ft_check_tools;     /* [{"type": "function", "function": {...}}] */
ft_checker ft_check_functions; /* the older form: [{"name": ..., "parameters": ...}] */
ft_checker ft_check_parts;     /* content in parts */

/* message.c: a name, of at most 64 bytes that all fit; else a finding of the rule */
void ft_check_spelled(ft_check *c, size_t node, enum ft_rule rule, int (*fits)(char),
                      const char *must);

/* message_tools.c: the calls of a message; the older form */
ft_checker ft_check_tool_calls, ft_check_function_call;
/* At the end of an example: every call that was made is of a declared tool */
void ft_check_declared(ft_check *c);

/* message_image.c: of a part {"type": "image_url", "image_url": {...}} */
ft_checker ft_check_image_url;

/* What of a message tells its place in the conversation: nodes, 0 where there is none */
typedef struct ft_message {
  size_t node, role, content, weight, calls, call_id;
} ft_message;

/* message_order.c: the next message of the conversation, and its end. What a conversation must
   end with depends on what it is for. */
enum ft_talk { FT_TALK_LEARN, FT_TALK_INPUT, FT_TALK_REINFORCE };
void ft_talk_turn(ft_check *c, const ft_message *m);
void ft_talk_end(ft_check *c, size_t messages, enum ft_talk kind);

#endif
