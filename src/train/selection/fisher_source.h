// Where Fisher information comes from.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "model/parameters.h"

namespace switchyard {

class FisherSource {
 public:
  /// Fills out with that of elements [first, first + out.size()) of a parameter, whole rows of it.
  using Read = std::function<void(const Parameter& parameter, int64_t first, std::span<float> out)>;

  FisherSource() = default;
  /// subject: "--fisher-new FILE", for errors
  FisherSource(std::string subject, Read read) : subject_(std::move(subject)), read_(std::move(read)) {}

  /// As Read does. Fails (input) on what is no finite number of at least 0, naming its place.
  void read(const Parameter& parameter, int64_t first, std::span<float> out) const;

 private:
  std::string subject_;
  Read read_;
};

}  // namespace switchyard
