// Data of the Unicode Character Database, as make_unicode_tables.py writes it; unicode.h and nfc.h have the questions
// to ask.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard::unicode {

/// first code point << 5 | Category, ascending; each holds up to the next one's first.
extern const uint32_t kCategoryRuns[];
extern const size_t kCategoryRunsSize;

/// first code point << 8 | canonical combining class, ascending; each holds up to the next one's first.
extern const uint32_t kCombiningRuns[];
extern const size_t kCombiningRunsSize;

/// composes << 63 | code point << 42 | first << 21 | second, ascending; second 0: a single one. Without Hangul.
/// "composes": NFC makes the code point of these two.
extern const uint64_t kDecompositions[];
extern const size_t kDecompositionsSize;

}  // namespace switchyard::unicode
