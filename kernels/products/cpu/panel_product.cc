#include "kernels/products/cpu/panel_product.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "base/memory.h"
#include "base/rng.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/cpu_isa.h"

namespace switchyard {
namespace {

using Format = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

// Large tiles amortise the pass over the weights, small ones waste little on a remainder. AVX-512 kernels agree for any
// size, so that all multiples of eight are there; AVX2's need multiples of six.
std::vector<int64_t> multiples_of_eight() {
  std::vector<int64_t> sizes;
  for (int64_t rows = kMaxTileRows; rows > 0; rows -= 8) sizes.push_back(rows);
  return sizes;
}

const std::vector<std::vector<int64_t>> kTileSizes = {multiples_of_eight(), {126, 66, 36, 6}, {120, 72, 48, 24}};

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

// oneDNN chooses its blocking by the number of OpenMP threads, a setting of each thread: one, everywhere.
dnnl::stream& one_thread_stream() {
  thread_local dnnl::stream stream = [] {
    omp_set_num_threads(1);
    return dnnl::stream(engine());
  }();
  return stream;
}

/// A tile's operands as oneDNN takes them, made once a thread: making them takes as long as a small product.
struct Operands {
  explicit Operands(const dnnl::matmul::primitive_desc& desc)
      : memories{dnnl::memory(desc.src_desc(), engine(), nullptr), dnnl::memory(desc.weights_desc(), engine(), nullptr),
                 dnnl::memory(desc.dst_desc(), engine(), nullptr),
                 dnnl::memory(desc.scratchpad_desc(), engine(), nullptr)},
        list{{{DNNL_ARG_SRC, memories[0].get()},
              {DNNL_ARG_WEIGHTS, memories[1].get()},
              {DNNL_ARG_DST, memories[2].get()},
              {DNNL_ARG_SCRATCHPAD, memories[3].get()}}} {}

  std::array<dnnl::memory, 4> memories;
  std::array<dnnl_exec_arg_t, 4> list;
};

Operands& operands_of(uint64_t tile, const dnnl::matmul::primitive_desc& desc) {
  thread_local std::unordered_map<uint64_t, std::unique_ptr<Operands>> all;
  std::unique_ptr<Operands>& operands = all[tile];
  if (!operands) operands = std::make_unique<Operands>(desc);
  return *operands;
}

uint64_t next_tile() {
  static std::atomic<uint64_t> next = 0;
  return next++;
}

Type onednn_type(DType dtype) {
  return dtype == DType::bf16 ? Type::bf16 : Type::f32;
}

dnnl::memory at(const dnnl::memory::desc& desc, const void* data) {
  return {desc, engine(), const_cast<void*>(data)};
}

// AVX2 products read plain weights; rows of a power of two of bytes would fall on few cache sets, at half the speed.
dnnl::memory::desc weights_request(int64_t n, int64_t k, Type type) {
  if (current_cpu_isa() == "avx2") return {{k, n}, type, dnnl::memory::dims{n + 16, 1}};
  return {{k, n}, type, Format::any};
}

// As oneDNN describes it; none where that is of another kind.
std::optional<PanelLayout> layout_of(const dnnl::memory::desc& weights) {
  const dnnl_blocking_desc_t& desc = weights.data.format_desc.blocking;
  const std::span strides(desc.strides, 2), blocks(desc.inner_blks, 3), dims(desc.inner_idxs, 3);
  const int64_t n = weights.data.dims[1];
  if (weights.data.format_kind != dnnl_blocked || weights.data.offset0 != 0) return {};
  if (desc.inner_nblks == 0 && strides[1] == 1) return PanelLayout{n, 0, strides[0], 1};
  if (desc.inner_nblks < 2 || dims[0] != 0 || dims[1] != 1) return {};
  const bool pairs = desc.inner_nblks == 3 && dims[2] == 0 && blocks[2] == 2;
  const int64_t together = pairs ? 2 : 1, row = blocks[1] * together;
  if (desc.inner_nblks != (pairs ? 3 : 2) || strides[0] != blocks[0] * row) return {};
  return PanelLayout{blocks[1], strides[1], row, together};
}

void widen(const std::byte* from, int64_t count, std::byte* to) {
  const auto* narrow = reinterpret_cast<const BFloat16*>(from);
  auto* wide = reinterpret_cast<float*>(to);
  for_lanes(count, [&](int64_t i, auto read, auto write) { write(wide + i, read(narrow + i)); });
}

}  // namespace

const PanelProduct& PanelProduct::of(int64_t n, int64_t k, DType operand) {
  static std::mutex mutex;
  static std::map<std::tuple<int64_t, int64_t, DType>, std::unique_ptr<const PanelProduct>> products;
  const std::lock_guard lock(mutex);
  auto& product = products[{n, k, operand}];
  if (!product) product = std::make_unique<const PanelProduct>(n, k, operand);
  return *product;
}

PanelProduct::PanelProduct(int64_t n, int64_t k, DType operand)
    : n_(n), k_(k), operand_(operand), emulated_(operand == DType::bf16 && !has_native_bf16()) {
  SWITCHYARD_CHECK(n >= 1 && n <= kPanelColumns && k >= 1, "a product of {} outputs, {} inputs", n, k);
  SWITCHYARD_CHECK(operand == DType::f32 || operand == DType::bf16, "a product of {}", name_of(operand));
  product_type_ = emulated_ ? DType::f32 : operand;
  one_thread_stream();
  for (const auto& sizes : kTileSizes) {
    make_tiles(sizes);
    bool agree = true;
    // Few outputs agree by chance now and then: the narrower the product, the more rows are tried.
    const auto num_rows = static_cast<uint64_t>(std::clamp<int64_t>(64 / n, 1, 16));
    for (uint64_t row = 0; agree && row < num_rows; ++row) agree = row_agrees(row);
    if (!agree) continue;
    find_layout();
    return;
  }
  fail(ExitCode::environment,
       "oneDNN {} on {}: {} product of {} outputs, {} inputs: a row's bits depend on its place in every "
       "tile size tried",
       onednn_version(), current_cpu_isa(), name_of(operand), n, k);
}

void PanelProduct::make_tiles(const std::vector<int64_t>& sizes) {
  constexpr size_t kGeneratedCode = 64 << 20;  // of which oneDNN takes for granted that there is room
  require_address_space(kGeneratedCode);
  const Type type = onednn_type(product_type_);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  tiles_.clear();
  for (const int64_t rows : sizes) {
    const auto weights = tiles_.empty() ? weights_request(n_, k_, type) : tiles_[0].desc.weights_desc();
    const dnnl::matmul::desc desc({{rows, k_}, type, Format::ab}, weights, {{rows, n_}, Type::f32, Format::ab});
    const dnnl::matmul::primitive_desc primitive_desc(desc, attributes, engine());
    tiles_.push_back({rows, next_tile(), primitive_desc, dnnl::matmul(primitive_desc)});
  }
  const size_t product_bytes = tiles_[0].desc.weights_desc().get_size();
  panel_bytes_ = emulated_ ? product_bytes / 2 : product_bytes;
  size_t scratchpad = 0;
  for (const Tile& tile : tiles_) scratchpad = std::max(scratchpad, tile.desc.scratchpad_desc().get_size());
  workspace_bytes_ = staging_bytes() + scratchpad;
}

// Believed if packing gives the bytes of oneDNN's own reordering.
void PanelProduct::find_layout() {
  const std::optional<PanelLayout> layout = layout_of(tiles_[0].desc.weights_desc());
  if (!layout) return;
  std::vector<float> w(static_cast<size_t>(n_ * k_));
  for (size_t i = 0; i < w.size(); ++i) w[i] = 2 * random_uniform(1, i) - 1;
  std::vector<std::byte> packed(panel_bytes()), reordered(panel_bytes());
  pack_part({w.data(), k_, 1, 0, n_}, k_, *layout, operand_, packed.data());
  reorder(w.data(), reordered.data());
  if (packed == reordered) layout_ = layout;
}

// One random row (another for each seed), everywhere in every tile, against random weights.
bool PanelProduct::row_agrees(uint64_t seed) const {
  const int64_t max_rows = tiles_[0].rows;
  std::vector<float> w(static_cast<size_t>(n_ * k_)), y(static_cast<size_t>(max_rows * n_));
  for (size_t i = 0; i < w.size(); ++i) w[i] = 2 * random_uniform(1, i) - 1;
  std::vector<std::byte> panel(tiles_[0].desc.weights_desc().get_size() + 64), scratchpad;
  auto* aligned = panel.data() + (64 - std::bit_cast<uintptr_t>(panel.data()) % 64) % 64;
  reorder_for_product(w.data(), aligned);
  std::vector<std::byte> x(static_cast<size_t>(max_rows * k_) * size_of(product_type_));
  for (int64_t i = 0; i < max_rows * k_; ++i) {
    const float value = 2 * random_uniform(2 + seed, static_cast<uint64_t>(i % k_)) - 1;
    if (product_type_ == DType::f32)
      reinterpret_cast<float*>(x.data())[i] = value;
    else
      reinterpret_cast<BFloat16*>(x.data())[i] = to_bfloat16(value);
  }
  std::vector<float> first;
  const auto row_bytes = static_cast<size_t>(n_) * sizeof(float);
  for (const Tile& tile : tiles_) {
    scratchpad.resize(tile.desc.scratchpad_desc().get_size());
    execute(tile, x.data(), aligned, y.data(), scratchpad.data());
    if (first.empty()) first.assign(y.begin(), y.begin() + n_);
    for (int64_t r = 0; r < tile.rows; ++r)
      if (std::memcmp(y.data() + r * n_, first.data(), row_bytes) != 0) return false;
  }
  return true;
}

void PanelProduct::reorder_for_product(const float* w, std::byte* panel) const {
  const dnnl::memory::desc target = tiles_[0].desc.weights_desc();
  dnnl::memory from = at({{k_, n_}, Type::f32, Format::ba}, w), to = at(target, panel);
  dnnl::stream& stream = one_thread_stream();
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
}

// oneDNN's own way: w [n, k] f32, row-major.
void PanelProduct::reorder(const float* w, std::byte* panel) const {
  if (!emulated_) return reorder_for_product(w, panel);
  std::vector<float> wide(panel_bytes() / sizeof(BFloat16));
  reorder_for_product(w, reinterpret_cast<std::byte*>(wide.data()));
  auto* narrow = reinterpret_cast<BFloat16*>(panel);
  for_lanes(static_cast<int64_t>(wide.size()),
            [&](int64_t i, auto read, auto write) { write(narrow + i, read(wide.data() + i)); });
}

void PanelProduct::pack(std::span<const PanelPart> parts, std::byte* panel) const {
  const auto pack_parts = [&](const PanelLayout& layout, DType stored, std::byte* to) {
    for (const PanelPart& part : parts) pack_part(part, k_, layout, stored, to);
  };
  if (layout_) return pack_parts(*layout_, operand_, panel);
  std::vector<float> rows(static_cast<size_t>(n_ * k_));
  pack_parts({.outputs = 1, .block_stride = k_, .input_stride = 1, .together = 1}, DType::f32,
             reinterpret_cast<std::byte*>(rows.data()));
  reorder(rows.data(), panel);
}

void PanelProduct::unpack(const std::byte* panel, std::span<const PanelRows> parts) const {
  if (layout_) {
    for (const PanelRows& rows : parts) unpack_part(panel, *layout_, operand_, k_, rows);
    return;
  }
  std::vector<std::byte> widened(widened_bytes());
  std::vector<float> w(static_cast<size_t>(n_ * k_));
  dnnl::memory from = at(tiles_[0].desc.weights_desc(), prepare(panel, widened.data())),
               to = at({{k_, n_}, Type::f32, Format::ba}, w.data());
  dnnl::stream& stream = one_thread_stream();
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
  for (const PanelRows& rows : parts) std::copy_n(w.data() + rows.first * k_, rows.count * k_, rows.w);
}

const std::byte* PanelProduct::prepare(const std::byte* panel, std::byte* widened) const {
  if (!emulated_) return panel;
  widen(panel, static_cast<int64_t>(panel_bytes() / sizeof(BFloat16)), widened);
  return widened;
}

// The largest tile of which at most an eighth would be computed in vain: it is faster a row by about as much. But none
// larger than the rows need.
const PanelProduct::Tile& PanelProduct::tile_for(int64_t rows) const {
  const int64_t smallest = tiles_.back().rows;
  const int64_t least_work = (rows + smallest - 1) / smallest * smallest;
  auto tile = std::find_if(tiles_.begin(), tiles_.end(), [&](const Tile& t) { return 8 * least_work >= 7 * t.rows; });
  while (std::next(tile) != tiles_.end() && std::next(tile)->rows >= least_work) ++tile;
  return *tile;
}

// For rows that are not used in place: those of a last tile, or all while they are widened.
size_t PanelProduct::staging_bytes() const {
  return (static_cast<size_t>(tiles_[0].rows * k_) * size_of(product_type_) + 63) / 64 * 64;
}

const std::byte* PanelProduct::stage(const std::byte* x, int64_t rows, int64_t tile_rows, std::byte* staging) const {
  if (!emulated_ && rows == tile_rows) return x;
  if (emulated_) widen(x, rows * k_, staging);
  const size_t row_bytes = static_cast<size_t>(k_) * size_of(product_type_);
  const size_t used = static_cast<size_t>(rows) * row_bytes;
  if (!emulated_) std::memcpy(staging, x, used);
  std::memset(staging + used, 0, static_cast<size_t>(tile_rows) * row_bytes - used);
  return staging;
}

void PanelProduct::run(const std::byte* x, int64_t rows, const std::byte* prepared, float* out,
                       std::byte* workspace) const {
  std::byte* scratchpad = workspace + staging_bytes();
  while (rows > 0) {
    const Tile& tile = tile_for(rows);
    const int64_t used = std::min(rows, tile.rows);
    execute(tile, stage(x, used, tile.rows, workspace), prepared, out, scratchpad);
    x += static_cast<size_t>(used * k_) * size_of(operand_);
    out += used * n_;
    rows -= used;
  }
}

void PanelProduct::execute(const Tile& tile, const std::byte* x, const std::byte* prepared, float* out,
                           std::byte* scratchpad) const {
  Operands& operands = operands_of(tile.id, tile.desc);
  const void* const data[] = {x, prepared, out, scratchpad};
  for (size_t i = 0; i < operands.memories.size(); ++i)
    operands.memories[i].set_data_handle(const_cast<void*>(data[i]));
  dnnl::error::wrap_c_api(dnnl_primitive_execute(tile.primitive.get(), one_thread_stream().get(),
                                                 static_cast<int>(operands.list.size()), operands.list.data()),
                          "a product");
}

}  // namespace switchyard
