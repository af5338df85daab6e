// The benchmark's model and input: random, the same on every machine.
#pragma once

#include <filesystem>

namespace switchyard::bench {

/// Qwen3-MoE, d 1024, 4 layers, 16/4 heads × 64, 128 experts, k 4, f 512, vocabulary 32,000, bf16: 882 M
/// parameters, 1.8 GB.
void write_perf_checkpoint(const std::filesystem::path& directory);

/// `num_records` records of 1024 random tokens.
void write_perf_input(const std::filesystem::path& path, int num_records);

}  // namespace switchyard::bench
