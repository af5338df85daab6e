// Base and delta are the trained model, bit for bit, and the trained model and delta the base: for every small model,
// whatever its dtypes and layout.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "io/delta_file.h"
#include "model/checkpoint/delta_check.h"
#include "model/checkpoint/loader.h"
#include "model/checkpoint/stored_hash.h"
#include "model/delta/delta_apply.h"
#include "model/delta/delta_diff.h"
#include "model/delta/export_changes.h"
#include "tests/model/delta/delta_case.h"
#include "tests/support/expect_error.h"
#include "tests/support/fixture_models.h"
#include "tests/support/raw_safetensors.h"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;

float rounded(float x, std::string_view dtype) {
  if (dtype == "BF16") return to_float(to_bfloat16(x));
  return dtype == "F16" ? half_to_float(to_half(x)) : x;
}

std::vector<std::string> plain_models() {
  std::vector<std::string> names = all_models();
  std::erase_if(names, [](const std::string& name) { return read_model_config(model_path(name)).quantised(); });
  return names;
}

class DeltaOf : public ::testing::TestWithParam<std::string> {
 protected:
  /// As an export writes it.
  fs::path write(const std::string& name, const Values& values, const ExportPlan& plan) const {
    write_model(directory_ / name, base_.path, plan, rows_of(values));
    return directory_ / name;
  }
  /// The dtype that each parameter is stored in.
  std::map<std::string, std::string> dtypes() const {
    std::map<std::string, std::string> all;
    for_each_tensor(base_.config, all_experts(base_.config), nullptr, [&](const StoredTensor& tensor) {
      for (const Parameter& p : tensor.parameters())
        all[p.name()] = base_.table.parts_of(tensor).front().weights.tensor->dtype_name;
    });
    return all;
  }
  /// The bytes that all of the base's tensors would have.
  std::map<std::string, std::string> expected(const Values& values) const {
    auto all = tensors_of(base_.checkpoint);
    const fs::path written = write("expected", values, plan_export(base_.table, ExportDType::base));
    for (auto& [name, bytes] : tensors_of(Checkpoint(written))) all[name] = bytes;
    return all;
  }

  const OpenModel base_{model_path(GetParam())};
  const Values before_ = values_of(base_.table), after_ = trained(before_, 1);
  const TemporaryDirectory directory_;
  const fs::path delta_ = directory_ / "d.delta";
};

TEST_P(DeltaOf, LeadsThereAndBack) {
  const auto wanted = expected(after_);
  const DeltaCut cut = cut_to(delta_, base_, write("same", after_, plan_export(base_.table, ExportDType::base)));
  const DeltaFile delta(delta_);
  delta.check();
  EXPECT_EQ(delta.base(), hash_of(base_.table));
  EXPECT_EQ(cut.vanished, 0u) << "not to be seen in what is rounded already";

  const OpenModel patched(base_.path, {delta_});
  EXPECT_TRUE(tensors_of(patched.checkpoint) == wanted);
  EXPECT_EQ(hash_of(patched.table), delta.result());

  const fs::path deltas[] = {delta_}, there = directory_ / "there", back = directory_ / "back";
  const AppliedDeltas applied = apply_deltas(base_.path, base_.config, deltas, DeltaDirection::forward, there);
  const OpenModel result(there);
  EXPECT_TRUE(tensors_of(result.checkpoint) == wanted);
  EXPECT_EQ(hash_of(result.table), applied.to);
  apply_deltas(there, base_.config, deltas, DeltaDirection::back, back);
  expect_same_directories(back, base_.path);
}

/// The trained model lies in the layout of the family's hub, in F32, and in several files.
TEST_P(DeltaOf, IsTheSameFromAnotherLayoutAndAWiderDType) {
  const ExportPlan same = plan_export(base_.table, ExportDType::base),
                   other = plan_export(base_.config, base_.path, ExportDType::f32, 40'000);
  cut_to(delta_, base_, write("same", after_, same));
  const DeltaCut cut = cut_to(directory_ / "wide.delta", base_, write("wide", after_, other));
  EXPECT_TRUE(bytes_of_file(delta_) == bytes_of_file(directory_ / "wide.delta"));

  uint64_t bytes = 0, changed = 0, vanished = 0;
  const auto wanted = expected(after_);
  for (const auto& [name, of_base] : tensors_of(base_.checkpoint)) {
    const TensorInfo& tensor = *base_.checkpoint.find(name);
    const uint64_t size = bytes_of_dtype(tensor.dtype_name), elements = tensor.bytes / size;
    uint64_t count = 0;
    for (uint64_t i = 0; i < elements; ++i)
      count += std::memcmp(&of_base[i * size], &wanted.at(name)[i * size], size) == 0 ? 0 : 1;
    changed += count;
    if (count > 0) bytes += std::min((elements + 7) / 8, 4 * count) + count * size;
  }
  EXPECT_EQ(cut.changed, changed);
  EXPECT_EQ(cut.bytes(), bytes);
  const auto dtype_of = dtypes();
  for (const auto& [name, values] : before_)
    for (size_t i = 0; i < values.size(); ++i)
      vanished +=
          values[i] != after_.at(name)[i] && values[i] == rounded(after_.at(name)[i], dtype_of.at(name)) ? 1 : 0;
  ASSERT_FALSE(base_.table.tied_copy()) << "its elements would be counted twice";
  EXPECT_EQ(cut.vanished, vanished);
}

TEST_P(DeltaOf, TwoMonthsLeadThereAndBackInTheirOrder) {
  const Values last = trained(after_, 2);
  const fs::path second = directory_ / "second.delta";
  cut_to(delta_, base_, write("first", after_, plan_export(base_.table, ExportDType::base)));
  const OpenModel middle(base_.path, {delta_});
  cut_to(second, middle, write("second", last, plan_export(base_.table, ExportDType::f32)));
  const fs::path deltas[] = {delta_, second}, wrong[] = {second, delta_};
  const fs::path there = directory_ / "there", back = directory_ / "back";
  apply_deltas(base_.path, base_.config, deltas, DeltaDirection::forward, there);
  EXPECT_TRUE(tensors_of(Checkpoint(there)) == expected(last));
  apply_deltas(there, base_.config, deltas, DeltaDirection::back, back);
  expect_same_directories(back, base_.path);
  EXPECT_TRUE(fails_input({"d.delta", "second.delta", "another order"}, [&] { Checkpoint(base_.path, wrong); }));
  EXPECT_TRUE(fails_input({"second.delta", "wrong base", DeltaFile(second).base(), hash_of(base_.table)}, [&] {
    apply_deltas(base_.path, base_.config, {&second, 1}, DeltaDirection::forward, directory_ / "none");
  }));
  EXPECT_TRUE(fails_input({"d.delta", "wrong model", DeltaFile(delta_).result()}, [&] {
    apply_deltas(base_.path, base_.config, {&delta_, 1}, DeltaDirection::back, directory_ / "none");
  }));
  EXPECT_FALSE(fs::exists(directory_ / "none"));
}

/// What training goes on from.
TEST_P(DeltaOf, KeepsTheValuesBeforeRounding) {
  const DeltaCut cut =
      cut_to(delta_, base_, write("wide", after_, plan_export(base_.config, base_.path, ExportDType::f32)), true);
  DeltaFile(delta_).check();
  const OpenModel patched(base_.path, {delta_});
  ThreadPool pool(2);
  Values read;
  std::mutex mutex;
  const PartsRead parts = read_parameters(
      {Device::cpu, &pool, {}}, patched.table, DType::f32, all_experts(base_.config), nullptr,
      [&](const StoredTensor& tensor, ConstView values) {
        const std::lock_guard lock(mutex);
        const auto* first = values.as<float>();
        for (const Parameter& p : tensor.parameters()) {
          read[p.name()].assign(first, first + p.shape.elements());
          first += p.shape.elements();
        }
      },
      ReadValues::masters);
  EXPECT_TRUE(read == after_);
  EXPECT_EQ(combine_hashes(parts.hashes).hex(), cut.result);
  if (cut.masters == 0)
    EXPECT_EQ(cut.master, std::nullopt) << "rounding changes nothing";
  else
    EXPECT_EQ(combine_hashes(parts.hashes_of_masters).hex(), cut.master);
  EXPECT_EQ(DeltaFile(delta_).num_masters(), cut.masters);
}

TEST_P(DeltaOf, ChangesAreCountedWhileAModelIsWritten) {
  for (const ExportDType dtype : {ExportDType::base, ExportDType::bf16, ExportDType::f32}) {
    ExportChanges changes(base_.path, {}, base_.config);
    const ExportPlan plan = plan_export(base_.table, dtype);
    write_model(directory_ / "out", base_.path, plan, rows_of(after_),
                [&](const auto&... seen) { changes.see(seen...); });
    const auto dtype_of = dtypes();
    int64_t changed = 0, vanished = 0, elements = 0;
    for (const auto& [parameter, values] : before_) {
      const std::string written = !plan.dtype ? dtype_of.at(parameter) : *plan.dtype == DType::f32 ? "F32" : "BF16";
      for (size_t i = 0; i < values.size(); ++i, ++elements) {
        const float now = after_.at(parameter)[i];
        if (now == values[i]) continue;
        ++(rounded(now, written) == rounded(values[i], written) ? vanished : changed);
      }
    }
    EXPECT_EQ(changes.elements(), elements);
    EXPECT_EQ(changes.changed(), changed);
    EXPECT_EQ(changes.vanished(), vanished);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DeltaOf, ::testing::ValuesIn(plain_models()),
                         [](const auto& each) { return test_name(each.param); });

class DeltaModelTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const Values& values, ExportDType dtype = ExportDType::base) const {
    write_model(directory_ / name, base_.path, plan_export(base_.table, dtype), rows_of(values));
    return directory_ / name;
  }

  const OpenModel base_{model_path("qwen3moe-transposed")};
  const Values before_ = values_of(base_.table), after_ = trained(before_, 1);
  const TemporaryDirectory directory_;
  const fs::path delta_ = directory_ / "d.delta";
};

TEST_F(DeltaModelTest, OfNothingIsADelta) {
  const DeltaCut cut = cut_to(delta_, base_, write("same", before_));
  EXPECT_EQ(cut.changed, 0u);
  EXPECT_EQ(cut.base, cut.result);
  EXPECT_TRUE(DeltaFile(delta_).tensors().empty());
  apply_deltas(base_.path, base_.config, {&delta_, 1}, DeltaDirection::forward, directory_ / "out");
  expect_same_directories(directory_ / "out", base_.path);
}

/// Whoever reads, and in whichever way, learns what was wrong.
TEST_F(DeltaModelTest, ADamagedDeltaIsRefused) {
  cut_to(delta_, base_, write("other", after_));
  std::string bytes = bytes_of_file(delta_);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes[sizeof header + header] ^= 2;  // of a changed element
  directory_.write("d.delta", bytes);
  EXPECT_TRUE(fails_input({"d.delta", "leads on to", "damaged"}, [&] {
    apply_deltas(base_.path, base_.config, {&delta_, 1}, DeltaDirection::forward, directory_ / "out");
  }));
  const OpenModel patched(base_.path, {delta_});
  const Hash128 found = hash_without_deltas(OpenModel(base_.path).table);
  EXPECT_TRUE(fails_input({"d.delta", "it is damaged", DeltaFile(delta_).result()}, [&] {
    require_result(base_.config, base_.path, {&delta_, 1}, found);
  }));
  EXPECT_FALSE(fs::exists(directory_ / "out"));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 2) << "nothing is left of it";
}

TEST_F(DeltaModelTest, AnotherBaseIsNamed) {
  cut_to(delta_, base_, write("other", after_));
  const fs::path other = write("another", trained(before_, 7));
  const OpenModel patched(other, {delta_});
  const OpenModel plain(other);
  ASSERT_NE(hash_of(patched.table), DeltaFile(delta_).result());
  EXPECT_TRUE(fails_input({"wrong base", hash_of(plain.table), DeltaFile(delta_).base()}, [&] {
    require_result(base_.config, other, {&delta_, 1}, hash_without_deltas(patched.table));
  }));
  const fs::path far = model_path("mixtral-sharded");
  EXPECT_TRUE(fails_input({"d.delta", "tensor "}, [&] { Checkpoint(far, {&delta_, 1}); }));
}

TEST_F(DeltaModelTest, ModelsThatCannotBeComparedAreNamed) {
  const OpenModel codes(model_path("gptoss-mxfp4"));
  EXPECT_TRUE(
      fails_input({"tensor ", "_blocks", "codes with scales"}, [&] { plan_cut(codes.table, codes.table, false); }));
  const OpenModel other(model_path("qwen3moe-window"));
  EXPECT_TRUE(fails_input({"config.json", "another model"}, [&] { plan_cut(base_.table, other.table, false); }));
  const OpenModel narrow(write("narrow", after_, ExportDType::bf16));
  EXPECT_TRUE(fails_input({"--keep-master", "F32", "BF16", "--export f32"},
                          [&] { plan_cut(base_.table, narrow.table, true); }));
  cut_to(delta_, base_, narrow.path);
  fs::create_directory(directory_ / "there");
  EXPECT_TRUE(fails(ExitCode::output, {"there", "already"}, [&] {
    apply_deltas(base_.path, base_.config, {&delta_, 1}, DeltaDirection::forward, directory_ / "there");
  }));
}

/// A head that is tied and stored all the same changes with the embeddings.
TEST_F(DeltaModelTest, ATiedCopyFollows) {
  const OpenModel tied(model_path("switchyard-tied"));
  std::vector<RawTensor> tensors;
  for (const auto& [name, tensor] : tied.checkpoint.tensors())
    tensors.push_back({name, tensor.dtype_name, tensor.shape, bytes_of(tied.checkpoint, tensor)});
  RawTensor head = *std::ranges::find(tensors, "model.embed_tokens.weight", &RawTensor::name);
  head.name = "lm_head.weight";
  tensors.push_back(head);
  fs::create_directory(directory_ / "model");
  fs::copy_file(tied.path / "config.json", directory_ / "model/config.json");
  write_raw_safetensors(directory_ / "model/model.safetensors", tensors);
  const OpenModel base(directory_ / "model");
  const Values after = trained(values_of(base.table), 3);
  // Where the trained model has no copy as well.
  write_model(directory_ / "other", tied.path, plan_export(tied.table, ExportDType::base), rows_of(after));
  cut_to(delta_, base, directory_ / "other");
  const OpenModel patched(base.path, {delta_});
  EXPECT_NO_THROW(check_tied_copy(patched.table));
  EXPECT_TRUE(values_of(patched.table) == values_of(directory_ / "other"));
}

/// What no hash would prove is not patched.
TEST_F(DeltaModelTest, TensorsOfNoPartOfTheModelStayAsTheyAre) {
  const OpenModel vision(model_path("qwen3vlmoe"));
  ASSERT_FALSE(vision.table.skipped().empty());
  const TensorInfo& skipped = *vision.checkpoint.find(vision.table.skipped().front());
  const DeltaPart part{.model = skipped, .changed = 1};
  const uint32_t bits = 1;
  {
    const std::string hash(32, 'a');
    DeltaWriter writer(delta_, {&part, 1},
                       {{"format", std::string(kDeltaFormat)},
                        {"base", hash},
                        {"result", hash},
                        {"base_tensors", "1"},
                        {"base_elements", "1"},
                        {"base_bytes", "1"},
                        {"changed", "1"}});
    writer.begin_part();
    writer.change(0, std::as_bytes(std::span(&bits, 1)).first(bytes_of_dtype(skipped.dtype_name)));
    writer.end_part();
    writer.finish();
  }
  EXPECT_TRUE(fails_input({skipped.name, "changed by a delta"}, [&] { OpenModel(vision.path, {delta_}); }));
}

TEST_F(DeltaModelTest, TwoAreCompared) {
  const Values other = trained(before_, 5);
  const fs::path second = directory_ / "second.delta", third = directory_ / "third.delta";
  cut_to(delta_, base_, write("a", after_));
  cut_to(second, base_, write("b", other));
  const DeltaDifference found = compare_deltas(DeltaFile(delta_), DeltaFile(second));
  EXPECT_FALSE(found.successive);
  const auto base = tensors_of(base_.checkpoint), a = tensors_of(Checkpoint(directory_ / "a")),
             b = tensors_of(Checkpoint(directory_ / "b"));
  DeltaOverlap wanted;
  for (const auto& [name, bytes] : base) {
    const uint64_t size = bytes_of_dtype(base_.checkpoint.find(name)->dtype_name);
    for (size_t at = 0; at < bytes.size(); at += size) {
      const auto of = [&](const auto& model) { return model.at(name).substr(at, size); };
      const bool in_a = of(a) != of(base), in_b = of(b) != of(base);
      wanted.only_first += in_a && !in_b ? 1 : 0;
      wanted.only_second += !in_a && in_b ? 1 : 0;
      wanted.alike += in_a && in_b && of(a) == of(b) ? 1 : 0;
      wanted.otherwise += in_a && in_b && of(a) != of(b) ? 1 : 0;
    }
  }
  EXPECT_EQ(found.all.only_first, wanted.only_first);
  EXPECT_EQ(found.all.only_second, wanted.only_second);
  EXPECT_EQ(found.all.alike, wanted.alike);
  EXPECT_EQ(found.all.otherwise, wanted.otherwise);
  EXPECT_GT(wanted.alike + wanted.otherwise, 0u);

  // Back again: all that the first changes is taken back.
  cut_to(third, OpenModel(base_.path, {delta_}), base_.path);
  const DeltaDifference back = compare_deltas(DeltaFile(delta_), DeltaFile(third));
  EXPECT_TRUE(back.successive);
  EXPECT_EQ(back.all.alike, DeltaFile(delta_).num_changed());
  EXPECT_EQ(back.all.only_first + back.all.only_second + back.all.otherwise, 0u);
  // From one trained model to the other: of another base, and before or after neither.
  cut_to(third, OpenModel(directory_ / "b"), directory_ / "a");
  EXPECT_TRUE(fails_input({"one base", DeltaFile(delta_).base(), DeltaFile(third).base()},
                          [&] { compare_deltas(DeltaFile(delta_), DeltaFile(third)); }));
}

}  // namespace
}  // namespace switchyard::test
