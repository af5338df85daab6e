// The CPU's instruction set as oneDNN uses it: part of the numerics id.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace switchyard {

/// Names accepted by --cpu-isa, weakest first: avx2, avx512 (AVX-512 core), avx512_vnni, avx512_bf16.
std::span<const std::string_view> cpu_isa_names();

/// The strongest of these that this CPU has; fails (environment) without AVX2 and FMA.
std::string_view detected_cpu_isa();

/// Pins products to `name` ("auto": the detected one). Once, before the first product; fails (environment) when this
/// CPU lacks it, (usage) when the name is unknown.
void set_cpu_isa(std::string_view name);
std::string_view current_cpu_isa();

/// Whether bf16 products run natively in the current instruction set.
bool has_native_bf16();

/// oneDNN's version and revision, "2.6.0+…".
std::string onednn_version();

}  // namespace switchyard
