#include "io/input.h"

namespace switchyard {
namespace {

constexpr size_t kFlushTokens = size_t{1} << 20;
constexpr size_t kFlushRecords = size_t{1} << 14;

/// Appends what is pending and empties it.
template <class T>
void drain(h5::Writer::Stream& stream, std::vector<T>& pending) {
  stream.append(view_of(pending));
  pending.clear();
}

void drain(h5::Writer::Stream& stream, std::vector<std::string>& pending) {
  stream.append_strings(pending);
  pending.clear();
}

}  // namespace

ScoringInputWriter::ScoringInputWriter(const std::filesystem::path& path, const InputExtras& extras)
    : temporary_(path), writer_(temporary_.path()), extras_(extras), pending_offsets_{0}, pending_documents_{0} {
  values_ = writer_.create("tokens/values", DType::i32);
  offsets_ = writer_.create("tokens/offsets", DType::i64, 0, 0, true);
  contexts_ = writer_.create("context", DType::i32);
  ids_ = writer_.create_strings("id");
  if (extras_.labels) labels_ = writer_.create_strings("label");
  if (extras_.documents) documents_ = writer_.create("documents/offsets", DType::i64, 0, 0, true);
}

void ScoringInputWriter::add(std::span<const int32_t> tokens, int32_t context, const std::string& id,
                             const std::string& label) {
  num_tokens_ += static_cast<int64_t>(tokens.size());
  ++num_records_;
  pending_tokens_.insert(pending_tokens_.end(), tokens.begin(), tokens.end());
  pending_offsets_.push_back(num_tokens_);
  pending_contexts_.push_back(context);
  pending_ids_.push_back(id);
  if (extras_.labels) pending_labels_.push_back(label);
  if (pending_tokens_.size() >= kFlushTokens || pending_ids_.size() >= kFlushRecords) flush();
}

void ScoringInputWriter::end_document() {
  SWITCHYARD_CHECK(extras_.documents && num_records_ > document_begin_, "a document of {} records ends",
                   num_records_ - document_begin_);
  document_begin_ = num_records_;
  pending_documents_.push_back(num_records_);
}

void ScoringInputWriter::flush() {
  drain(values_, pending_tokens_);
  drain(offsets_, pending_offsets_);
  drain(contexts_, pending_contexts_);
  drain(ids_, pending_ids_);
  if (extras_.labels) drain(labels_, pending_labels_);
  if (extras_.documents) drain(documents_, pending_documents_);
}

void ScoringInputWriter::finish(const std::optional<TokenizerIdentity>& tokenizer, const std::string& origin) {
  SWITCHYARD_CHECK(!extras_.documents || document_begin_ == num_records_, "{} records belong to no document",
                   num_records_ - document_begin_);
  flush();
  if (tokenizer) {
    writer_.attribute(TokenizerIdentity::kKind, tokenizer->kind);
    writer_.attribute(TokenizerIdentity::kHash, tokenizer->hash);
  }
  if (!origin.empty())  // no attribute: these are limited to 64 KiB
    writer_.write(ScoringInput::kOrigin, {origin.data(), {std::ssize(origin)}, DType::u8, Device::cpu});
  for (auto* stream : {&values_, &offsets_, &contexts_, &ids_, &labels_, &documents_})
    *stream = {};  // datasets end before their file
  writer_.close();
  temporary_.publish();
}

}  // namespace switchyard
