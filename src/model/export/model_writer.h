// A model in memory as a Hugging Face directory.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "model/export/export_plan.h"

namespace switchyard {

/// Sees the values of a piece, as they come, before they are written.
using SeePiece = std::function<void(const ExportTensor& tensor, std::span<const ParameterRows> piece,
                                    std::span<const float> values)>;

/// Writes what the plan says, with config.json and the files that belong to it (base_files.h) from where the model
/// began: `origin`, a model's directory or a config.json. The rows are asked for in the plan's order, by the calling
/// thread, all of them also when nothing can be written any more: other ranks, which send theirs in that order, come to
/// the end before the error is thrown; what `see` throws is such an error. Values are rounded to nearest, ties to even.
/// Takes plan.working_bytes() of memory.
///
/// The directory is complete or not there, whenever the writer is killed; an old one is replaced. Fails (input) when
/// the origin's files cannot be read, (output) when nothing can be written, and on a value that its tensor's dtype has
/// no finite number for, naming tensor and index.
void write_model(const std::filesystem::path& directory, const std::filesystem::path& origin, const ExportPlan& plan,
                 const RowSource& source, const SeePiece& see = {});

}  // namespace switchyard
