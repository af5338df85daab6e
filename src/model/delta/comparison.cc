#include "model/delta/comparison.h"

#include <algorithm>

#include "model/checkpoint/checkpoint_rows.h"
#include "model/export/piece_encoder.h"

namespace switchyard {
namespace {

/// Deltas are of numbers.
void refuse_codes(const TensorTable& base) {
  constexpr std::array kOne = {0};
  for_each_tensor(base.config(), kOne, nullptr, [&](const StoredTensor& tensor) {
    for (const TensorPart& part : base.parts_of(tensor))
      if (part.scales)
        fail(ExitCode::input,
             "tensor {}: {} codes with scales, expected a base in F32, BF16 or F16: deltas are of numbers",
             part.weights.tensor->name, part.weights.tensor->dtype_name);
  });
}

/// The same model as far as tensors go: then every row that is asked for is there.
void require_same_shapes(const TensorTable& base, const TensorTable& trained) {
  ModelConfig of_trained = trained.config();
  of_trained.storage = base.config().storage;
  if (of_trained == base.config()) return;
  fail(ExitCode::input,
       "the trained model's config.json says another model than the base's ({} and {}): expected the same but for "
       "dtypes",
       config_hash(trained.config()).hex(), config_hash(base.config()).hex());
}

}  // namespace

void compare_models(const TensorTable& base, const TensorTable& trained,
                    const std::function<void(const ComparedPiece&)>& visit) {
  refuse_codes(base);
  require_same_shapes(base, trained);
  const ExportPlan plan = plan_export(base, ExportDType::base);
  CheckpointRows rows(trained);
  const RowSource source = [&rows](const ParameterRows& wanted, std::span<float> out) { rows(wanted, out); };
  PieceEncoder encoder;
  std::vector<std::byte> stored;
  std::vector<float> rounded;
  for (const ExportFile& file : plan.files)
    for (const ExportTensor& tensor : file.tensors) {
      const TensorInfo& info = *base.checkpoint().find(tensor.spec.name);
      uint64_t first = 0;
      for_each_piece(tensor, [&](std::span<const ParameterRows> piece) {
        const PieceEncoder::Stored result = encoder.encode(tensor, first, encoder.fetch(piece, source));
        const auto of_base = first_of(stored, result.bytes.size());
        base.checkpoint().read(info, first * size_of(tensor.spec.dtype), of_base);
        const auto back = first_of(rounded, result.values.size());
        find_dtype(kPlainDTypes, info.dtype_name)->decode(result.bytes, {}, back);
        visit({info, first, of_base, result.bytes, result.values, back});
        first += result.values.size();
      });
    }
}

}  // namespace switchyard
