#!/usr/bin/env python3
"""Writes the Unicode tables of this folder (needs: pip install unicodedata2==16.0.0).

unicode_categories.cc: general categories of Unicode 16.0, as the regular expressions of Hugging Face's tokenizers have them.
unicode_normalization.cc: canonical decompositions and combining classes of Unicode 9.0, as its NFC has them. What a
character once has of these never changes, so these are those of 16.0 without the characters that came after 9.0.

    src/tokens/make_unicode_tables.py
"""
import pathlib

import unicodedata2 as unicode

assert unicode.unidata_version == "16.0.0", unicode.unidata_version
HERE = pathlib.Path(__file__).parent
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn").split()
CODE_POINTS = range(0x110000)

# Characters with a canonical decomposition or a combining class that came after Unicode 9.0 (DerivedAge.txt).
AFTER_9_0 = [
    (0x7FD, 0x7FD), (0x897, 0x89F), (0x8CA, 0x8D3), (0x9FE, 0x9FE), (0xC3C, 0xC3C), (0xD3B, 0xD3C), (0xEBA, 0xEBA),
    (0x1715, 0x1715), (0x1ABF, 0x1ACE), (0x1DF6, 0x1DFA), (0xA82C, 0xA82C), (0x105C9, 0x105C9), (0x105E4, 0x105E4),
    (0x10D24, 0x10D27), (0x10D69, 0x10D6D), (0x10EAB, 0x10EAC), (0x10EFD, 0x10EFF), (0x10F46, 0x10F50),
    (0x10F82, 0x10F85), (0x11070, 0x11070), (0x1133B, 0x1133B), (0x11383, 0x11383), (0x11385, 0x11385),
    (0x1138E, 0x1138E), (0x11391, 0x11391), (0x113C5, 0x113C5), (0x113C7, 0x113C8), (0x113CE, 0x113D0),
    (0x1145E, 0x1145E), (0x11839, 0x1183A), (0x11938, 0x11938), (0x1193D, 0x1193E), (0x11943, 0x11943),
    (0x119E0, 0x119E0), (0x11A34, 0x11A34), (0x11A47, 0x11A47), (0x11A99, 0x11A99), (0x11D42, 0x11D42),
    (0x11D44, 0x11D45), (0x11D97, 0x11D97), (0x11F41, 0x11F42), (0x16121, 0x16128), (0x1612F, 0x1612F),
    (0x16D68, 0x16D6A), (0x16FF0, 0x16FF1), (0x1E08F, 0x1E08F), (0x1E130, 0x1E136), (0x1E2AE, 0x1E2AE),
    (0x1E2EC, 0x1E2EF), (0x1E4EC, 0x1E4EF), (0x1E5EE, 0x1E5EF),
]
NEW = {c for first, last in AFTER_9_0 for c in range(first, last + 1)}


def runs(value_of):
    """[(first code point, value)]: each value holds up to the next entry's first."""
    out = []
    for c in CODE_POINTS:
        value = value_of(c)
        if not out or out[-1][1] != value:
            out.append((c, value))
    return out


def array(kind, name, numbers, columns=120):
    lines, line = [], " "
    for number in numbers:
        text = f" {number:#x},"
        if len(line) + len(text) > columns:
            lines.append(line)
            line = " "
        line += text
    return f"const {kind} {name}[] = {{\n" + "\n".join(lines + [line]) + f"\n}};\nconst size_t {name}Size = std::size({name});\n"


def write(name, version, *arrays):
    head = (f"// Written by make_unicode_tables.py; Unicode {version}.\n#include <iterator>\n\n"
            '#include "tokens/unicode_tables.h"\n\n// clang-format off\nnamespace switchyard::unicode {\n\n')
    (HERE / name).write_text(head + "\n".join(arrays) + "\n}  // namespace switchyard::unicode\n")


def decompositions():
    for c in CODE_POINTS:
        parts = unicode.decomposition(chr(c))
        if not parts or parts.startswith("<") or c in NEW:
            continue
        first, second = ([int(p, 16) for p in parts.split()] + [0])[:2]
        composes = second != 0 and unicode.normalize("NFC", chr(first) + chr(second)) == chr(c)
        yield composes << 63 | c << 42 | first << 21 | second


category = runs(lambda c: CATEGORIES.index(unicode.category(chr(c))))
combining = runs(lambda c: 0 if c in NEW else unicode.combining(chr(c)))
write("unicode_categories.cc", "16.0", array("uint32_t", "kCategoryRuns", [c << 5 | v for c, v in category]))
write("unicode_normalization.cc", "9.0", array("uint32_t", "kCombiningRuns", [c << 8 | v for c, v in combining]),
      array("uint64_t", "kDecompositions", decompositions()))
