// Dense products by cuBLASLt. It works on column-major matrices: what is row-major [r, c] here is [c, r] to it, and
// y = x Wᵀ is yᵀ = W xᵀ.
#include <array>
#include <map>
#include <mutex>
#include <vector>

#include "base/device.h"
#include "base/handle.h"
#include "kernels/products/cuda/cublas_library.h"
#include "kernels/products/cuda/dense.h"

namespace switchyard::cuda {
namespace {

void check_cublas(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ExitCode::environment, "cuBLASLt: {} from {} at {}:{}", cublas().cublasLtGetStatusString(status), call, file,
       line);
}
#define SWITCHYARD_CUBLAS_CALL(call) check_cublas(call, #call, __FILE__, __LINE__)

struct DescTraits {
  using type = cublasLtMatmulDesc_t;
  static type null() { return nullptr; }
  static void destroy(type desc) noexcept { cublas().cublasLtMatmulDescDestroy(desc); }
};
struct LayoutTraits {
  using type = cublasLtMatrixLayout_t;
  static type null() { return nullptr; }
  static void destroy(type layout) noexcept { cublas().cublasLtMatrixLayoutDestroy(layout); }
};
struct PreferenceTraits {
  using type = cublasLtMatmulPreference_t;
  static type null() { return nullptr; }
  static void destroy(type preference) noexcept { cublas().cublasLtMatmulPreferenceDestroy(preference); }
};

/// Of the calling thread's device. Handles live as long as the process: at its end CUDA may be gone before them.
cublasLtHandle_t handle_of(int device_index) {
  static std::mutex mutex;
  static auto& handles = *new std::map<int, cublasLtHandle_t>;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = handles.try_emplace(device_index, nullptr);
  if (entry->second == nullptr) SWITCHYARD_CUBLAS_CALL(cublas().cublasLtCreate(&entry->second));
  return entry->second;
}

/// Descriptions of one product's matrices.
class Matrices {
 public:
  Matrices(const DenseShape& w, int64_t rows) {
    const cudaDataType_t type = w.operand == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
    cublasLtMatmulDesc_t desc = nullptr;
    SWITCHYARD_CUBLAS_CALL(cublas().cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    desc_.reset(desc);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    SWITCHYARD_CUBLAS_CALL(
        cublas().cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed));
    w_ = layout(type, w.k, w.n, rounded_up(w.k, Matrix::kColumnMultiple));
    x_ = layout(type, w.k, rows, w.k);
    y_ = layout(CUDA_R_32F, w.n, rows, w.n);
  }
  cublasLtMatmulDesc_t desc() const { return desc_.get(); }
  cublasLtMatrixLayout_t w() const { return w_.get(); }
  cublasLtMatrixLayout_t x() const { return x_.get(); }
  cublasLtMatrixLayout_t y() const { return y_.get(); }

 private:
  static Handle<LayoutTraits> layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t stride) {
    cublasLtMatrixLayout_t layout = nullptr;
    SWITCHYARD_CUBLAS_CALL(cublas().cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(rows),
                                                               static_cast<uint64_t>(columns), stride));
    return Handle<LayoutTraits>(layout);
  }
  Handle<DescTraits> desc_;
  Handle<LayoutTraits> w_, x_, y_;
};

template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  SWITCHYARD_CUBLAS_CALL(cublas().cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
}

/// What cuBLASLt proposes, best first, of these ways to add up parts of k.
std::vector<cublasLtMatmulAlgo_t> proposals(cublasLtHandle_t handle, const Matrices& m, uint32_t reduction_schemes) {
  constexpr int kMost = 32;
  constexpr uint32_t kAlignment = 16;  // of rows anywhere in a tensor
  cublasLtMatmulPreference_t raw = nullptr;
  SWITCHYARD_CUBLAS_CALL(cublas().cublasLtMatmulPreferenceCreate(&raw));
  const Handle<PreferenceTraits> preference(raw);
  set<uint64_t>(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 0);
  set<uint32_t>(raw, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction_schemes);
  for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(raw, attribute, kAlignment);
  std::array<cublasLtMatmulHeuristicResult_t, kMost> results{};
  int found = 0;
  const cublasStatus_t status = cublas().cublasLtMatmulAlgoGetHeuristic(handle, m.desc(), m.w(), m.x(), m.y(), m.y(),
                                                                        raw, kMost, results.data(), &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  SWITCHYARD_CUBLAS_CALL(status);
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < found; ++i)
    if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
      algorithms.push_back(results[static_cast<size_t>(i)].algo);
  return algorithms;
}

/// Whether `algorithm` takes this many rows, and without a workspace.
bool fits(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& algorithm, const Matrices& m) {
  cublasLtMatmulHeuristicResult_t result{};
  return cublas().cublasLtMatmulAlgoCheck(handle, m.desc(), m.w(), m.x(), m.y(), m.y(), &algorithm, &result) ==
             CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize == 0;
}

/// Makes `attribute` have this value, where it has not; some algorithms cannot be told.
template <class T>
bool configure(cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute, T value) {
  T now{};
  size_t written = 0;
  if (cublas().cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &now, sizeof now, &written) ==
          CUBLAS_STATUS_SUCCESS &&
      now == value)
    return true;
  return cublas().cublasLtMatmulAlgoConfigSetAttribute(&algorithm, attribute, &value, sizeof value) ==
         CUBLAS_STATUS_SUCCESS;
}

bool keep_from_splitting(cublasLtMatmulAlgo_t& algorithm) {
  return configure<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 1) &&
         configure<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, CUBLASLT_REDUCTION_SCHEME_NONE);
}

/// 0 of an algorithm that has no such attribute.
template <class T>
T value_of(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) {
  T value{};
  size_t written = 0;
  const bool has_it = cublas().cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof value,
                                                                    &written) == CUBLAS_STATUS_SUCCESS;
  return has_it ? value : T{};
}

class PinnedAlgorithm : public CublasProduct {
 public:
  PinnedAlgorithm(cublasLtHandle_t handle, const DenseShape& shape, const cublasLtMatmulAlgo_t& algorithm)
      : handle_(handle), shape_(shape), algorithm_(algorithm) {}

  std::string name() const override {
    return fmt::format("algorithm {}, tile {}, stages {}, option {}, inner shape {}, cluster {}",
                       value_of<int32_t>(algorithm_, CUBLASLT_ALGO_CONFIG_ID),
                       value_of<uint32_t>(algorithm_, CUBLASLT_ALGO_CONFIG_TILE_ID),
                       value_of<uint32_t>(algorithm_, CUBLASLT_ALGO_CONFIG_STAGES_ID),
                       value_of<uint32_t>(algorithm_, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION),
                       value_of<uint16_t>(algorithm_, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID),
                       value_of<uint16_t>(algorithm_, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID));
  }

  void run(const Stream& stream, const void* x, int64_t rows, const Matrix& w, GemmOutput output,
           float* y) const override {
    use_device(stream.device_index);
    const float one = 1, kept = output == GemmOutput::add ? 1 : 0;
    const auto* in = static_cast<const std::byte*>(x);
    const auto row_bytes = static_cast<size_t>(w.k) * size_of(w.operand);
    for (int64_t first = 0; first < rows; first += kMostRows) {
      const Matrices m(shape_, rounded_up(std::min(kMostRows, rows - first), kRowBucket));
      float* to = y + first * w.n;
      SWITCHYARD_CUBLAS_CALL(cublas().cublasLtMatmul(handle_, m.desc(), &one, w.memory.data(), m.w(),
                                                     in + static_cast<size_t>(first) * row_bytes, m.x(), &kept, to,
                                                     m.y(), to, m.y(), &algorithm_, nullptr, 0, stream.cuda));
    }
  }

 private:
  cublasLtHandle_t handle_;
  DenseShape shape_;
  cublasLtMatmulAlgo_t algorithm_;
};

}  // namespace

std::string cublas_version() {
  const size_t version = cublas().cublasLtGetVersion();  // 10000 major + 100 minor + patch
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::unique_ptr<const CublasProduct> CublasProduct::find(const DenseShape& shape) {
  use_device(shape.device_index);
  const cublasLtHandle_t handle = handle_of(shape.device_index);
  // Where nothing is proposed that adds up k in one go, something may be that can be told to.
  for (const uint32_t schemes : {CUBLASLT_REDUCTION_SCHEME_NONE, CUBLASLT_REDUCTION_SCHEME_MASK})
    for (cublasLtMatmulAlgo_t algorithm : proposals(handle, Matrices(shape, kMostRows), schemes)) {
      bool good = keep_from_splitting(algorithm);
      for (int64_t rows = kRowBucket; good && rows <= kMostRows; rows += kRowBucket)
        good = fits(handle, algorithm, Matrices(shape, rows));
      if (good) return std::make_unique<PinnedAlgorithm>(handle, shape, algorithm);
    }
  return nullptr;
}

}  // namespace switchyard::cuda
