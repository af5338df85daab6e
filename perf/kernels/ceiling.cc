#include "ceiling.h"

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <dnnl.hpp>
#include <thread>
#include <vector>

#include "kernels/cpu_isa.h"

namespace switchyard::bench {
namespace {

using Format = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

constexpr int64_t kSize = 2048;
constexpr int kRuns = 5;

/// [rows, 2048] · [2048, 2048], made and run with the calling thread's number of OpenMP threads.
class Product {
 public:
  Product(int64_t rows, Type type)
      : engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_),
        desc_(dnnl::matmul::desc({{rows, kSize}, type, Format::ab}, {{kSize, kSize}, type, Format::any},
                                 {{rows, kSize}, Type::f32, Format::ab}),
              engine_),
        matmul_(desc_),
        x_(desc_.src_desc(), engine_),
        w_(desc_.weights_desc(), engine_),
        y_(desc_.dst_desc(), engine_) {
    for (const dnnl::memory& m : {x_, w_}) {  // ones
      auto* values = static_cast<uint16_t*>(m.get_data_handle());
      std::fill_n(values, m.get_desc().get_size() / 2, uint16_t{0x3f80});
    }
  }

  void run() {
    matmul_.execute(stream_, {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, w_}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul::primitive_desc desc_;
  dnnl::matmul matmul_;
  dnnl::memory x_, w_, y_;
};

template <class Run>
double best_seconds(const Run& run) {
  double best = 1e30;
  for (int i = 0; i < kRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

template <class Run>
double best_gflops(const Run& run) {
  return 2e-9 * kSize * kSize * kSize / best_seconds(run);
}

double with_pool(const Stream& stream, Type type) {
  const int threads = stream.pool->num_threads();
  std::vector<std::unique_ptr<Product>> products;
  std::thread([&] {
    omp_set_num_threads(1);
    for (int i = 0; i < threads; ++i) products.push_back(std::make_unique<Product>(kSize / threads, type));
  }).join();
  return best_gflops([&] {
    stream.parallel_for(threads, [&](int64_t i, int) {
      omp_set_num_threads(1);
      products[static_cast<size_t>(i)]->run();
    });
  });
}

double with_own_threads(int threads, Type type) {
  double gflops = 0;
  std::thread([&] {
    omp_set_num_threads(threads);
    Product product(kSize, type);
    gflops = best_gflops([&] { product.run(); });
  }).join();
  return gflops;
}

void fill_past_caches(std::byte* to, size_t bytes) {
  const __m256i ones = _mm256_set1_epi8(1);
  for (size_t i = 0; i < bytes; i += sizeof ones) _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i), ones);
  _mm_sfence();
}

constexpr int64_t kParts = 64;
constexpr size_t kPart = size_t{4} << 20;

/// GB/s of what write(to, from) writes, kPart bytes a time.
template <class Write>
double in_parts(const Stream& stream, const Write& write) {
  const Memory to(kParts * kPart), from(kParts * kPart);
  std::memset(from.data(), 1, from.size());  // pages of its own
  return 1e-9 * kParts * kPart / best_seconds([&] {
           stream.parallel_for(kParts, [&](int64_t part, int) {
             const size_t offset = static_cast<size_t>(part) * kPart;
             write(to.data() + offset, from.data() + offset);
           });
         });
}

}  // namespace

double ceiling_gflops(const Stream& stream, DType dtype) {
  current_cpu_isa();  // pins it before oneDNN looks
  // Without native bf16, what can be reached is what f32 reaches.
  const Type type = dtype == DType::bf16 && has_native_bf16() ? Type::bf16 : Type::f32;
  return std::max(with_pool(stream, type), with_own_threads(stream.pool->num_threads(), type));
}

double ceiling_write_gbytes(const Stream& stream) {
  return std::max(in_parts(stream, [](std::byte* to, const std::byte*) { std::memset(to, 1, kPart); }),
                  in_parts(stream, [](std::byte* to, const std::byte*) { fill_past_caches(to, kPart); }));
}

double ceiling_copy_gbytes(const Stream& stream) {
  return 2 * in_parts(stream, [](std::byte* to, const std::byte* from) { std::memcpy(to, from, kPart); });
}

}  // namespace switchyard::bench
