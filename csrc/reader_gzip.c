/*
** reader_gzip.c: gzip (RFC 1952), unpacked a block at a time whatever it unpacks to; of several
** members all. zlib checks the sums; its memory is ours.
*/
#include "reader_parts.h"

#include <string.h>
#include <zlib.h>

typedef union Block { /* lua_Alloc must be told the size of what it gets back */
  size_t size;
  long double align;
} Block;

static void *zip_alloc(void *ud, uInt items, uInt size) {
  ft_reader *r = ud;
  size_t n = sizeof(Block) + (size_t)items * size;
  Block *b = r->alloc(r->ud, NULL, 0, n);
  if (b == NULL)
    return NULL;
  b->size = n;
  return b + 1;
}

static void zip_free(void *ud, void *p) {
  ft_reader *r = ud;
  Block *b = (Block *)p - 1;
  r->alloc(r->ud, b, b->size, 0);
}

enum { GZIP_ONLY = 16 }; /* added to the bits of the window: see inflateInit2() */

int ft_reader_zip_begin(ft_reader *r) {
  z_stream *z = r->alloc(r->ud, NULL, 0, sizeof *z);
  if (z == NULL)
    return ft_reader_no_memory(r), 0;
  memset(z, 0, sizeof *z);
  z->zalloc = zip_alloc;
  z->zfree = zip_free;
  z->opaque = r;
  if (inflateInit2(z, MAX_WBITS + GZIP_ONLY) != Z_OK) {
    r->alloc(r->ud, z, sizeof *z, 0);
    return ft_reader_no_memory(r), 0;
  }
  ft_buf empty = r->packed;
  r->packed = r->in;
  r->in = empty;
  r->zip = z;
  r->gzip = r->member = 1;
  r->taken = r->seen = r->unpacked = 0;
  return 1;
}

void ft_reader_zip_end(ft_reader *r) {
  z_stream *z = r->zip;
  r->zip = NULL;
  if (z == NULL)
    return;
  inflateEnd(z);
  r->alloc(r->ud, z, sizeof *z, 0);
}

static long long place(const ft_reader *r) { /* in the file, of what is unpacked next */
  return r->position - (long long)(r->packed.len - r->unpacked);
}

/* Between members: zeros fill up the blocks of tapes; anything else must be a member. 1: it is one
 */
static int next_member(ft_reader *r) {
  while (r->unpacked < r->packed.len && r->packed.data[r->unpacked] == 0)
    r->unpacked++;
  if (r->unpacked == r->packed.len)
    return 0;
  if (r->packed.data[r->unpacked] != 0x1F) {
    ft_reader_fail(r, "behind the end of the gzip data, at byte %lld, is something else", place(r));
    return 0;
  }
  inflateReset(r->zip);
  return r->member = 1;
}

static enum ft_reading fail(ft_reader *r, int error) {
  const char *why = r->zip->msg != NULL ? r->zip->msg : "unknown";
  if (error == Z_MEM_ERROR)
    return ft_reader_no_memory(r);
  return ft_reader_fail(r, "the gzip data is corrupt near byte %lld: %s", place(r), why);
}

static enum ft_reading unpack(ft_reader *r) {
  z_stream *z = r->zip;
  size_t block = r->options.block;
  if (!ft_buf_reserve(&r->in, block))
    return ft_reader_no_memory(r);
  z->next_in = (Bytef *)r->packed.data + r->unpacked;
  z->avail_in = (uInt)(r->packed.len - r->unpacked);
  z->next_out = (Bytef *)r->in.data + r->in.len;
  z->avail_out = (uInt)block;
  int e = inflate(z, Z_NO_FLUSH);
  size_t made = block - z->avail_out;
  r->in.len += made;
  r->unpacked = r->packed.len - z->avail_in;
  r->pending = z->avail_out == 0 && e == Z_OK;
  if (e == Z_STREAM_END)
    r->member = 0;
  else if (e != Z_OK && e != Z_BUF_ERROR) { /* that one: it needs more bytes */
    if (made == 0)
      return fail(r, e);
    r->pending = 1; /* what came out first; then it will fail again */
  }
  return FT_READ_MORE;
}

static enum ft_reading read_packed(ft_reader *r) {
  ft_buf_clear(&r->packed);
  r->unpacked = 0;
  enum ft_reading got = ft_reader_read(r, &r->packed);
  if (got == FT_READ_END && r->member)
    return ft_reader_fail(r, "the gzip data is cut off: it ends at byte %lld, inside a member",
                          r->position);
  return got;
}

enum ft_reading ft_reader_unzip(ft_reader *r) {
  if (r->unpacked == r->packed.len && !r->pending) {
    enum ft_reading got = read_packed(r);
    if (got != FT_READ_MORE)
      return got;
  }
  if (!r->member && !next_member(r))
    return r->kind != NULL ? FT_READ_FAULT : FT_READ_MORE;
  return unpack(r);
}
