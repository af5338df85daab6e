// Values over a quantity that grows, collected while they are read: bounded memory, however many there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace switchyard::report {

class ThinnedLine {
 public:
  struct Point {
    double x, value;
  };
  static constexpr size_t kMostPoints = 480;

  /// x: not less than that of the value before.
  void add(double x, double value);

  /// In order, each the mean of merged() neighbours, the last perhaps of fewer.
  std::vector<Point> points() const;
  int64_t merged() const { return merged_; }
  int64_t not_finite() const { return not_finite_; }  ///< left out
  bool empty() const { return sums_.empty(); }

 private:
  struct Sum {
    double x = 0, value = 0;
    int64_t num = 0;
  };
  std::vector<Sum> sums_;
  int64_t merged_ = 1, not_finite_ = 0;
};

}  // namespace switchyard::report
