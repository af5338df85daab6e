// All parameters' state as files, whose number and bytes depend on the model alone, not on the ranks: what a
// checkpoint of a training run consists of.
//
// A file is safetensors: of each parameter, or of some of its rows, the model's state as F32: NAME, NAME.exp_avg and
// NAME.exp_avg_sq, or a Fisher pass's NAME.sum and NAME.rest; "NAME[rows 512:1024]…" where a parameter is in several
// files. Of a parameter that does not train as a whole they have what does, as a list; of one that does not at all
// nothing.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "comm/exchange_parts.h"
#include "train/model/trained_model.h"

namespace switchyard {

/// A parameter's rows in a file.
struct StatePiece {
  std::string name;
  std::vector<int64_t> shape;  ///< of all of it, or [trained] where some of it does not train
  size_t block = 0;
  ElementRange elements;  ///< of the block
  int64_t trained = 0;    ///< of these
};

struct StateFile {
  std::string name;  ///< "state-00017.safetensors"
  std::vector<StatePiece> pieces = {};
  int64_t elements = 0;  ///< of all pieces, that train
};

class StateFiles {
 public:
  /// Of at most about 48 MB each: whole parameters in canonical order, or rows of one. Collective over the world.
  StateFiles(const TrainedModel& model);

  const std::vector<StateFile>& files() const { return files_; }
  uint64_t bytes() const;  ///< of all, but for their headers
  /// Bytes that writing or reading takes of memory at most, with so many kinds of state.
  static size_t buffer_bytes(const ParameterSpace& space, size_t kinds);

  /// Writes them all into the directory, each rank some; the hashes of their bytes, by file, the same on all ranks.
  /// Collective over the world. Fails (output) on all ranks alike.
  std::vector<std::string> write(const std::filesystem::path& directory, const std::function<void()>& poll) const;
  /// Reads them into the model's shards (not yet into its weights). Empty, or what is wrong with the first file that is
  /// missing or not what `hashes` say, the same on all ranks. Collective. Fails (input) on all ranks alike where a file
  /// cannot be read.
  std::string read(const std::filesystem::path& directory, const std::vector<std::string>& hashes,
                   const std::function<void()>& poll) const;
  /// Empty, or where the model's shards first differ from them, or what is wrong with a file, likewise.
  std::string compare(const std::filesystem::path& directory, const std::vector<std::string>& hashes,
                      const std::function<void()>& poll) const;

 private:
  /// Consecutive elements of a file that one rank owns.
  struct Segment {
    size_t block = 0;
    ElementRange elements;  ///< of the block
    int64_t place = 0;      ///< in the file, of the first of them that trains
    int64_t trained = 0;    ///< how many do
  };
  /// The values of this rank's file of a wave; none if it has none. Or what is wrong with one of the wave, on all
  /// ranks.
  std::string read_wave(int64_t wave, const std::filesystem::path& directory, const std::vector<std::string>& hashes,
                        std::vector<float>& values) const;
  std::vector<Segment> segments(const StateFile& file, int owner) const;
  std::vector<StatePiece> pieces_of_model() const;
  void count_trained(std::vector<StatePiece>& pieces);
  /// Of a wave each rank has one file. Null: there are no more.
  const StateFile* file_of(int64_t wave, int rank) const;
  int64_t num_waves() const;
  enum class Way : uint8_t { to_files, to_shards };
  /// Between owners' shards and a wave's files, some of them at a time. values: of this rank's file, [kinds of
  /// state][elements]; made so long.
  void exchange(int64_t wave, Way way, std::vector<float>& values) const;
  /// Of the files of some ranks what this one owns, by rank; and of its own file, if it is among these, by owner.
  struct Places {
    PartsOfRanks in_shards, in_file;
  };
  Places places(int64_t wave, int first_rank, int end_rank, std::span<float> values) const;

  const TrainedModel& model_;
  std::vector<StateFile> files_;
  std::map<std::pair<size_t, int64_t>, std::vector<int64_t>>
      trained_;  ///< [holders] of a piece: by block and first element
};

}  // namespace switchyard
