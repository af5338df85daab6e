#include "train/fisher/fisher_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/number.h"
#include "base/steps.h"
#include "comm/collectively.h"
#include "io/temporary_file.h"
#include "train/pass_engine.h"

namespace switchyard {
namespace {

constexpr std::string_view kKind = "fisher information", kGroup = "fisher/", kGates = "expert_gate",
                           kChoices = "expert_choice";

/// Rank 0's half: rows come in canonical order.
class Writer {
 public:
  Writer(const std::filesystem::path& path, const FisherNotes& notes)
      : file_(path), writer_(file_.path()), labels_(static_cast<double>(notes.targets * notes.draws)) {
    writer_.attribute("kind", kKind);
    writer_.attribute("labels", notes.labels);
    writer_.attribute("draws", notes.draws);
    writer_.attribute("seed", notes.seed);
    writer_.attribute("model", notes.model);
    writer_.attribute("config", notes.config);
    writer_.attribute("tokenizer", notes.tokenizer);
    writer_.attribute("data", notes.data);
    writer_.attribute("numerics", notes.numerics);
    writer_.attribute("records", notes.records);
    writer_.attribute("targets", notes.targets);
  }

  void begin(const Parameter& p) {
    stream_.emplace(
        writer_.create(std::string(kGroup) + p.name(), DType::f32, p.shape[0], p.shape.rank() > 1 ? p.shape[1] : 0));
    hasher_.update(p.name());
  }
  /// sum, rest: of rows of the parameter; overwritten
  void append(const ParameterRows& rows, std::span<float> sum, std::span<const float> rest) {
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] = static_cast<float>((static_cast<double>(sum[i]) + static_cast<double>(rest[i])) / labels_);
      total_ += static_cast<double>(sum[i]);
    }
    elements_ += std::ssize(sum);
    hasher_.update(std::span<const float>(sum));
    Shape shape{rows.count};
    if (rows.parameter.shape.rank() > 1) shape = {rows.count, rows.parameter.shape[1]};
    stream_->append({sum.data(), shape, DType::f32, Device::cpu});
  }
  /// passes: of records.
  void finish(const RoutingShares& routing, int64_t passes, int64_t layers) {
    const auto write = [&](std::string_view name, std::vector<double> sums) {
      if (sums.empty()) return;
      for (double& sum : sums) sum /= static_cast<double>(passes);
      hasher_.update(std::span<const double>(sums));
      writer_.write(name, {sums.data(), {layers, std::ssize(sums) / layers}, DType::f64, Device::cpu});
    };
    write(kGates, routing.gates);
    write(kChoices, routing.choices);
    writer_.attribute("parameters", elements_);
    writer_.attribute("mean", total_ / static_cast<double>(elements_));
    writer_.attribute("hash", hasher_.digest().hex());
    stream_.reset();
    writer_.close();
    file_.publish();
  }

 private:
  TemporaryFile file_;
  h5::Writer writer_;
  const double labels_;  ///< that it is the mean over
  std::optional<h5::Writer::Stream> stream_;
  Hasher hasher_;
  double total_ = 0;
  int64_t elements_ = 0;
};

}  // namespace

void write_fisher_file(const std::filesystem::path& path, const TrainedModel& model, const FisherNotes& notes,
                       const RoutingShares& routing, const std::function<void()>& poll) {
  Communicator& world = model.ranks().world();
  const bool on_root = world.rank() == 0;
  Steps steps;
  std::optional<Writer> writer;
  if (on_root) steps.run([&] { writer.emplace(path, notes); });
  std::vector<float> sum, rest;
  for (const ParameterBlock& block : model.space().blocks())
    for (const BlockTensor& tensor : block.tensors)
      for (const Parameter& p : tensor.tensor.parameters()) {
        if (on_root) steps.run([&] { writer->begin(p); });
        const int64_t at_once = rows_at_once(p);
        for (int64_t row = 0; row < p.shape[0]; row += at_once) {
          const ParameterRows rows{p, row, std::min(at_once, p.shape[0] - row)};
          sum.resize(on_root ? rows.elements() : 0);
          rest.resize(sum.size());
          gather_rows_of(model, &Shard::sum, rows, sum);
          gather_rows_of(model, &Shard::rest, rows, rest);
          poll();
          if (on_root) steps.run([&] { writer->append(rows, sum, rest); });
        }
      }
  if (on_root)
    steps.run([&] { writer->finish(routing, notes.records * notes.draws, model.weights().config.num_layers()); });
  collectively(world, [&] { steps.rethrow(); });
}

FisherFile::FisherFile(std::string option, const std::filesystem::path& path)
    : option_(std::move(option)), reader_(path) {
  if (reader_.attribute("kind") != kKind)
    fail(ExitCode::input, "{}: expected a file of Fisher information, as `switchyard fisher` writes it", subject());
  notes_ = {.labels = text("labels"),
            .draws = number("draws"),
            .seed = number("seed"),
            .model = text("model"),
            .config = text("config"),
            .tokenizer = text("tokenizer"),
            .data = text("data"),
            .numerics = text("numerics"),
            .records = number("records"),
            .targets = number("targets")};
  hash_ = text("hash");
  mean_ = number_in<double>(text("mean")).value_or(-1);
  if (!(mean_ >= 0))
    fail(ExitCode::input, "{}: attribute mean: expected a number of at least 0, found {}", subject(), text("mean"));
}

std::string FisherFile::text(std::string_view attribute) const {
  const std::optional<std::string> value = reader_.attribute(attribute);
  if (!value) fail(ExitCode::input, "{}: attribute {} is missing", subject(), attribute);
  return *value;
}

int64_t FisherFile::number(std::string_view attribute) const {
  const std::string value = text(attribute);
  const std::optional<int64_t> number = number_in<int64_t>(value);
  if (!number)
    fail(ExitCode::input, "{}: attribute {}: expected a whole number, found {}", subject(), attribute, value);
  return *number;
}

void FisherFile::read(const Parameter& p, int64_t first, std::span<float> out) const {
  const h5::Dataset dataset = reader_.open(std::string(kGroup) + p.name());
  std::vector<int64_t> expected{p.shape[0]};
  if (p.shape.rank() > 1) expected.push_back(p.shape[1]);
  if (dataset.shape() != expected)
    fail(ExitCode::input, "{}: {}: expected [{}], found [{}]", subject(), p.name(), fmt::join(expected, ", "),
         fmt::join(dataset.shape(), ", "));
  dataset.read(first / p.row_elements(), out);
}

void FisherFile::check(const ParameterSpace& space, const std::function<void()>& poll) const {
  const FisherSource checked = source();
  Hasher hasher;
  std::vector<float> values;
  for (const ParameterBlock& block : space.blocks())
    for (const BlockTensor& tensor : block.tensors)
      for (const Parameter& p : tensor.tensor.parameters()) {
        hasher.update(p.name());
        const int64_t at_once = rows_at_once(p);
        for (int64_t row = 0; row < p.shape[0]; row += at_once) {
          values.resize(static_cast<size_t>(std::min(at_once, p.shape[0] - row) * p.row_elements()));
          checked.read(p, row * p.row_elements(), values);  // what is no number is named with its place
          hasher.update(std::span<const float>(values));
          poll();
        }
      }
  for (const std::string_view name : {kGates, kChoices}) {
    if (!reader_.has(name)) continue;
    const h5::Dataset dataset = reader_.open(name);
    std::vector<double> shares(
        static_cast<size_t>(dataset.rows() * (dataset.shape().size() > 1 ? dataset.shape()[1] : 1)));
    dataset.read(0, std::span(shares));
    hasher.update(std::span<const double>(shares));
  }
  if (const std::string found = hasher.digest().hex(); found != hash_)
    fail(ExitCode::input, "{}: is damaged: its content has the hash {}, it was written with {}", subject(), found,
         hash_);
}

FisherSource FisherFile::source() const {
  return {subject(), [this](const Parameter& p, int64_t first, std::span<float> out) { read(p, first, out); }};
}

RoutingShares FisherFile::routing(int64_t layers, int64_t experts) const {
  const auto read = [&](std::string_view name) {
    if (!reader_.has(name))
      fail(ExitCode::input, "{}: has no {}, by which experts are chosen{}", subject(), name,
           notes_.labels == "exact" ? ": exact labels leave none" : "");
    const h5::Dataset dataset = reader_.open(name);
    if (dataset.shape() != std::vector<int64_t>{layers, experts})
      fail(ExitCode::input, "{}: {}: expected [{}, {}], found [{}]", subject(), name, layers, experts,
           fmt::join(dataset.shape(), ", "));
    std::vector<double> values(static_cast<size_t>(layers * experts));
    dataset.read(0, std::span(values));
    const auto wrong = std::ranges::find_if(values, [](double x) { return !(x >= 0 && std::isfinite(x)); });
    if (wrong != values.end())
      fail(ExitCode::input, "{}: {}: expert {} of layer {}: expected a number of at least 0, found {}", subject(), name,
           (wrong - values.begin()) % experts, (wrong - values.begin()) / experts, *wrong);
    return values;
  };
  return {read(kGates), read(kChoices)};
}

}  // namespace switchyard
