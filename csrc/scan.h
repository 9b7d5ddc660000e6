/*
** scan.h: JSON as bytes. ft_scan() checks one text strictly (RFC 8259, UTF-8)
** in one pass; the walker then visits the parts of a checked text as slices of
** it. Nothing here allocates, converts or recurses, and nothing reads past the
** end it was given. No Lua.
*/
#ifndef FT_SCAN_H
#define FT_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum { FT_SCAN_DEPTH = 1024 }; /* no caller may ask for more levels than this */

/* Checks that [s, s + n) is one JSON value with at most `depth` levels of arrays
   and objects. -1, or the offset of the first fault and a static sentence. */
ptrdiff_t ft_scan(const char *s, size_t n, int depth, const char **why);

/* One value or key of a text. They come in the text's order; an object holds keys and values
   in turn, an array its items, and both are followed by what they hold. So the first child of
   node i is i + 1, and nodes[i].next is its next sibling, or the end of its parent. */
typedef struct ft_node {
  uint32_t at, n; /* its bytes: of a string without its quotes, of a container with its brackets */
  uint32_t next;  /* index of the node behind it and all that it holds */
  uint8_t type;   /* { [ " 0 t f n, as ft_json_type() */
  uint8_t flags;
  uint16_t extra; /* of a string: its bytes that are no characters of their own, so it has
                     n - extra; FT_NODE_MANY: so many, or more */
} ft_node;

enum {
  FT_NODE_KEY = 1,
  FT_NODE_ESCAPED = 2, /* a string with a backslash */
  FT_NODE_VARIED = 4,  /* and with one of the escapes that need not be written so: \u...., \/ */
  FT_NODE_BAR = 8      /* and with \u007c: a | that does not look like one */
};
enum { FT_NODE_MANY = UINT16_MAX };

/* ft_scan() that writes down the parts as well. *count: the nodes of the text, also where
   there is room for fewer: then only the first `room` were written, and whoever wants all
   calls again. What was noted of a text with a fault is not to be used.
   n is below 4 GiB where nodes are asked for. */
ptrdiff_t ft_scan_nodes(const char *s, size_t n, int depth, ft_node *nodes, size_t room,
                        size_t *count, const char **why);

/* The same of a text that was put together out of strings of accepted texts, with these in it, in
   its order: they are not gone through again. Of each: `at` and n as in this text, flags and extra
   as they were. */
ptrdiff_t ft_scan_made(const char *s, size_t n, int depth, const ft_node *strings, size_t known,
                       ft_node *nodes, size_t room, size_t *count, const char **why);

/* Characters (code points) of a string of the accepted text s. ft_scan_count() is for those of
   FT_NODE_MANY, which are counted anew. */
size_t ft_scan_count(const char *s, const ft_node *string);
static inline size_t ft_scan_characters(const char *s, const ft_node *string) {
  return string->extra < FT_NODE_MANY ? string->n - (size_t)string->extra
                                      : ft_scan_count(s, string);
}

/* Is a key twice in the object nodes[i] of the accepted text s? The node of the first key that
   repeats an earlier one ("\u0061" repeats "a"); 0: there is none. An object of more than
   FT_SCAN_FEW keys is sorted in `index`: with less room there than ft_scan_keys(), the answer
   is FT_SCAN_ROOM, and nothing is known. O(n log n) at worst, and no memory but that. */
enum { FT_SCAN_FEW = 24 };
#define FT_SCAN_ROOM SIZE_MAX
size_t ft_scan_duplicate(const char *s, const ft_node *nodes, size_t i, uint32_t *index,
                         size_t room);
size_t ft_scan_keys(const ft_node *nodes, size_t i); /* keys of the object nodes[i] */

/* The scanner is there in variants that differ in speed alone; the best that the processor
   has is chosen at the first use. This chooses another for the whole process, to test or to
   measure it (no other thread scans meanwhile). 0: the machine has no such variant. */
enum { FT_SCAN_BEST = -1, FT_SCAN_PORTABLE, FT_SCAN_SSE2, FT_SCAN_AVX2 };
int ft_scan_use(int variant);

/* Two of the sentences, for callers that treat these faults apart */
extern const char ft_scan_utf8[];
extern const char ft_scan_deep[];

typedef struct ft_slice {
  const char *s;
  size_t n;
} ft_slice;

/* The walker: a place in a text that ft_scan() has accepted, always at the
   beginning of a value, or behind one. Visit an object so:
     ft_json_enter(&j);
     while (ft_json_member(&j, &key))
       value = ft_json_skip(&j);     -- or enter it and walk it to its end
   and an array with ft_json_item() in place of ft_json_member(). */
typedef struct ft_json {
  const char *p, *end;
} ft_json;

ft_json ft_json_begin(const char *s, size_t n);
int ft_json_type(const ft_json *j);            /* one of { [ " 0 t f n ; 0 at the end */
void ft_json_enter(ft_json *j);                /* into the object or array that begins here */
int ft_json_member(ft_json *j, ft_slice *key); /* 1: at the value of `key`; 0: behind the object */
int ft_json_item(ft_json *j);                  /* 1: at the next item; 0: behind the array */
ft_slice ft_json_skip(ft_json *j);             /* the value that begins here, as it is written */

/* Strings, as slices between their quotes (keys come so): compared as what they
   mean, since "\u0061" is "a". */
ft_slice ft_json_string(ft_json *j); /* as ft_json_skip, of a string, without its quotes */
size_t ft_json_unescape(ft_slice a, char *out); /* to `out`, of at least a.n bytes; the length */
int ft_json_is(ft_slice a, const char *b);      /* is it this ASCII word? */
int ft_json_compare(ft_slice a, ft_slice b);    /* <0, 0, >0: by code points */

#endif
