/*
** tokens.h: how many tokens a text is, exactly as OpenAI's tiktoken has it.
**
** Text is first cut into pieces (tokens_split.c), by the rules of an encoding; a piece that is a
** token counts one. In any other its bytes are merged (tokens_merge.c): of all neighbours that
** together are a token, those of least rank first, of equals the leftmost. Tokens that tiktoken
** calls special, as "<|endoftext|>", are ordinary text here, since in training data they are.
** No Lua; nothing here allocates, and no input takes more than a constant time a byte.
*/
#ifndef FT_TOKENS_H
#define FT_TOKENS_H

#include "rules.h"
#include "vocab.h"

/* The tokens of a text in UTF-8. What is not UTF-8 is counted byte by byte: whoever wants it
   refused, or replaced as tiktoken does, does that before. */
size_t ft_tokens_count(const ft_vocab *v, const char *s, size_t n);

/* Without a vocabulary, about how many: from the pieces and their lengths, as o200k_base has them
   on average. For the examples of examples/data it is 5 % too high (spec/tokens_spec.lua), for
   20 MB of documentation and source 3 % too low; for scripts other than Latin it may be a third
   off. */
size_t ft_tokens_estimate(const char *s, size_t n);

/* What an example comes to, of any format, told by its members. v NULL: estimated. *trained: of
   those, what is learned from: what assistants say, where its weight is not 0; completions,
   outputs, both answers of a preference, text. `space` is for what must be unescaped, and grows
   to the longest string. 0: no memory for that.

   As OpenAI's cookbook has it (How_to_count_tokens_with_tiktoken.ipynb, and for fine-tuning
   Chat_finetuning_data_prep.ipynb): 3 for each message, its role, content and name, 1 more for a
   name, 3 at the end for the reply; for tools, 7 (with cl100k_base: 10) for each function, its
   "name:description", 3 if it has properties, for each of those 3 and "name:type:description",
   for an enum -3 and for each of its items 3 and the item, and 12 at the end.
   Approximated, for OpenAI documents nothing: tool_calls and function_call count their names and
   arguments and 3 for each call; properties of properties count as their JSON text; ids, images
   and audio count nothing (an image costs by its size, which the text does not tell). */
int ft_tokens_example(const ft_vocab *v, const ft_example *e, ft_buf *space, size_t *total,
                      size_t *trained);

/* A message of it, by its node; of node 0: the rest, without messages. -1: no memory */
int64_t ft_tokens_message(const ft_vocab *v, const ft_example *e, size_t node, ft_buf *space);

/* Both as an ft_counter and an ft_weigh of the dataset engine, on an ft_tokens */
typedef struct ft_tokens {
  const ft_vocab *v; /* NULL: estimated */
  ft_buf space;
} ft_tokens;

void ft_tokens_init(ft_tokens *t, const ft_vocab *v, lua_Alloc alloc, void *ud);
void ft_tokens_free(ft_tokens *t);
int ft_tokens_counter(void *tokens, const ft_example *e, enum ft_format format, size_t *all,
                      size_t *learned);
int64_t ft_tokens_weigh(void *tokens, const ft_example *e, size_t node);

/* ---- within ---- */

/* The end of the piece that begins at p < end */
const unsigned char *ft_split_o200k(const unsigned char *p, const unsigned char *end);
const unsigned char *ft_split_cl100k(const unsigned char *p, const unsigned char *end);

/* The tokens of a piece that is none itself. Up to `end` it may be read. */
size_t ft_merge_count(const ft_vocab *v, const unsigned char *s, size_t n,
                      const unsigned char *end);

/* The same, of at most 4 bytes */
size_t ft_few_count(const ft_vocab *v, const unsigned char *s, size_t n, const unsigned char *end);

/* The same, of at most FT_SMALL bytes; where the tokens end, in order -> how many. *dense: the text
   before has few characters; has this? */
enum { FT_SMALL = 128 };
size_t ft_small_count(const ft_vocab *v, const unsigned char *s, size_t n,
                      const unsigned char *end);
size_t ft_small_ends(const ft_vocab *v, const unsigned char *s, size_t n, const unsigned char *end,
                     uint16_t *ends, int *dense);

/* The same with v->halves, faster where tokens are long */
size_t ft_greedy_count(const ft_vocab *v, const unsigned char *s, size_t n,
                       const unsigned char *end);

/* The two tokens that a token is merged of, last of all: ranks, and bytes of the left one */
static inline uint64_t ft_halves(uint32_t left, uint32_t right, uint32_t bytes) {
  return (uint64_t)bytes << 42 | (uint64_t)right << 21 | left;
}

static inline uint32_t ft_half_left(uint64_t halves) {
  return (uint32_t)(halves & ((1 << 21) - 1));
}

static inline uint32_t ft_half_right(uint64_t halves) {
  return (uint32_t)(halves >> 21 & ((1 << 21) - 1));
}

static inline uint32_t ft_half_bytes(uint64_t halves) {
  return (uint32_t)(halves >> 42);
}

/* Those of [s, s + n), a token of at least two bytes; 0: it is merged of no two */
uint64_t ft_merge_halves(const ft_vocab *v, const unsigned char *s, size_t n);

#endif
