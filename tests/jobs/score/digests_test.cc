// Today's bits are yesterday's: every small model's results against the digests in tests/data/digests.json, which are
// kept by numerics id. A change that alters bits raises the revision in jobs/numerics.cc, and this program, run with
// SWITCHYARD_WRITE_DIGESTS=1, adds the digests of the new id.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <tuple>

#include "base/device.h"
#include "base/hash.h"
#include "io/json.h"
#include "jobs/score/shard.h"
#include "tests/support/fixture_models.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

const std::filesystem::path kDigests = SWITCHYARD_TEST_DATA "/digests.json";

Json read_json(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), path.string());
}

/// Of all that the results say of the records.
std::string digest_of(const std::filesystem::path& results) {
  Hasher hasher;
  for (const auto& [name, bytes] : datasets(results)) {
    if (name == kExpertTokens) continue;  // of the run
    hasher.update(name);
    hasher.update(bytes);
  }
  return hasher.digest().hex();
}

/// An emulated GPU's products have the same bits by any of cuBLASLt's algorithms, whose hash may stand last.
[[maybe_unused]] std::string without_algorithms(const std::string& numerics) {
  constexpr int kParts = 4;
  size_t end = 0;
  for (int part = 0; part < kParts && end != std::string::npos; ++part) end = numerics.find('/', end + 1);
  return numerics.substr(0, end);
}

/// A model, the dtype of its products, and where it is scored.
class Digests : public ::testing::TestWithParam<std::tuple<std::string, const char*, const char*>> {};

TEST_P(Digests, AreThoseOfTheNumericsId) {
  const auto& [model, dtype, place] = GetParam();
  const std::string_view where = place;
  if (where == "cuda" && num_devices() == 0) GTEST_SKIP() << why_no_devices();
  const TemporaryDirectory directory;
  ScoreCase c{reference_path(model) / "input.h5",
              directory / "run",
              0,
              {"--dtype", dtype, "--per-token", "--embed", "mean", "--device", where == "cuda" ? "cuda" : "cpu"}};
  if (where != "cuda") c.options.insert(c.options.end(), {"--cpu-isa", place});
  c.model = model_path(model);
  const ProcessResult result = score(c);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  auto numerics = read_json(directory / "run" / "manifest.json")["fingerprint"]["numerics"].get<std::string>();
  const bool emulated = where == "cuda" && cuda_toolkit() == "emulated";
  if (emulated) numerics = without_algorithms(numerics) + ", emulated";
  const std::string digest = digest_of(directory / "run" / "results.h5");

  Json known = read_json(kDigests);
  if (std::getenv("SWITCHYARD_WRITE_DIGESTS") != nullptr) {
    known[numerics][model] = digest;
    std::ofstream(kDigests) << known.dump(2) << '\n';
  } else if (!known.contains(numerics) || !known[numerics].contains(model)) {
    const std::string none = fmt::format(
        "tests/data/digests.json has no digest of {} for {}; SWITCHYARD_WRITE_DIGESTS=1 adds this machine's", model,
        numerics);
    if (emulated) FAIL() << none;  // it is the same everywhere
    GTEST_SKIP() << none;
  }
  EXPECT_EQ(known[numerics][model].get<std::string>(), digest) << model << ", " << numerics;
}

INSTANTIATE_TEST_SUITE_P(Models, Digests,
                         ::testing::Combine(::testing::ValuesIn(all_models()), ::testing::Values("f32", "bf16"),
                                            ::testing::Values("auto", "avx2", "cuda")),
                         [](const auto& each) {
                           return test_name(std::get<0>(each.param) + "_" + std::get<1>(each.param) + "_" +
                                            std::get<2>(each.param));
                         });

}  // namespace
}  // namespace switchyard::test
