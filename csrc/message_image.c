/*
** message_image.c: the rules for images: where they are, how many, how large, of which type.
*/
#include "message.h"
#include "rules.h"

#include <string.h>
#include <strings.h>

static int begins(ft_slice s, const char *word, size_t n) {
  return s.n >= n && strncasecmp(s.s, word, n) == 0;
}

/* ---- data:image/png;base64,... ---- */

static int base64_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

static void check_base64(ft_check *c, size_t node, ft_slice data) {
  size_t n = data.n, most = c->rules->limits.image_bytes;
  while (n > 0 && data.n - n < 2 && data.s[n - 1] == '=')
    n--;
  size_t i = 0;
  while (i < n && base64_letter(data.s[i]))
    i++;
  if (n == 0)
    ft_check_found(c, FT_RULE_IMAGE_DATA, node, NULL, "there is no data behind base64,");
  else if (i < n)
    ft_check_found(c, FT_RULE_IMAGE_DATA, node, NULL, "byte %zu of the data is no base64", i + 1);
  else if (data.n % 4 != 0)
    ft_check_found(c, FT_RULE_IMAGE_DATA, node, NULL,
                   "the base64 is not whole: it has %zu characters, no multiple of 4", data.n);
  else if (most > 0 && n / 4 * 3 + n % 4 * 3 / 4 > most)
    ft_check_found(c, FT_RULE_IMAGE_SIZE, node, NULL,
                   "the image has %zu bytes, and the service takes %zu", n / 4 * 3 + n % 4 * 3 / 4,
                   most);
}

static int is_type(ft_slice type) {
  return (type.n == 9 && begins(type, "image/png", 9)) ||
         (type.n == 10 && (begins(type, "image/jpeg", 10) || begins(type, "image/webp", 10)));
}

static void check_data_url(ft_check *c, size_t node, ft_slice url) {
  static const char base64[] = ";base64";
  const size_t tail = sizeof base64 - 1;
  const char *comma = memchr(url.s, ',', url.n);
  size_t head = comma != NULL ? (size_t)(comma - url.s) : 0;
  if (head < 5 + tail || strncasecmp(comma - tail, base64, tail) != 0) {
    ft_check_found(c, FT_RULE_IMAGE_URL, node, NULL,
                   "a data URL is written data:image/png;base64,...");
    return;
  }
  ft_slice type = {url.s + 5, head - 5 - tail};
  ft_slice data = {comma + 1, url.n - head - 1};
  if (!is_type(type))
    ft_check_found(c, FT_RULE_IMAGE_TYPE, node, NULL,
                   "the media type is \"%.*s\"; use image/jpeg, image/png or image/webp",
                   ft_check_clip(type), type.s);
  check_base64(c, node, data);
}

static void check_url(ft_check *c, size_t node) {
  ft_check_name(c, node);
  if (c->nodes[node].type != '"' || c->nodes[node].n == 0)
    return;
  ft_slice url = ft_check_plain(c, node);
  if (url.s == NULL)
    return;
  if (begins(url, "data:", 5))
    check_data_url(c, node, url);
  else if (begins(url, "https://", 8) || begins(url, "http://", 7))
    ft_check_found(c, FT_RULE_IMAGE_LINK, node, NULL,
                   "this service fetches no images; put the image itself here, as a data URL");
  else
    ft_check_found(c, FT_RULE_IMAGE_URL, node, NULL,
                   "must begin with https:// or with data:image/");
}

void ft_check_image_url(ft_check *c, size_t node) {
  static const ft_field fields[] = {FT_FIELD("url", check_url, 1),
                                    FT_FIELD("detail", ft_check_string, 0), FT_FIELD_END};
  uint32_t at[FT_FIELDS_MAX];
  size_t most = c->rules->limits.images;
  c->image = c->image != 0 ? c->image : node;
  if (++c->images == most + 1 && most > 0)
    ft_check_found(c, FT_RULE_TOO_MANY_IMAGES, node, NULL, "more than %zu images in an example",
                   most);
  ft_check_object(c, node, fields, FT_RULE_UNKNOWN_KEY, at);
}
