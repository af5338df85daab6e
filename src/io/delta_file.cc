#include "io/delta_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/hash.h"
#include "base/number.h"

namespace switchyard {
namespace {

constexpr std::string_view kIndex = ":index", kBitmap = ":bitmap", kMaster = ":master";
constexpr std::string_view kSuffixes[] = {"", kIndex, kBitmap, kMaster, ":master:index", ":master:bitmap"};

using Tensors = std::map<std::string, TensorInfo, std::less<>>;

/// What of the tensor's name is the model's: all before the first colon, which no model's tensor has.
std::string_view model_name(std::string_view name) {
  return name.substr(0, name.find(':'));
}

/// Values and what says whose they are; null where there are neither. Fails (input) on one without the other.
std::unique_ptr<const SparseValues> values_in(const InputFile& file, const std::string& name, const Tensors& all,
                                              std::initializer_list<std::string_view> dtypes) {
  const auto values = all.find(name), index = all.find(name + std::string(kIndex)),
             bitmap = all.find(name + std::string(kBitmap));
  const bool is_there = values != all.end();
  if (!is_there && index == all.end() && bitmap == all.end()) return nullptr;
  if (!is_there || (index == all.end()) == (bitmap == all.end()))
    fail(ExitCode::input, "{}: tensor {}: expected it with one of {} and {}, found {}{}{}", file.path().native(), name,
         name + std::string(kIndex), name + std::string(kBitmap), is_there ? "it" : "not it",
         index == all.end() ? "" : ", an index", bitmap == all.end() ? "" : ", a bitmap");
  if (std::ranges::find(dtypes, values->second.dtype_name) == dtypes.end())
    fail(ExitCode::input, "{}: tensor {}: expected {}, found {}", file.path().native(), name, fmt::join(dtypes, " or "),
         values->second.dtype_name);
  return std::make_unique<const SparseValues>(file, values->second,
                                              index == all.end() ? bitmap->second : index->second);
}

/// The dtype of the bits of a model's element.
std::string_view bits_of(std::string_view dtype) {
  if (dtype == "F32") return "I32";
  return dtype == "BF16" || dtype == "F16" ? "I16" : "";
}

/// bytes: of a tensor from byte `first` on, which may begin or end within an element.
template <class Bits>
void flip(std::span<const uint64_t> elements, std::span<const std::byte> bits, uint64_t first,
          std::span<std::byte> bytes) {
  for (size_t i = 0; i < elements.size(); ++i) {
    const uint64_t at = elements[i] * sizeof(Bits);
    const std::byte* from = bits.data() + i * sizeof(Bits);
    if (at >= first && at - first + sizeof(Bits) <= bytes.size()) {
      Bits own, other;
      std::memcpy(&own, &bytes[at - first], sizeof own);
      std::memcpy(&other, from, sizeof other);
      own ^= other;
      std::memcpy(&bytes[at - first], &own, sizeof own);
      continue;
    }
    for (size_t b = 0; b < sizeof(Bits); ++b)
      if (at + b >= first && at + b - first < bytes.size()) bytes[at + b - first] ^= from[b];
  }
}

}  // namespace

DeltaFile::DeltaFile(const std::filesystem::path& path) : file_(path) {
  Tensors all;
  for (TensorInfo& tensor : read_safetensors_header(file_, &metadata_)) {
    const std::string name = tensor.name;
    all.emplace(name, std::move(tensor));
  }
  check_metadata();
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : all) {
    const std::string_view of_model = model_name(name), suffix = std::string_view(name).substr(of_model.size());
    if (std::ranges::find(kSuffixes, suffix) == std::end(kSuffixes))
      fail(ExitCode::input, "{}: tensor {}: no part of a delta", file_.path().native(), brief(Json(name)));
    names.insert(of_model);
  }
  for (const std::string_view name : names) add(name, all);
}

void DeltaFile::check_metadata() const {
  const std::string& subject = file_.path().native();
  const std::string* format = find_field(delta_field::kFormat);
  if (format == nullptr || *format != kDeltaFormat)
    fail(ExitCode::input, "{}: expected a delta of format \"{}\", found {}", subject, kDeltaFormat,
         format == nullptr ? "none in __metadata__" : brief(Json(*format)));
  for (const char* name : {delta_field::kBase, delta_field::kResult, delta_field::kMaster})
    if (const std::string* hash = find_field(name);
        (hash == nullptr && name != delta_field::kMaster) || (hash != nullptr && !Hash128::parse(*hash)))
      fail(ExitCode::input, "{}: {}: expected 32 hexadecimal digits, found {}", subject, name,
           hash == nullptr ? "none" : brief(Json(*hash)));
  for (const char* name : {delta_field::kTensors, delta_field::kElements, delta_field::kBytes, delta_field::kChanged})
    if (!number(name)) fail(ExitCode::input, "{}: {}: expected a number, found none", subject, name);
}

void DeltaFile::add(std::string_view name, const Tensors& all) {
  const std::string own(name);
  DeltaTensor tensor{.changed = values_in(file_, own, all, {"I32", "I16"}),
                     .masters = values_in(file_, own + std::string(kMaster), all, {"F32"})};
  if (tensor.masters && master() == nullptr)
    fail(ExitCode::input, "{}: tensor {}{}: expected field {} with a hash, found none", file_.path().native(), name,
         kMaster, delta_field::kMaster);
  tensors_.emplace(own, std::move(tensor));
}

const DeltaTensor* DeltaFile::find(std::string_view name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

const std::string* DeltaFile::find_field(std::string_view name) const {
  const auto at = metadata_.find(name);
  return at == metadata_.end() ? nullptr : &at->second;
}

const std::string& DeltaFile::field(std::string_view name) const {
  return *find_field(name);  // check_metadata() has seen it
}

std::optional<uint64_t> DeltaFile::number(const char* name) const {
  const std::string* text = find_field(name);
  if (text == nullptr) return {};
  const std::optional<uint64_t> value = number_in<uint64_t>(*text);
  if (!value)
    fail(ExitCode::input, "{}: {}: expected a number, found {}", file_.path().native(), name, brief(Json(*text)));
  return value;
}

uint64_t DeltaFile::num_changed() const {
  uint64_t sum = 0;
  for (const auto& [name, tensor] : tensors_) sum += tensor.changed ? tensor.changed->count() : 0;
  return sum;
}

uint64_t DeltaFile::num_masters() const {
  uint64_t sum = 0;
  for (const auto& [name, tensor] : tensors_) sum += tensor.masters ? tensor.masters->count() : 0;
  return sum;
}

void DeltaFile::check() const {
  for (const auto& [name, tensor] : tensors_) {
    const auto require = [&, &tensor_name = name](const std::unique_ptr<const SparseValues>& all, const auto& is_wrong,
                                                  std::string_view expected) {
      if (all == nullptr) return;
      all->visit(0, all->end(), [&](std::span<const uint64_t> elements, std::span<const std::byte> values) {
        for (size_t i = 0; i < elements.size(); ++i)
          if (is_wrong(values.subspan(i * all->value_bytes(), all->value_bytes())))
            fail(ExitCode::input, "{}: tensor {}: element {}: expected {}", file_.path().native(), tensor_name,
                 elements[i], expected);
      });
    };
    require(
        tensor.changed,
        [](std::span<const std::byte> bits) {
          return std::ranges::all_of(bits, [](std::byte b) { return b == std::byte{0}; });
        },
        "bits that change, found none");
    require(
        tensor.masters,
        [](std::span<const std::byte> bytes) {
          float value = 0;
          std::memcpy(&value, bytes.data(), sizeof value);
          return !std::isfinite(value);
        },
        "a finite f32 value");
  }
}

void DeltaFile::require_fits(const TensorInfo& model) const {
  const DeltaTensor* tensor = find(model.name);
  if (tensor == nullptr) return;
  const std::string_view bits = bits_of(model.dtype_name);
  if (bits.empty())
    fail(ExitCode::input, "{}: tensor {}: is {} in the model, expected F32, BF16 or F16: deltas are of numbers",
         file_.path().native(), model.name, model.dtype_name);
  const size_t size = bits == "I32" ? sizeof(uint32_t) : sizeof(uint16_t);
  if (tensor->changed && tensor->changed->value_bytes() != size)
    fail(ExitCode::input, "{}: tensor {}: is {} in the model, expected I{} bits for it, found I{}",
         file_.path().native(), model.name, model.dtype_name, 8 * size, 8 * tensor->changed->value_bytes());
  for (const auto* values : {&tensor->changed, &tensor->masters})
    if (*values) (*values)->require_fits(model.bytes / size);
}

/// Null where there are none. Fails (input) where they leave the tensor.
const SparseValues* DeltaFile::find_values(const TensorInfo& model,
                                           std::unique_ptr<const SparseValues> DeltaTensor::*which) const {
  const DeltaTensor* tensor = find(model.name);
  const SparseValues* values = tensor == nullptr ? nullptr : (tensor->*which).get();
  if (values == nullptr) return nullptr;
  if (const uint64_t elements = model.bytes / bytes_of_dtype(model.dtype_name); values->end() > elements)
    fail(ExitCode::input, "{}: tensor {}: names element {}, but the model has {} there", file_.path().native(),
         model.name, values->end() - 1, elements);
  return values;
}

const SparseValues* DeltaFile::masters_of(const TensorInfo& model) const {
  return find_values(model, &DeltaTensor::masters);
}

void DeltaFile::patch(const TensorInfo& model, uint64_t first, std::span<std::byte> bytes) const {
  const SparseValues* changed = find_values(model, &DeltaTensor::changed);
  if (changed == nullptr) return;
  const size_t size = changed->value_bytes();
  const uint64_t end = first + bytes.size();
  changed->visit(first / size, (end + size - 1) / size,
                 [&](std::span<const uint64_t> elements, std::span<const std::byte> bits) {
                   if (size == sizeof(uint32_t))
                     flip<uint32_t>(elements, bits, first, bytes);
                   else
                     flip<uint16_t>(elements, bits, first, bytes);
                 });
}

void require_follows(const DeltaFile& earlier, const DeltaFile& later) {
  if (later.base() != earlier.result())
    fail(ExitCode::input, "{}: was cut from the model {}, but {} before it leads to {}: in another order?",
         later.path().native(), later.base(), earlier.path().native(), earlier.result());
}

}  // namespace switchyard
