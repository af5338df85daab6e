#include "train/state_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "comm/collectively.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "io/seal.h"

namespace switchyard {
namespace {

constexpr int64_t kFileElements = int64_t{1} << 22;
constexpr int64_t kValues = 3;  // of an element: the parameter and its moments
constexpr std::string_view kKinds[kValues] = {"", ".exp_avg", ".exp_avg_sq"};

View values_of(const Shard& shard, int64_t kind) {
  return kind == 0 ? shard.master : kind == 1 ? shard.first_moment : shard.second_moment;
}

}  // namespace

StateFiles::StateFiles(const TrainedModel& model) : model_(model) {
  const auto add = [&](StatePiece piece) {
    if (files_.empty() || files_.back().elements + piece.elements.count() > kFileElements)
      files_.push_back({.name = fmt::format("state-{:05d}.safetensors", files_.size())});
    files_.back().elements += piece.elements.count();
    files_.back().pieces.push_back(std::move(piece));
  };
  for (size_t b = 0; b < model.space().blocks().size(); ++b)
    for (const BlockTensor& tensor : model.space().blocks()[b].tensors) {
      int64_t first = tensor.offset;
      for (const Parameter& p : tensor.tensor.parameters()) {
        const int64_t rows = p.shape[0], columns = p.shape.elements() / rows;
        const int64_t at_once = std::clamp<int64_t>(kFileElements / columns, 1, rows);
        for (int64_t row = 0; row < rows; row += at_once) {
          const int64_t count = std::min(at_once, rows - row);
          std::vector<int64_t> shape{count};
          if (p.shape.rank() > 1) shape.push_back(columns);
          add({at_once < rows ? fmt::format("{}[rows {}:{}]", p.name(), row, row + count) : p.name(),
               std::move(shape),
               b,
               {first + row * columns, first + (row + count) * columns}});
        }
        first += p.shape.elements();
      }
    }
}

uint64_t StateFiles::bytes() const {
  return static_cast<uint64_t>(model_.space().num_elements()) * kValues * sizeof(float);
}

size_t StateFiles::buffer_bytes() const {
  int64_t most = 0;
  for (const StateFile& file : files_) most = std::max(most, file.elements);
  // A file's values as they are written and as they came, and what this rank sends of others' files.
  return static_cast<size_t>(3 * most * kValues) * sizeof(float);
}

const StateFile* StateFiles::file_of(int64_t wave, int rank) const {
  const auto index = static_cast<size_t>(wave * model_.ranks().world().size() + rank);
  return index < files_.size() ? &files_[index] : nullptr;
}

int64_t StateFiles::num_waves() const {
  const int64_t ranks = model_.ranks().world().size();
  return (std::ssize(files_) + ranks - 1) / ranks;
}

std::vector<StateFiles::Segment> StateFiles::segments(const StateFile& file, int owner) const {
  const TrainRanks& ranks = model_.ranks();
  std::vector<Segment> all;
  int64_t place = 0;
  for (const StatePiece& piece : file.pieces) {
    const ParameterBlock& block = model_.space().blocks()[piece.block];
    const std::vector<ElementRange> owned = ranks.owned(model_.space(), piece.block);
    for (size_t holder = 0; holder < owned.size(); ++holder) {
      const ElementRange part{std::max(owned[holder].first, piece.elements.first),
                              std::min(owned[holder].end, piece.elements.end)};
      if (part.first < part.end && ranks.world_rank_of_holder(block, static_cast<int>(holder)) == owner)
        all.push_back({piece.block, part, place + part.first - piece.elements.first});
    }
    place += piece.elements.count();
  }
  return all;
}

namespace {

/// Rows of one float to and from every rank.
struct Mail {
  std::vector<float> values;
  std::vector<int64_t> rows;  ///< [ranks]

  View view() { return {values.data(), {std::ssize(values), 1}, DType::f32, Device::cpu}; }
};

void exchange(Communicator& world, Mail& sent, Mail& received) {
  const Stream stream;
  world.start_all_to_all_v(stream, sent.view(), sent.rows, received.view(), received.rows).wait();
}

}  // namespace

std::vector<float> StateFiles::gather(int64_t wave) const {
  Communicator& world = model_.ranks().world();
  const int me = world.rank();
  const StateFile* mine = file_of(wave, me);
  Mail sent, received;
  for (int r = 0; r < world.size(); ++r) {
    const size_t before = sent.values.size();
    int64_t coming = 0;
    if (const StateFile* file = file_of(wave, r))
      for (const Segment& s : segments(*file, me))
        for (int64_t kind = 0; kind < kValues; ++kind) {
          const Shard& shard = model_.shard(s.block);
          const float* from = values_of(shard, kind).as<float>() + (s.elements.first - shard.owned.first);
          sent.values.insert(sent.values.end(), from, from + s.elements.count());
        }
    sent.rows.push_back(static_cast<int64_t>(sent.values.size() - before));
    if (mine != nullptr)
      for (const Segment& s : segments(*mine, r)) coming += kValues * s.elements.count();
    received.rows.push_back(coming);
  }
  received.values.resize(static_cast<size_t>(mine == nullptr ? 0 : kValues * mine->elements));
  exchange(world, sent, received);
  if (mine == nullptr) return {};
  std::vector<float> values(received.values.size());
  const float* from = received.values.data();
  for (int r = 0; r < world.size(); ++r)
    for (const Segment& s : segments(*mine, r))
      for (int64_t kind = 0; kind < kValues; ++kind, from += s.elements.count())
        std::copy_n(from, s.elements.count(), values.data() + kind * mine->elements + s.place);
  return values;
}

void StateFiles::scatter(int64_t wave, const std::vector<float>& values) const {
  Communicator& world = model_.ranks().world();
  const int me = world.rank();
  const StateFile* mine = file_of(wave, me);
  Mail sent, received;
  for (int r = 0; r < world.size(); ++r) {
    const size_t before = sent.values.size();
    int64_t coming = 0;
    if (mine != nullptr)
      for (const Segment& s : segments(*mine, r))
        for (int64_t kind = 0; kind < kValues; ++kind) {
          const float* from = values.data() + kind * mine->elements + s.place;
          sent.values.insert(sent.values.end(), from, from + s.elements.count());
        }
    sent.rows.push_back(static_cast<int64_t>(sent.values.size() - before));
    if (const StateFile* file = file_of(wave, r))
      for (const Segment& s : segments(*file, me)) coming += kValues * s.elements.count();
    received.rows.push_back(coming);
    received.values.resize(received.values.size() + static_cast<size_t>(coming));
  }
  exchange(world, sent, received);
  const float* from = received.values.data();
  for (int r = 0; r < world.size(); ++r)
    if (const StateFile* file = file_of(wave, r))
      for (const Segment& s : segments(*file, me))
        for (int64_t kind = 0; kind < kValues; ++kind, from += s.elements.count()) {
          const Shard& shard = model_.shard(s.block);
          std::copy_n(from, s.elements.count(),
                      values_of(shard, kind).as<float>() + (s.elements.first - shard.owned.first));
        }
}

namespace {

/// body(name, shape, the values' place among [3][elements]) for every tensor of a file.
template <class Body>
void for_tensors(const StateFile& file, const Body& body) {
  for (int64_t kind = 0; kind < kValues; ++kind) {
    int64_t place = kind * file.elements;
    for (const StatePiece& piece : file.pieces) {
      body(piece.name + std::string(kKinds[kind]), piece.shape, place, piece.elements.count());
      place += piece.elements.count();
    }
  }
}

void write_file(const std::filesystem::path& path, const StateFile& file, const std::vector<float>& values) {
  std::vector<TensorSpec> tensors;
  for_tensors(file, [&](std::string name, const std::vector<int64_t>& shape, int64_t, int64_t) {
    tensors.push_back({std::move(name), DType::f32, shape});
  });
  SafetensorsWriter writer(path, tensors);
  writer.append(std::as_bytes(std::span(values)));
  writer.finish();
}

std::vector<float> read_file(const std::filesystem::path& path, const StateFile& file) {
  const InputFile input(path);
  const std::vector<TensorInfo> infos = read_safetensors_header(input);
  std::vector<float> values(static_cast<size_t>(kValues * file.elements));
  for_tensors(file, [&](const std::string& name, const std::vector<int64_t>& shape, int64_t place, int64_t count) {
    const auto found = std::ranges::find(infos, name, &TensorInfo::name);
    if (found == infos.end() || found->shape != shape || found->dtype_name != "F32")
      fail(ExitCode::input, "{}: expected tensor {} [{}] of F32", path.native(), name, fmt::join(shape, ", "));
    input.read(found->offset, std::as_writable_bytes(
                                  std::span(values).subspan(static_cast<size_t>(place), static_cast<size_t>(count))));
  });
  return values;
}

}  // namespace

std::vector<std::string> StateFiles::write(const std::filesystem::path& directory,
                                           const std::function<void()>& poll) const {
  Communicator& world = model_.ranks().world();
  std::vector<std::string> hashes;
  for (int64_t wave = 0; wave < num_waves(); ++wave) {
    poll();
    const std::vector<float> values = gather(wave);
    std::string hash;
    collectively(world, [&] {
      const StateFile* mine = file_of(wave, world.rank());
      if (mine == nullptr) return;
      write_file(directory / mine->name, *mine, values);
      hash = hash_of_file(directory / mine->name).hex();
    });
    for (const std::string& of_rank : world.all_gather_strings(hash))
      if (!of_rank.empty()) hashes.push_back(of_rank);
  }
  return hashes;
}

std::string StateFiles::read(const std::filesystem::path& directory, const std::vector<std::string>& hashes,
                             const std::function<void()>& poll) const {
  Communicator& world = model_.ranks().world();
  for (int64_t wave = 0; wave < num_waves(); ++wave) {
    poll();
    std::vector<float> values;
    std::string fault;
    collectively(world, [&] {
      const StateFile* mine = file_of(wave, world.rank());
      if (mine == nullptr) return;
      const std::filesystem::path path = directory / mine->name;
      const std::string& expected = hashes.at(static_cast<size_t>(mine - files_.data()));
      if (!file_exists(path)) {
        fault = fmt::format("{} is missing", path.native());
      } else if (const std::string hash = hash_of_file(path).hex(); hash != expected) {
        fault = fmt::format("{}: its bytes have changed: expected hash {}, found {}", path.native(), expected, hash);
      } else {
        values = read_file(path, *mine);
      }
    });
    for (const std::string& of_rank : world.all_gather_strings(fault))
      if (!of_rank.empty()) return of_rank;
    scatter(wave, values);
  }
  return {};
}

}  // namespace switchyard
