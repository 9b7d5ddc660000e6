/*
** message_order.c: the rules for a conversation: who speaks when, which calls are answered, and
** how it ends. A message that was not understood makes what follows from it unsure.
*/
#include "message.h"
#include "rules.h"

/* ---- calls and their answers ---- */

static void close_calls(ft_check *c) {
  if (c->talk.open > 0 && !c->unsure)
    ft_check_found(c, FT_RULE_CALL_UNANSWERED, c->talk.open_at, NULL,
                   "%zu of these calls %s no tool message that answers", c->talk.open,
                   c->talk.open == 1 ? "has" : "have");
  c->talk.open = 0;
}

/* Their ids were noted when the calls were checked */
static void open_calls(ft_check *c, size_t calls) {
  ft_names *ids = &c->rules->open;
  size_t n = ft_names_count(ids), twice = n > 1 ? ft_names_twice(ids, c->e) : 0;
  if (twice != 0) {
    ft_slice id = ft_check_slice(c, twice);
    ft_check_found(c, FT_RULE_CALL_TWICE, twice, NULL, "two calls have the id \"%.*s\"",
                   ft_check_clip(id), id.s);
    c->unsure = 1;
  }
  c->talk.open = n;
  c->talk.open_at = calls;
}

static void answer_call(ft_check *c, const ft_message *m) {
  if (m->call_id == 0 || c->nodes[m->call_id].type != '"') {
    c->talk.open = 0; /* it was told: which call it was meant for is not known */
    return;
  }
  int found = ft_names_mark(&c->rules->open, c->e, m->call_id);
  ft_slice id = ft_check_slice(c, m->call_id);
  if (found == 1)
    c->talk.open -= c->talk.open > 0;
  else if (found < 0)
    ft_check_found(c, FT_RULE_ANSWER_TWICE, m->call_id, NULL,
                   "the call \"%.*s\" was answered before", ft_check_clip(id), id.s);
  else if (!c->unsure) {
    ft_check_found(c, FT_RULE_UNKNOWN_CALL, m->call_id, NULL,
                   "no call just before has the id \"%.*s\"", ft_check_clip(id), id.s);
    c->talk.open = 0;
  }
}

/* An answer that comes later than behind its call answers nothing */
static void follow_calls(ft_check *c, const ft_message *m) {
  if (c->role == FT_ROLE_TOOL) {
    answer_call(c, m);
    return;
  }
  if (c->talk.open_at != 0) {
    close_calls(c);
    c->talk.open_at = 0;
    if (m->calls == 0)
      ft_names_clear(&c->rules->open);
  }
  if (m->calls != 0)
    open_calls(c, m->calls);
}

/* ---- turns ---- */

static int is_system(enum ft_role role) {
  return role == FT_ROLE_SYSTEM || role == FT_ROLE_DEVELOPER;
}

static void check_place(ft_check *c, const ft_message *m) {
  int begins = c->talk.count == c->talk.systems; /* nobody has spoken yet */
  if (is_system(c->role) && !begins)
    ft_check_found(c, FT_RULE_SYSTEM_PLACE, m->role, NULL, "a %s message stands before all others",
                   ft_role_names[c->role]);
  else if (!is_system(c->role) && begins)
    ft_check_found(c, FT_RULE_FIRST_MESSAGE, m->role, NULL,
                   "the conversation begins with the role %s; let a user begin",
                   ft_role_names[c->role]);
}

static void check_alternation(ft_check *c, const ft_message *m) {
  if (c->role == FT_ROLE_USER || c->role == FT_ROLE_ASSISTANT || c->role == FT_ROLE_SYSTEM)
    ft_check_found(c, FT_RULE_ALTERNATION, m->role, NULL,
                   "two %s messages in a row; join them, or put what is missing between them",
                   ft_role_names[c->role]);
}

/* Not where a weight is 0 as it is to be written: any other was told of */
static unsigned is_learned(const ft_check *c, size_t weight) {
  return weight == 0 || c->nodes[weight].n != 1 || c->e->s[c->nodes[weight].at] != '0';
}

static void count_turn(ft_check *c, const ft_message *m) {
  c->talk.count++;
  c->talk.last = c->role;
  c->talk.node = m->node;
  c->talk.last_calls = m->calls;
  if (c->role == FT_ROLE_USER)
    c->talk.users++;
  else if (c->role == FT_ROLE_ASSISTANT) {
    c->talk.assistants++;
    c->talk.learned += is_learned(c, m->weight);
  } else
    c->talk.systems += is_system(c->role) ? 1 : 0;
}

/* What a turn is seldom: not a user's, nor an answer to one; the same role again; calls */
FT_RARE static void check_turn(ft_check *c, const ft_message *m) {
  int spoken = c->role == FT_ROLE_ASSISTANT || c->role == FT_ROLE_USER;
  if (!c->unsure && !(c->role == FT_ROLE_USER || (spoken && c->talk.users > 0)))
    check_place(c, m);
  if (!c->unsure && c->role == c->talk.last)
    check_alternation(c, m);
  if ((c->talk.open_at | m->calls) != 0 || c->role == FT_ROLE_TOOL)
    follow_calls(c, m);
}

void ft_talk_turn(ft_check *c, const ft_message *m) {
  enum ft_role last = c->talk.last;
  int usual = (c->role == FT_ROLE_USER && last != FT_ROLE_USER) ||
              (c->role == FT_ROLE_ASSISTANT && last == FT_ROLE_USER) ||
              (c->role == FT_ROLE_SYSTEM && last == FT_ROLE_NONE);
  if (!usual || (c->talk.open_at | m->calls) != 0)
    check_turn(c, m);
  count_turn(c, m);
}

/* ---- the end ---- */

static void end_learn(ft_check *c, size_t messages) {
  if (c->talk.assistants == 0) {
    ft_check_found(c, FT_RULE_NO_ASSISTANT, messages, NULL,
                   "no assistant message; add the answer that the model shall learn");
    return;
  }
  if (c->talk.learned == 0)
    ft_check_found(c, FT_RULE_NO_WEIGHT, messages, NULL,
                   "every assistant message has weight 0; give one of them weight 1");
  if (c->talk.last != FT_ROLE_ASSISTANT)
    ft_check_found(c, FT_RULE_LAST_MESSAGE, c->talk.node, NULL,
                   "the last message is of the role %s; nothing is learned from it",
                   ft_role_names[c->talk.last]);
  else if (c->talk.last_calls != 0)
    ft_check_found(c, FT_RULE_LAST_CALL, c->talk.last_calls, NULL,
                   "the last message calls a tool; this service wants an answer there");
}

static void end_input(ft_check *c) {
  if (c->talk.last == FT_ROLE_ASSISTANT)
    ft_check_found(c, FT_RULE_INPUT_LAST, c->talk.node, NULL,
                   "the input ends with an assistant message; the outputs are what comes next");
}

static void end_reinforce(ft_check *c) {
  if (c->talk.last != FT_ROLE_USER)
    ft_check_found(c, FT_RULE_LAST_USER, c->talk.node, NULL,
                   "the last message must be a user's, not of the role %s",
                   ft_role_names[c->talk.last]);
}

void ft_talk_end(ft_check *c, size_t messages, enum ft_talk kind) {
  size_t most = c->rules->limits.messages;
  if (c->talk.count == 0 || c->unsure) /* the fault was told: do not tell its consequences */
    return;
  if (c->talk.last == FT_ROLE_TOOL)
    close_calls(c);
  if (most > 0 && c->talk.count > most)
    ft_check_found(c, FT_RULE_TOO_MANY_MESSAGES, messages, NULL,
                   "%zu messages, and the service takes %zu", c->talk.count, most);
  if (c->talk.users == 0)
    ft_check_found(c, FT_RULE_NO_USER, messages, NULL, "no user message");
  if (c->talk.systems == 0)
    ft_check_found(c, FT_RULE_NO_SYSTEM, messages, NULL, "no system message");
  if (kind == FT_TALK_LEARN)
    end_learn(c, messages);
  else if (kind == FT_TALK_INPUT)
    end_input(c);
  else
    end_reinforce(c);
}
