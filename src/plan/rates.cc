#include "plan/rates.h"

#include <algorithm>
#include <cmath>

#include "io/json_field.h"

namespace switchyard {
namespace {

constexpr size_t kSizes = 4;
constexpr double kCellsPerOctave = 4;  // sizes within a cell are one

using Point = std::array<double, kSizes>;  // logarithms to base 2

Point point_of(const std::array<double, kSizes>& size) {
  Point point{};
  for (size_t i = 0; i < kSizes; ++i) point[i] = size[i] > 0 ? std::log2(size[i]) : 0;
  return point;
}

/// x of a x = b, a symmetric and positive.
template <size_t N>
std::array<double, N> solve(std::array<std::array<double, N>, N> a, std::array<double, N> b) {
  for (size_t i = 0; i < N; ++i)
    for (size_t j = i + 1; j < N; ++j) {
      const double factor = a[j][i] / a[i][i];
      for (size_t k = i; k < N; ++k) a[j][k] -= factor * a[i][k];
      b[j] -= factor * b[i];
    }
  for (size_t i = N; i-- > 0;) {
    for (size_t k = i + 1; k < N; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  return b;
}

DType dtype_named(std::string_view name, std::string_view subject) {
  for (const DType dtype : {DType::f32, DType::bf16})
    if (name_of(dtype) == name) return dtype;
  fail(ExitCode::input, "{}: \"dtype\" is {}, expected f32 or bf16", subject, name);
}

}  // namespace

void RateTable::add(const Work& work, double seconds) {
  add_sample({work.size, work.amount, seconds, 1});
}

void RateTable::add(const RateTable& other) {
  for (const RateSample& sample : other.samples_) add_sample(sample);
}

void RateTable::add_sample(const RateSample& sample) {
  std::array<int, kSizes> cell{};
  const Point point = point_of(sample.size);
  for (size_t i = 0; i < kSizes; ++i) cell[i] = static_cast<int>(std::lround(point[i] * kCellsPerOctave));
  const auto [place, is_new] = cells_.try_emplace(cell, samples_.size());
  if (is_new) {
    samples_.push_back(sample);
    return;
  }
  RateSample& all = samples_[place->second];
  const double share = static_cast<double>(sample.count) / static_cast<double>(all.count + sample.count);
  for (size_t i = 0; i < kSizes; ++i)
    if (all.size[i] > 0) all.size[i] *= std::pow(sample.size[i] / all.size[i], share);
  all.amount += sample.amount;
  all.seconds += sample.seconds;
  all.count += sample.count;
}

RateTable::Price RateTable::price(const Work& work) const {
  if (work.amount == 0 || samples_.empty()) return {};
  Point least, most;
  least.fill(INFINITY);
  most.fill(-INFINITY);
  std::vector<Point> points;
  for (const RateSample& sample : samples_) {
    points.push_back(point_of(sample.size));
    for (size_t i = 0; i < kSizes; ++i) {
      least[i] = std::min(least[i], points.back()[i]);
      most[i] = std::max(most[i], points.back()[i]);
    }
  }
  Point wanted = point_of(work.size);
  double beyond = 0;
  for (size_t i = 0; i < kSizes; ++i) {
    const double inside = std::clamp(wanted[i], least[i], most[i]);
    beyond = std::max(beyond, std::abs(wanted[i] - inside));
    wanted[i] = inside;
  }
  // Weighted least squares of log2(seconds / amount) = c₀ + Σ c_i (x_i − wanted_i), the slopes held to 0 a little: c₀.
  constexpr size_t n = kSizes + 1;
  constexpr double kSharpness = 0.02, kRidge = 1e-3;
  std::array<std::array<double, n>, n> a{};
  std::array<double, n> b{};
  double all = 0;
  for (size_t s = 0; s < samples_.size(); ++s) {
    std::array<double, n> x{1};
    double distance = 0;
    for (size_t i = 0; i < kSizes; ++i) {
      x[i + 1] = points[s][i] - wanted[i];
      distance += x[i + 1] * x[i + 1];
    }
    const double weight = 1 / ((distance + kSharpness) * (distance + kSharpness));
    const double y = std::log2(samples_[s].seconds / samples_[s].amount);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) a[i][j] += weight * x[i] * x[j];
      b[i] += weight * x[i] * y;
    }
    all += weight;
  }
  for (size_t i = 1; i < n; ++i) a[i][i] += kRidge * all;
  return {work.amount * std::exp2(solve(a, b)[0]), std::exp2(beyond)};
}

void Rates::add(const WorkLog& log) {
  for (const WorkDone& done : log) add(done.work, done.seconds);
}

void Rates::add(const Rates& other) {
  for (const auto& [key, table] : other.tables_) tables_[key].add(table);
}

const RateTable* Rates::find(const Work& work) const {
  const auto found = tables_.find(key_of(work));
  return found == tables_.end() ? nullptr : &found->second;
}

Json to_json(const Rates& rates) {
  Json all = Json::array();
  for (const auto& [key, table] : rates.tables()) {
    Json samples = Json::array();
    for (const RateSample& s : table.samples()) {
      Json sizes = Json::array();
      for (const double size : s.size)
        if (size > 0) sizes.push_back(size);
      samples.push_back({{"size", std::move(sizes)}, {"amount", s.amount}, {"seconds", s.seconds}, {"count", s.count}});
    }
    all.push_back({{"work", key.first}, {"dtype", name_of(key.second)}, {"samples", std::move(samples)}});
  }
  return all;
}

Rates rates_from_json(const Json& json, std::string_view subject) {
  Rates rates;
  for (const Json& table : json) {
    const auto name = json_field<std::string>(table, "work", subject);
    const DType dtype = dtype_named(json_field<std::string>(table, "dtype", subject), subject);
    for (const Json& sample : json_field<Json>(table, "samples", subject)) {
      RateSample read{{},
                      json_field<double>(sample, "amount", subject),
                      json_field<double>(sample, "seconds", subject),
                      json_field<int64_t>(sample, "count", subject)};
      const auto sizes = json_field<std::vector<double>>(sample, "size", subject);
      if (sizes.size() > kSizes || !(read.amount > 0) || !(read.seconds > 0) || read.count < 1)
        fail(ExitCode::input, "{}: a sample of \"{}\" is {}: expected at most {} sizes, and numbers above 0", subject,
             name, brief(sample), kSizes);
      std::ranges::copy(sizes, read.size.begin());
      rates.add_sample({name, dtype}, read);
    }
  }
  return rates;
}

}  // namespace switchyard
