// Normalization form C of Unicode 9.0: what Hugging Face's NFC does, whose regular expressions are of Unicode 16.0 all
// the same. Characters that came later stay as they are: today's NFC composes 21 pairs more and reorders more marks.
#pragma once

#include <string>
#include <string_view>

namespace switchyard::unicode {

/// `text` (UTF-8) itself where it is in form C, otherwise `buffer`, which then holds the form.
std::string_view to_nfc(std::string_view text, std::string& buffer);

}  // namespace switchyard::unicode
