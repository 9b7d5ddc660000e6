#!/usr/bin/env python3
"""Writes csrc/unicode_table.c: the class of every code point, for csrc/unicode.c.

  pip install unicodedata2==16.0.0      (the Unicode Character Database as a module)
  python3 spec/support/tokens/unicode.py >csrc/unicode_table.c

Version 16.0 is that of the regex engine in npm tiktoken 1.0.22 (regex-syntax 0.8.5).
"""
import unicodedata2 as database

BLOCK = 64
END = 0x20000  # what lies above is told in a few lines of unicode.h
SPACE = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}
CLASSES = {"Lu": 1, "Lt": 1, "Ll": 2, "Lm": 3, "Lo": 3, "M": 4, "N": 5}


def class_of(code):
    char = chr(code)
    if char in "\r\n":
        return 7
    if char in SPACE:  # the property White_Space
        return 6
    category = database.category(char)
    return CLASSES.get(category, CLASSES.get(category[0], 0))


def above(code):
    """The rule of unicode.h for code points from END on."""
    if 0xE0100 <= code <= 0xE01EF:
        return 4
    return 3 if any(first <= code <= last for first, last in RANGES) else 0


def ranges():
    found, code = [], END
    while code < 0x110000:
        if class_of(code) == 3:
            first = code
            while class_of(code) == 3:
                code += 1
            found.append((first, code - 1))
        code += 1
    return found


def rows(items, width):
    line = ""
    for item in items:
        if len(line) + len(item) > width:
            yield line.rstrip()
            line = ""
        line += item
    yield line.rstrip()


RANGES = ranges()
assert all(class_of(code) == above(code) for code in range(END, 0x110000))

blocks, index = {}, []
for start in range(0, END, BLOCK):
    block = "".join(str(class_of(code)) for code in range(start, start + BLOCK))
    index.append(blocks.setdefault(block, len(blocks)))

print("/* Made by spec/support/tokens/unicode.py from Unicode %s. Do not edit. */" % database.unidata_version)
print('#include "unicode.h"\n')
print("// clang-format off")
print("const uint16_t ft_unicode_index[%d] = {" % len(index))
for line in rows(["%d, " % i for i in index], 98):
    print("  " + line)
print("};\n")
print("/* digits, each the class of a code point */")
print("const char ft_unicode_blocks[%d][%d] = {" % (len(blocks), BLOCK + 1))
for block in blocks:
    print('  {"%s"},' % block)
print("};\n")
print("const uint32_t ft_unicode_letters[][2] = {")
print("  " + ", ".join("{0x%X, 0x%X}" % pair for pair in RANGES) + ",\n  {0, 0}\n};")
