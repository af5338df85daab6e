// Documents from two NumPy arrays: token ids, and where each record begins.
#pragma once

#include <string>
#include <vector>

#include "import/document_source.h"
#include "io/npy.h"

namespace switchyard {

/// Record i is values[offsets[i] … offsets[i+1]); its id is i. Records that are empty or hold an id out of range are
/// rejects; offsets that do not start at 0, decrease or do not end at the number of values fail (input).
class NpySource : public DocumentSource {
 public:
  NpySource(const std::string& values, const std::string& offsets);
  bool next(std::vector<RawDocument>& documents) override;
  Document encode(RawDocument raw) const override;
  std::optional<SourceIdentity> identity() const override { return std::nullopt; }

 private:
  int64_t next_offset();
  void begin_record();
  std::string first_bad_token();
  RawDocument next_part();
  NpyArray values_, offsets_;
  int64_t next_record_ = 0;
  int64_t begin_ = 0, position_ = 0, end_ = 0;  ///< of the document, in values_
  std::vector<int64_t> offset_block_, value_block_;
  int64_t offset_block_first_ = 0;
};

}  // namespace switchyard
