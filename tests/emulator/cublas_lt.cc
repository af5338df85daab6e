// Products as cuBLASLt's: column-major unless told otherwise, f32 sums. Every element is summed in one order that
// depends on k alone, unless break_cublas_row_bits.
#include <cublasLt.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "base/dtype.h"
#include "devices.h"

struct cublasLtContext {
  int device;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType type;
  uint64_t rows, cols;
  int64_t ld;
  int32_t order = CUBLASLT_ORDER_COL;

  size_t element_bytes() const { return type == CUDA_R_32F ? 4 : 2; }
  bool by_columns() const { return order == CUBLASLT_ORDER_COL; }
  bool valid() const {
    return (type == CUDA_R_32F || type == CUDA_R_16BF) && rows > 0 && cols > 0 &&
           ld >= static_cast<int64_t>(by_columns() ? rows : cols);
  }
  size_t index(size_t row, size_t col) const {
    const auto stride = static_cast<size_t>(ld);
    return by_columns() ? col * stride + row : row * stride + col;
  }
  size_t bytes() const { return (index(rows - 1, cols - 1) + 1) * element_bytes(); }
};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType scale;
  int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N, pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t max_workspace = 0;
  uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
};

namespace switchyard::emulator {
namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

std::atomic<bool> broken_row_bits = false;
constexpr size_t kBrokenFrom = 256;  // columns
constexpr int kAlgorithms = 3;
// Words of an algorithm: its id + 1, then one for each attribute from the tile on.
constexpr size_t word_of(cublasLtMatmulAlgoConfigAttributes_t attribute) {
  return static_cast<size_t>(attribute);
}

/// As some of the real ones, these have not the latest attributes.
bool has_attribute(cublasLtMatmulAlgoConfigAttributes_t attribute) {
  return attribute <= CUBLASLT_ALGO_CONFIG_STAGES_ID;
}

cublasLtMatmulAlgo_t algorithm(int id, uint32_t splits) {
  cublasLtMatmulAlgo_t algo{};
  algo.data[word_of(CUBLASLT_ALGO_CONFIG_ID)] = static_cast<uint64_t>(id) + 1;
  algo.data[word_of(CUBLASLT_ALGO_CONFIG_TILE_ID)] = static_cast<uint64_t>(15 + id);
  algo.data[word_of(CUBLASLT_ALGO_CONFIG_SPLITK_NUM)] = splits;
  algo.data[word_of(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME)] =
      splits > 1 ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE;
  algo.data[word_of(CUBLASLT_ALGO_CONFIG_STAGES_ID)] = static_cast<uint64_t>(10 + id);
  return algo;
}

uint32_t splits_of(const cublasLtMatmulAlgo_t& algo) {
  return static_cast<uint32_t>(algo.data[word_of(CUBLASLT_ALGO_CONFIG_SPLITK_NUM)]);
}

struct Extents {
  size_t m, n, k;
};

/// op(A) [m, k], op(B) [k, n]; whether C and D fit.
cublasStatus_t extents_of(const cublasLtMatmulDescOpaque_t& desc, const Layout& a, const Layout& b, const Layout& c,
                          const Layout& d, Extents& extents) {
  if (!a.valid() || !b.valid() || !c.valid() || !d.valid()) return CUBLAS_STATUS_INVALID_VALUE;
  const bool ta = desc.transpose_a != CUBLAS_OP_N, tb = desc.transpose_b != CUBLAS_OP_N;
  extents = {ta ? a.cols : a.rows, tb ? b.rows : b.cols, ta ? a.rows : a.cols};
  if ((tb ? b.cols : b.rows) != extents.k || d.rows != extents.m || d.cols != extents.n || c.rows != d.rows ||
      c.cols != d.cols)
    return CUBLAS_STATUS_INVALID_VALUE;
  const bool supported = a.type == b.type && c.type == d.type && desc.scale == CUDA_R_32F &&
                         (a.type == CUDA_R_16BF || d.type == CUDA_R_32F) && desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT;
  return supported ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

size_t workspace_of(const cublasLtMatmulAlgo_t& algo, const Extents& extents) {
  return splits_of(algo) > 1 ? splits_of(algo) * extents.m * extents.n * sizeof(float) : 0;
}

float read(const void* data, const Layout& layout, size_t row, size_t col) {
  const size_t i = layout.index(row, col);
  return layout.type == CUDA_R_32F ? static_cast<const float*>(data)[i]
                                   : to_float(static_cast<const BFloat16*>(data)[i]);
}

void write(void* data, const Layout& layout, size_t row, size_t col, float value) {
  const size_t i = layout.index(row, col);
  if (layout.type == CUDA_R_32F) {
    static_cast<float*>(data)[i] = value;
  } else {
    static_cast<BFloat16*>(data)[i] = to_bfloat16(value);
  }
}

/// In sixteen partial sums, so that the compiler uses vectors.
float dot(const float* a, const float* b, size_t k) {
  float sums[16] = {};
  size_t i = 0;
  for (; i + 16 <= k; i += 16)
    for (size_t j = 0; j < 16; ++j) sums[j] = __builtin_fmaf(a[i + j], b[i + j], sums[j]);
  for (; i < k; ++i) sums[i % 16] = __builtin_fmaf(a[i], b[i], sums[i % 16]);
  float sum = 0;
  for (const float s : sums) sum += s;
  return sum;
}

struct Product {
  cublasLtMatmulDescOpaque_t desc;
  Extents extents;
  float alpha, beta;
  const void *a_data, *b_data, *c_data;
  void* d_data;
  Layout a, b, c, d;
  uint32_t splits;

  /// Rows of op(A), or columns of op(B), one behind another.
  std::vector<float> lines(const void* data, const Layout& layout, size_t count, bool k_is_row) const {
    std::vector<float> result(count * extents.k);
    for (size_t line = 0; line < count; ++line)
      for (size_t k = 0; k < extents.k; ++k)
        result[line * extents.k + k] = k_is_row ? read(data, layout, k, line) : read(data, layout, line, k);
    return result;
  }

  void operator()() const {
    const auto [m, n, k] = extents;
    const std::vector<float> left = lines(a_data, a, m, desc.transpose_a != CUBLAS_OP_N);
    const std::vector<float> right = lines(b_data, b, n, desc.transpose_b == CUBLAS_OP_N);
    const size_t parts = std::max<size_t>(splits, broken_row_bits && n >= kBrokenFrom ? 2 : 1);
    for (size_t col = 0; col < n; ++col)
      for (size_t row = 0; row < m; ++row) {
        float sum = 0;
        for (size_t part = 0; part < parts; ++part) {
          const size_t first = k * part / parts, end = k * (part + 1) / parts;
          sum += dot(left.data() + row * k + first, right.data() + col * k + first, end - first);
        }
        float value = alpha * sum;
        if (beta != 0) value += beta * read(c_data, c, row, col);
        write(d_data, d, row, col, value);
      }
  }
};

template <class T>
cublasStatus_t set(T& field, const void* value, size_t bytes) {
  if (value == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

void break_cublas_row_bits(bool broken) {
  broken_row_bits = broken;
}

}  // namespace switchyard::emulator

using namespace switchyard::emulator;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (num_devices() == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasLtContext{current_device()};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return cublasLtGetStatusName(status);
}
size_t cublasLtGetVersion() {
  return 130000;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return set(layout->type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return set(layout->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return set(layout->rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return set(layout->cols, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return set(layout->ld, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t scale) {
  *desc = new cublasLtMatmulDescOpaque_t{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return set(desc->compute, value, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return set(desc->scale, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return set(desc->pointer_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(desc->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(desc->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(desc->epilogue, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return set(preference->max_workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return set(preference->reduction_schemes, value, bytes);
    default:  // what is emulated takes any alignment
      return CUBLAS_STATUS_SUCCESS;
  }
}

/// A plain algorithm, one that splits k where the preference allows it, and another plain one.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
                                              int requested, cublasLtMatmulHeuristicResult_t results[], int* returned) {
  *returned = 0;
  Extents extents{};
  if (const cublasStatus_t status = extents_of(*desc, *a, *b, *c, *d, extents); status != CUBLAS_STATUS_SUCCESS)
    return status;
  for (int id = 0; id < kAlgorithms && *returned < requested; ++id) {
    const cublasLtMatmulAlgo_t algo = algorithm(id, id == 1 ? 2 : 1);
    const size_t workspace = workspace_of(algo, extents);
    if (splits_of(algo) > 1 && (workspace > preference->max_workspace ||
                                (preference->reduction_schemes & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) == 0))
      continue;
    results[(*returned)++] = {algo, workspace, CUBLAS_STATUS_SUCCESS, 1.0f, {}};
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t, cublasComputeType_t, cudaDataType_t, cudaDataType_t,
                                      cudaDataType_t, cudaDataType_t, cudaDataType_t, int id,
                                      cublasLtMatmulAlgo_t* algo) {
  if (id < 0 || id >= kAlgorithms) return CUBLAS_STATUS_INVALID_VALUE;
  *algo = algorithm(id, 1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  uint32_t word = 0;
  if (attribute == CUBLASLT_ALGO_CONFIG_ID || !has_attribute(attribute))  // the id is read only
    return CUBLAS_STATUS_INVALID_VALUE;
  const cublasStatus_t status = set(word, value, bytes);
  if (status == CUBLAS_STATUS_SUCCESS) algo->data[word_of(attribute)] = word;
  return status;
}
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* value,
                                                    size_t bytes, size_t* written) {
  if (bytes != sizeof(uint32_t) || !has_attribute(attribute)) return CUBLAS_STATUS_INVALID_VALUE;
  const auto word = static_cast<uint32_t>(algo->data[word_of(attribute)] - (attribute == CUBLASLT_ALGO_CONFIG_ID));
  std::memcpy(value, &word, bytes);
  if (written != nullptr) *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algo, cublasLtMatmulHeuristicResult_t* result) {
  Extents extents{};
  cublasStatus_t status = extents_of(*desc, *a, *b, *c, *d, extents);
  if (status == CUBLAS_STATUS_SUCCESS && (algo->data[0] == 0 || splits_of(*algo) == 0))
    status = CUBLAS_STATUS_INVALID_VALUE;
  *result = {*algo, status == CUBLAS_STATUS_SUCCESS ? workspace_of(*algo, extents) : 0, status, 1.0f, {}};
  return status;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha, const void* a_data,
                              cublasLtMatrixLayout_t a, const void* b_data, cublasLtMatrixLayout_t b, const void* beta,
                              const void* c_data, cublasLtMatrixLayout_t c, void* d_data, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t* algo, void*, size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (handle->device != current_device()) return CUBLAS_STATUS_EXECUTION_FAILED;
  const cublasLtMatmulAlgo_t chosen = algo == nullptr ? algorithm(0, 1) : *algo;
  cublasLtMatmulHeuristicResult_t result{};
  if (const auto status = cublasLtMatmulAlgoCheck(handle, desc, a, b, c, d, &chosen, &result);
      status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (result.workspaceSize > workspace_bytes) return CUBLAS_STATUS_INVALID_VALUE;
  Product product{*desc, {}, 1, 0, a_data, b_data, c_data, d_data, *a, *b, *c, *d, splits_of(chosen)};
  std::memcpy(&product.alpha, alpha, sizeof(float));
  std::memcpy(&product.beta, beta, sizeof(float));
  extents_of(*desc, *a, *b, *c, *d, product.extents);
  // On a GPU the kernel would fault later; here the call itself does.
  if (!is_device_memory(a_data, a->bytes()) || !is_device_memory(b_data, b->bytes()) ||
      !is_device_memory(d_data, d->bytes()) || (product.beta != 0 && !is_device_memory(c_data, c->bytes())))
    return CUBLAS_STATUS_EXECUTION_FAILED;
  enqueue(stream, product);
  return CUBLAS_STATUS_SUCCESS;
}
