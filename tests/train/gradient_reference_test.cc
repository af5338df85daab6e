// Gradients of whole models against those that independent software computed (tests/data/make_fixtures.py): of the
// fixtures that have one, and of a directory that SWITCHYARD_REFERENCES names, if it does.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <numeric>

#include "io/json.h"
#include "model/checkpoint/parameter_reader.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tensor.h"
#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;

/// What the file says of itself: the loss, and of how many of the input's first records it is.
struct ReferenceNotes {
  double loss;
  size_t records;
};
ReferenceNotes notes_of(const fs::path& gradient) {
  std::ifstream file(gradient, std::ios::binary);
  uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  std::string header(length, ' ');
  file.read(header.data(), static_cast<std::streamsize>(length));
  const Json notes = Json::parse(header).at("__metadata__");
  return {std::stod(notes.at("loss").get<std::string>()), std::stoul(notes.at("records").get<std::string>())};
}

/// A file whose tensors are named as the model's weights, in canonical order; 0 for biases that only the choice of
/// experts has, which there are no gradients of.
std::vector<float> read_like_weights(const fs::path& path, const ModelConfig& config) {
  ModelConfig stored = config;
  for (LayerConfig& layer : stored.layers)
    if (auto* moe = std::get_if<MoeConfig>(&layer.feed_forward)) moe->router.selection_bias = false;
  const TemporaryDirectory directory;
  fs::create_symlink(fs::absolute(path), directory / kWeightsFile);
  const Checkpoint checkpoint(directory.path());
  const TensorTable table(checkpoint, stored, path.string());
  const ParameterSpace space(config);
  std::vector<float> values(static_cast<size_t>(space.num_elements()));
  std::vector<int> experts(static_cast<size_t>(config.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  read_parameters(CpuStream(), table, DType::f32, experts, nullptr, [&](const StoredTensor& tensor, ConstView some) {
    const auto [block, offset] = space.place_of(tensor.parameters().front());
    std::ranges::copy(some.span<float>(), values.begin() + space.blocks()[block].first + offset);
  });
  return values;
}

/// The scored ones of the first records.
std::vector<Record> records_of(const fs::path& input, size_t count) {
  std::vector<Record> records = read_records(input);
  records.resize(count);
  std::erase_if(records, [](const Record& r) { return std::ssize(r.tokens) <= r.context; });
  return records;
}

/// ‖got − want‖₂ of a tensor may be 10⁻⁴ ‖want‖₂ + 10⁻⁶ of the largest tensor's norm.
void check(const fs::path& root, const std::string& name) {
  SCOPED_TRACE(name);
  const fs::path reference = root / "references" / name;
  const ModelConfig config = read_model_config(root / "models" / name);
  const ReferenceNotes notes = notes_of(reference / "grad.safetensors");
  const StepGradient got =
      gradient_of({.config = config, .balance = 0}, records_of(reference / "input.h5", notes.records),
                  [&](Trainer& trainer) { trainer.load(root / "models" / name); });
  EXPECT_NEAR(got.step.losses.cross_entropy, notes.loss, 1e-6 * notes.loss);

  const std::vector<float> want = read_like_weights(reference / "grad.safetensors", config);
  struct Compared {
    std::string name;
    double off, size;
  };
  std::vector<Compared> tensors;
  double largest = 0;
  for (const ParameterPlace& place : places_of(ParameterSpace(config))) {
    double squares = 0, off = 0;
    for (size_t i = 0; i < static_cast<size_t>(place.count); ++i) {
      // Nothing was written where no token went; a NaN anywhere else is seen by the optimiser.
      const double g = std::isnan(place.of(got.gradient)[i]) ? 0 : place.of(got.gradient)[i];
      squares += std::pow(place.of(want)[i], 2);
      off += std::pow(g - place.of(want)[i], 2);
    }
    tensors.push_back({place.parameter.name(), std::sqrt(off), std::sqrt(squares)});
    largest = std::max(largest, std::sqrt(squares));
  }
  const auto ratio = [&](const Compared& t) { return t.off / (1e-4 * t.size + 1e-6 * largest); };
  const Compared worst = *std::ranges::max_element(tensors, {}, ratio);
  EXPECT_LE(ratio(worst), 1) << worst.name << ": " << worst.off << " off, norm " << worst.size << ", the largest "
                             << largest;
  std::cout << fmt::format("{}: {} tensors, at most {:.2g} of what is allowed, {}\n", name, tensors.size(),
                           ratio(worst), worst.name);
}

int check_all(const fs::path& root) {
  int checked = 0;
  for (const auto& entry : fs::directory_iterator(root / "references"))
    if (fs::exists(entry.path() / "grad.safetensors")) {
      check(root, entry.path().filename());
      ++checked;
    }
  return checked;
}

TEST(GradientReference, IsMet) {
  EXPECT_EQ(check_all(SWITCHYARD_TEST_DATA), 3);
}

TEST(GradientReference, IsMetElsewhere) {
  const char* root = std::getenv("SWITCHYARD_REFERENCES");
  if (root == nullptr)
    GTEST_SKIP() << "SWITCHYARD_REFERENCES names no folder with models/NAME and references/NAME/grad.safetensors";
  EXPECT_GT(check_all(root), 0);
}

}  // namespace
}  // namespace switchyard::test
