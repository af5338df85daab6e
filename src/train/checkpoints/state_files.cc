#include "train/checkpoints/state_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "comm/collectively.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "io/seal.h"

namespace switchyard {
namespace {

constexpr int64_t kFileElements = int64_t{1} << 22;
constexpr int kFilesAtOnce = 4;  // that are on their way

}  // namespace

StateFiles::StateFiles(const TrainedModel& model) : model_(model) {
  std::vector<StatePiece> pieces = pieces_of_model();
  count_trained(pieces);
  for (StatePiece& piece : pieces) {
    if (piece.trained == 0) continue;
    if (piece.trained < piece.elements.count()) piece.shape = {piece.trained};
    if (files_.empty() || files_.back().elements + piece.trained > kFileElements)
      files_.push_back({.name = fmt::format("state-{:05d}.safetensors", files_.size())});
    files_.back().elements += piece.trained;
    files_.back().pieces.push_back(std::move(piece));
  }
}

std::vector<StatePiece> StateFiles::pieces_of_model() const {
  std::vector<StatePiece> pieces;
  const std::vector<ParameterBlock>& blocks = model_.space().blocks();
  for (size_t b = 0; b < blocks.size(); ++b)
    for (const BlockTensor& tensor : blocks[b].tensors) {
      int64_t first = tensor.offset;
      for (const Parameter& p : tensor.tensor.parameters()) {
        const int64_t rows = p.shape[0], columns = p.row_elements();
        const int64_t at_once = std::clamp<int64_t>(kFileElements / columns, 1, rows);
        for (int64_t row = 0; row < rows; row += at_once) {
          const int64_t count = std::min(at_once, rows - row);
          std::vector<int64_t> shape{count};
          if (p.shape.rank() > 1) shape.push_back(columns);
          pieces.push_back({at_once < rows ? fmt::format("{}[rows {}:{}]", p.name(), row, row + count) : p.name(),
                            std::move(shape),
                            b,
                            {first + row * columns, first + (row + count) * columns}});
        }
        first += p.shape.elements();
      }
    }
  return pieces;
}

/// Whoever owns some of a piece knows how much of that trains; all others are told.
void StateFiles::count_trained(std::vector<StatePiece>& pieces) {
  const TrainRanks& ranks = model_.ranks();
  std::vector<int64_t> counts;  // of others' parts 0
  std::vector<size_t> begins;
  for (const StatePiece& piece : pieces) {
    begins.push_back(counts.size());
    const ParameterBlock& block = model_.space().blocks()[piece.block];
    const std::vector<ElementRange> owned = ranks.owned(model_.space(), piece.block);
    for (size_t h = 0; h < owned.size(); ++h) {
      const bool is_mine = ranks.world_rank_of_holder(block, static_cast<int>(h)) == ranks.rank();
      counts.push_back(is_mine ? model_.shard(piece.block).trained->count_in(overlap(owned[h], piece.elements)) : 0);
    }
  }
  begins.push_back(counts.size());
  ranks.world().all_reduce({counts.data(), {std::ssize(counts)}, DType::i64}, ReduceOp::sum);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::span of_piece = std::span(counts).subspan(begins[i], begins[i + 1] - begins[i]);
    pieces[i].trained = std::accumulate(of_piece.begin(), of_piece.end(), int64_t{0});
    trained_[{pieces[i].block, pieces[i].elements.first}].assign(of_piece.begin(), of_piece.end());
  }
}

uint64_t StateFiles::bytes() const {
  uint64_t elements = 0;
  for (const StateFile& file : files_) elements += static_cast<uint64_t>(file.elements);
  return elements * model_.state().size() * sizeof(float);
}

size_t StateFiles::buffer_bytes(const ParameterSpace& space, size_t kinds) {
  int64_t longest_row = 1;
  for (const ParameterBlock& block : space.blocks())
    for (const BlockTensor& tensor : block.tensors)
      longest_row = std::max(longest_row, tensor.tensor.parameters().front().row_elements());
  // A file's values as they are written and as they came, and what this rank sends of others' files: maybe all.
  return (2 + kFilesAtOnce) *
         static_cast<size_t>(std::min(space.num_elements(), std::max(kFileElements, longest_row))) * kinds *
         sizeof(float);
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
    const std::vector<int64_t>& trained = trained_.at({piece.block, piece.elements.first});
    std::vector<size_t> holders(owned.size());  // in the order of what they own
    std::iota(holders.begin(), holders.end(), size_t{0});
    std::ranges::sort(holders, {}, [&](size_t h) { return owned[h].first; });
    for (const size_t h : holders) {
      if (trained[h] == 0) continue;
      if (ranks.world_rank_of_holder(block, static_cast<int>(h)) == owner)
        all.push_back({piece.block, overlap(owned[h], piece.elements), place, trained[h]});
      place += trained[h];
    }
  }
  return all;
}

void StateFiles::exchange(int64_t wave, Way way, std::vector<float>& values) const {
  Communicator& world = model_.ranks().world();
  const StateFile* mine = file_of(wave, world.rank());
  values.resize(mine == nullptr ? 0 : model_.state().size() * static_cast<size_t>(mine->elements));
  for (int first = 0; first < world.size(); first += kFilesAtOnce) {
    const Places p = places(wave, first, std::min(first + kFilesAtOnce, world.size()), values);
    way == Way::to_files ? exchange_parts(world, p.in_shards, p.in_file)
                         : exchange_parts(world, p.in_file, p.in_shards);
  }
}

StateFiles::Places StateFiles::places(int64_t wave, int first_rank, int end_rank, std::span<float> values) const {
  Communicator& world = model_.ranks().world();
  const bool has_own = first_rank <= world.rank() && world.rank() < end_rank;
  const StateFile* mine = has_own ? file_of(wave, world.rank()) : nullptr;
  const auto num_kinds = std::ssize(model_.state());
  const auto ranks = static_cast<size_t>(world.size());
  Places places{PartsOfRanks(ranks), PartsOfRanks(ranks)};
  for (int r = 0; r < world.size(); ++r) {
    const auto rank = static_cast<size_t>(r);
    if (const StateFile* file = first_rank <= r && r < end_rank ? file_of(wave, r) : nullptr)
      for (const Segment& s : segments(*file, world.rank()))
        for (const StateValues& kind : model_.state()) {
          const Shard& shard = model_.shard(s.block);
          places.in_shards[rank].push_back(shard.part_of(shard.*kind.values, s.elements).span<float>());
        }
    if (mine == nullptr) continue;
    for (const Segment& s : segments(*mine, r))
      for (int64_t kind = 0; kind < num_kinds; ++kind)
        places.in_file[rank].push_back(
            values.subspan(static_cast<size_t>(kind * mine->elements + s.place), static_cast<size_t>(s.trained)));
  }
  return places;
}

namespace {

using Kinds = std::span<const StateValues>;

/// body(name, shape, the values' place among [kinds][elements], how many) for every tensor of a file.
template <class Body>
void for_tensors(Kinds kinds, const StateFile& file, const Body& body) {
  int64_t place = 0;
  for (const StateValues& kind : kinds)
    for (const StatePiece& piece : file.pieces) {
      body(piece.name + std::string(kind.suffix), piece.shape, place, piece.trained);
      place += piece.trained;
    }
}

/// By bits. stored, now: [kinds][elements]
std::string first_difference(Kinds kinds, const StateFile& file, const std::vector<float>& stored,
                             const std::vector<float>& now) {
  std::string difference;
  for_tensors(kinds, file, [&](const std::string& name, const std::vector<int64_t>&, int64_t place, int64_t count) {
    for (auto i = static_cast<size_t>(place); difference.empty() && i < static_cast<size_t>(place + count); ++i)
      if (std::bit_cast<uint32_t>(stored[i]) != std::bit_cast<uint32_t>(now[i]))
        difference = fmt::format("{}: element {} is {:.9g} there, and now {:.9g}", name,
                                 static_cast<int64_t>(i) - place, stored[i], now[i]);
  });
  return difference;
}

/// What the first rank says that says something.
std::string first_of(Communicator& world, const std::string& text) {
  for (const std::string& of_rank : world.all_gather_strings(text))
    if (!of_rank.empty()) return of_rank;
  return {};
}

void write_file(Kinds kinds, const std::filesystem::path& path, const StateFile& file,
                const std::vector<float>& values) {
  std::vector<TensorSpec> tensors;
  for_tensors(kinds, file, [&](std::string name, const std::vector<int64_t>& shape, int64_t, int64_t) {
    tensors.push_back({std::move(name), DType::f32, shape});
  });
  SafetensorsWriter writer(path, tensors);
  writer.append(std::as_bytes(std::span(values)));
  writer.finish();
}

std::vector<float> read_file(Kinds kinds, const std::filesystem::path& path, const StateFile& file) {
  const InputFile input(path);
  const std::vector<TensorInfo> infos = read_safetensors_header(input);
  std::vector<float> values(kinds.size() * static_cast<size_t>(file.elements));
  for_tensors(
      kinds, file, [&](const std::string& name, const std::vector<int64_t>& shape, int64_t place, int64_t count) {
        const auto found = std::ranges::find(infos, name, &TensorInfo::name);
        if (found == infos.end() || found->shape != shape || found->dtype_name != "F32")
          fail(ExitCode::input, "{}: expected tensor {} [{}] of F32", path.native(), name, fmt::join(shape, ", "));
        input.read(found->offset, std::as_writable_bytes(std::span(values).subspan(static_cast<size_t>(place),
                                                                                   static_cast<size_t>(count))));
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
    std::vector<float> values;
    exchange(wave, Way::to_files, values);
    std::string hash;
    collectively(world, [&] {
      const StateFile* mine = file_of(wave, world.rank());
      if (mine == nullptr) return;
      write_file(model_.state(), directory / mine->name, *mine, values);
      hash = hash_of_file(directory / mine->name).hex();
    });
    for (const std::string& of_rank : world.all_gather_strings(hash))
      if (!of_rank.empty()) hashes.push_back(of_rank);
  }
  return hashes;
}

std::string StateFiles::read_wave(int64_t wave, const std::filesystem::path& directory,
                                  const std::vector<std::string>& hashes, std::vector<float>& values) const {
  Communicator& world = model_.ranks().world();
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
      values = read_file(model_.state(), path, *mine);
    }
  });
  return first_of(world, fault);
}

std::string StateFiles::read(const std::filesystem::path& directory, const std::vector<std::string>& hashes,
                             const std::function<void()>& poll) const {
  for (int64_t wave = 0; wave < num_waves(); ++wave) {
    poll();
    std::vector<float> values;
    if (std::string fault = read_wave(wave, directory, hashes, values); !fault.empty()) return fault;
    exchange(wave, Way::to_shards, values);
  }
  return {};
}

std::string StateFiles::compare(const std::filesystem::path& directory, const std::vector<std::string>& hashes,
                                const std::function<void()>& poll) const {
  Communicator& world = model_.ranks().world();
  for (int64_t wave = 0; wave < num_waves(); ++wave) {
    poll();
    std::vector<float> stored, values;
    if (std::string fault = read_wave(wave, directory, hashes, stored); !fault.empty()) return fault;
    exchange(wave, Way::to_files, values);
    const StateFile* mine = file_of(wave, world.rank());
    const std::string difference = mine == nullptr ? "" : first_difference(model_.state(), *mine, stored, values);
    if (std::string first = first_of(world, difference); !first.empty()) return first;
  }
  return {};
}

}  // namespace switchyard
