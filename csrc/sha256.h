/*
** sha256.h: SHA-256 (FIPS 180-4) over bytes as they come. No Lua, no allocation.
*/
#ifndef FT_SHA256_H
#define FT_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct ft_sha256 {
  uint32_t h[8];
  uint64_t n; /* bytes so far */
  unsigned char rest[64];
  int fast; /* this processor has instructions for it */
} ft_sha256;

void ft_sha256_begin(ft_sha256 *s);
void ft_sha256_add(ft_sha256 *s, const void *bytes, size_t n);
void ft_sha256_end(ft_sha256 *s, char hex[65]); /* lower case, with '\0' */

#endif
