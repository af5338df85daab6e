// Fisher information as an HDF5 file: of every parameter, by its canonical name, with what it was estimated from.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "io/hdf5.h"
#include "train/model/trained_model.h"
#include "train/pass/routing_shares.h"
#include "train/selection/fisher_source.h"
#include "train/selection/scores.h"

namespace switchyard {

/// What a file says of where its numbers come from: the root group's attributes.
struct FisherNotes {
  std::string labels;     ///< sampled, empirical or exact
  int64_t draws = 1;      ///< of each record's labels, where they are sampled
  int64_t seed = 0;       ///< of these
  std::string model;      ///< its hash
  std::string config;     ///< its configuration's
  std::string tokenizer;  ///< hash of what made the tokens; empty: the data does not say
  std::string data;       ///< the records' hash
  std::string numerics;
  int64_t records = 0, targets = 0;  ///< that it is the mean over, each target once
};

/// Writes one: of each parameter the sums of squares over notes.targets · notes.draws, F32, as /fisher/NAME; where
/// there is a routing, /expert_gate and /expert_choice [layers, experts], the means over records of its shares. The
/// mean over all parameters is an attribute, too. Collective over the world: rank 0 writes, atomically; the others
/// send. Fails (output) on all ranks alike, after all have come to the end.
void write_fisher_file(const std::filesystem::path& path, const TrainedModel& model, const FisherNotes& notes,
                       const RoutingShares& routing, const std::function<void()>& poll);

/// One that is there; by one thread.
class FisherFile {
 public:
  /// Fails (input) where it is none. option: "--fisher-new", for errors.
  FisherFile(std::string option, const std::filesystem::path& path);

  const FisherNotes& notes() const { return notes_; }
  double mean() const { return mean_; }  ///< over all parameters
  /// "--fisher-new FILE"
  std::string subject() const { return option_ + " " + reader_.path().native(); }
  /// Its content's identity, as it was written.
  const std::string& hash() const { return hash_; }
  /// Reads all of it, and fails (input) where that is not what was written, by its hash. poll: called now and then.
  void check(const ParameterSpace& space, const std::function<void()>& poll) const;
  /// Fails (input) where the file has not what the parameter is. Both outlive what is returned.
  FisherSource source() const;
  /// Fails (input) where there is none, or of another shape.
  RoutingShares routing(int64_t layers, int64_t experts) const;

 private:
  void read(const Parameter& parameter, int64_t first, std::span<float> out) const;
  std::string text(std::string_view attribute) const;
  int64_t number(std::string_view attribute) const;

  std::string option_;
  h5::Reader reader_;
  FisherNotes notes_;
  double mean_ = 0;
  std::string hash_;
};

}  // namespace switchyard
