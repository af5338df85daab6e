// Documents from two NumPy arrays: token ids, and where each record begins.
#pragma once

#include <filesystem>
#include <vector>

#include "io/document_source.h"
#include "io/npy.h"

namespace switchyard {

/// Record i is values[offsets[i] … offsets[i+1]); its id is i. Records that are empty or hold an id out of range are
/// rejects; offsets that do not start at 0, decrease or do not end at the number of values fail (input).
class NpySource : public DocumentSource {
 public:
  NpySource(const std::filesystem::path& values, const std::filesystem::path& offsets);
  bool next(Document& document) override;
  size_t read(std::span<int32_t> out) override;
  bool encoded_text() const override { return false; }

 private:
  int64_t next_offset();
  std::string first_bad_token();
  NpyArray values_, offsets_;
  int64_t next_record_ = 0;
  int64_t position_ = 0, end_ = 0;  ///< of the document, in values_
  std::vector<int64_t> offset_block_, value_block_;
  int64_t offset_block_first_ = 0;
};

}  // namespace switchyard
