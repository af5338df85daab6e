#include "jobs/score/result_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <ranges>

namespace switchyard {
namespace {

template <class T>
void put(std::vector<std::byte>& out, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
std::string text(const void* value) {
  return fmt::to_string(*static_cast<const T*>(value));
}

/// Value: a lambda of a ScoredRecord that gives a T or, unless the extent is scalar, a range of T.
template <class T, class Value>
constexpr ResultColumn column(std::string_view name, Extent extent, int64_t (*width)(const ResultOptions&), Value) {
  const auto append = [](const ScoredRecord& record, std::vector<std::byte>& out) {
    const auto value = Value()(record);
    if constexpr (std::ranges::range<decltype(value)>) {
      put(out, std::span<const T>(value));
    } else {
      const T one{value};
      put(out, std::span(&one, 1));
    }
  };
  return {name, DTypeOf<T>::value, extent, width, append, text<T>};
}

int64_t always(const ResultOptions&) {
  return 1;
}

int64_t per_token(const ResultOptions& options) {
  return options.per_token ? 1 : 0;
}

int64_t embedding_dim(const ResultOptions& options) {
  return options.embedding_dim;
}

constexpr ResultColumn kColumns[] = {
    column<int64_t>("record", Extent::scalar, always, [](const ScoredRecord& r) { return r.record; }),
    column<double>("logprob", Extent::scalar, always,
                   [](const ScoredRecord& r) { return std::accumulate(r.logprob.begin(), r.logprob.end(), 0.0); }),
    column<int32_t>("tokens", Extent::scalar, always,
                    [](const ScoredRecord& r) { return static_cast<int32_t>(r.logprob.size()); }),
    column<uint8_t>("greedy", Extent::scalar, always,
                    [](const ScoredRecord& r) { return std::ranges::equal(r.argmax, r.target); }),
    column<float>("token_logprob", Extent::scored_tokens, per_token, [](const ScoredRecord& r) { return r.logprob; }),
    column<float>("embedding", Extent::vector, embedding_dim, [](const ScoredRecord& r) { return r.pooled; }),
};

}  // namespace

std::string ResultColumn::values_dataset() const {
  return std::string(name) + (extent == Extent::scored_tokens ? "/values" : "");
}

std::string ResultColumn::offsets_dataset() const {
  return std::string(name) + "/offsets";
}

std::span<const ResultColumn> result_columns() {
  return kColumns;
}

}  // namespace switchyard
