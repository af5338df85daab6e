#include "io/delta_writer.h"

#include <algorithm>
#include <string>

namespace switchyard {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;

TensorInfo vector_of(std::string name, std::string_view dtype, uint64_t elements) {
  return {.name = std::move(name), .dtype_name = std::string(dtype), .shape = {static_cast<int64_t>(elements)}};
}

[[noreturn]] void fail_changed() {
  fail(ExitCode::input, "the models differ in other elements than a moment ago: are they being written?");
}

/// Bytes of a tensor, one after the other.
class TensorBytes {
 public:
  TensorBytes(SafetensorsWriter& writer, const TensorInfo& tensor) : writer_(writer), tensor_(tensor) {}

  void append(std::span<const std::byte> bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    if (buffer_.size() >= kBufferBytes) flush();
  }
  void flush() {
    writer_.put(tensor_, written_, buffer_);
    written_ += buffer_.size();
    buffer_.clear();
  }
  uint64_t size() const { return written_ + buffer_.size(); }
  uint64_t left() const { return tensor_.bytes - size(); }

 private:
  SafetensorsWriter& writer_;
  const TensorInfo& tensor_;
  std::vector<std::byte> buffer_;
  uint64_t written_ = 0;
};

}  // namespace

/// Some elements of a tensor with their values.
class DeltaWriter::Values {
 public:
  Values(SafetensorsWriter& writer, const TensorInfo& values, const TensorInfo& list)
      : list_is_index_(list.dtype_name == "U32"), values_(writer, values), list_(writer, list) {}

  void add(uint64_t element, std::span<const std::byte> value) {
    if (values_.left() < value.size()) fail_changed();
    values_.append(value);
    if (list_is_index_) {
      const auto index = static_cast<uint32_t>(element);
      list_.append(std::as_bytes(std::span(&index, 1)));
      return;
    }
    while (list_.size() < element / 8) next_byte();
    bits_ |= std::byte{1} << (element % 8);
  }

  void finish() {
    while (!list_is_index_ && list_.left() > 0) next_byte();
    if (values_.left() > 0) fail_changed();
    values_.flush();
    list_.flush();
  }

 private:
  void next_byte() {
    list_.append({&bits_, 1});
    bits_ = {};
  }
  const bool list_is_index_;
  TensorBytes values_, list_;
  std::byte bits_{};  ///< of the bitmap's next byte
};

/// Index of the values' tensor in infos_, that of the list's; -1: none.
struct DeltaWriter::Places {
  std::ptrdiff_t changed = -1, changed_list = -1, masters = -1, masters_list = -1;
};

uint64_t DeltaPart::elements() const {
  return model.bytes / bytes_of_dtype(model.dtype_name);
}

uint64_t DeltaPart::bytes() const {
  const auto of = [&](uint64_t count, uint64_t value_bytes) {
    return count == 0 ? 0 : count * value_bytes + bytes_of_list(smaller_list(elements(), count), elements(), count);
  };
  return of(changed, bytes_of_dtype(model.dtype_name)) + of(masters, sizeof(float));
}

DeltaWriter::DeltaWriter(const std::filesystem::path& path, std::span<const DeltaPart> parts,
                         const SafetensorsMetadata& metadata) {
  struct Wanted {
    TensorInfo info;
    std::ptrdiff_t* place;
  };
  std::vector<Wanted> wanted;
  places_.resize(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const DeltaPart& part = parts[i];
    if (part.model.name.find(':') != std::string::npos)
      fail(ExitCode::input, "tensor {}: a delta cannot name it: expected a name without colon", part.model.name);
    const auto add = [&](const std::string& name, std::string_view dtype, uint64_t count, std::ptrdiff_t& values,
                         std::ptrdiff_t& list) {
      if (count == 0) return;
      const bool is_index = smaller_list(part.elements(), count) == ElementList::index;
      wanted.push_back({vector_of(name, dtype, count), &values});
      wanted.push_back(
          {is_index ? vector_of(name + ":index", "U32", count)
                    : vector_of(name + ":bitmap", "U8", bytes_of_list(ElementList::bitmap, part.elements(), count)),
           &list});
    };
    add(part.model.name, bytes_of_dtype(part.model.dtype_name) == sizeof(uint32_t) ? "I32" : "I16", part.changed,
        places_[i].changed, places_[i].changed_list);
    add(part.model.name + ":master", "F32", part.masters, places_[i].masters, places_[i].masters_list);
  }
  // Wider types first, so that every tensor is aligned.
  std::ranges::stable_sort(wanted, std::greater(),
                           [](const Wanted& each) { return bytes_of_dtype(each.info.dtype_name); });
  for (Wanted& each : wanted) {
    *each.place = std::ssize(infos_);
    infos_.push_back(std::move(each.info));
  }
  writer_.emplace(path, infos_, metadata);
}

DeltaWriter::~DeltaWriter() = default;

void DeltaWriter::begin_part() {
  const Places& places = places_.at(next_++);
  const auto open = [&](std::ptrdiff_t values, std::ptrdiff_t list) {
    return values < 0 ? nullptr
                      : std::make_unique<Values>(*writer_, infos_[static_cast<size_t>(values)],
                                                 infos_[static_cast<size_t>(list)]);
  };
  changed_ = open(places.changed, places.changed_list);
  masters_ = open(places.masters, places.masters_list);
}

void DeltaWriter::change(uint64_t element, std::span<const std::byte> bits) {
  if (!changed_) fail_changed();
  changed_->add(element, bits);
}

void DeltaWriter::keep_master(uint64_t element, float value) {
  if (!masters_) fail_changed();
  masters_->add(element, std::as_bytes(std::span(&value, 1)));
}

void DeltaWriter::end_part() {
  if (changed_) changed_->finish();
  if (masters_) masters_->finish();
}

}  // namespace switchyard
