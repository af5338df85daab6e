// Products of bf16 on Hopper, by warpgroups (wgmma), of weights in slabs.
//
// W stands where mma.sync has the rows: 128 of its rows are M, a tile's entries are N. A block goes on from tile to
// tile. Its first warpgroup fills a ring of stages in shared memory, a slab of W (one bulk copy) and the entries' rows
// of x (16 bytes a copy, wherever they lie) each; the other two multiply, each 64 rows of W.
#include "kernels/products/cuda/product_launch.h"
#include "kernels/products/cuda/slab_consumer.h"
#include "kernels/products/cuda/slab_producer.h"

namespace switchyard::cuda {
namespace slabs {
namespace {

template <class Shape, bool kAligned, Epilogue kEpilogue, class Out>
__global__ void __launch_bounds__(kThreads, 1) slab_kernel(const __grid_constant__ ProductKernel p) {
  SharedMemory shared;
  const Ring<Shape> ring(shared);
  const auto staging = shared.take<StagedElement<kEpilogue>>(kStagedElements<Shape, kEpilogue, Out>);
  if (threadIdx.x < kWarpgroup) {
    give_back_registers<kProducerRegisters>();
    produce<Shape, kAligned>(p, ring);
  } else {
    take_registers<kConsumerRegisters>();
    consume<Shape, kEpilogue, Out>(p, ring, staging);
  }
}

template <class Shape, bool kAligned, Epilogue kEpilogue, class Out>
void launch_blocks(const Stream& stream, const Product& p) {
  // Groups' rows stand in the order of their weights; of a dense product a few tiles share W's.
  const int64_t most_in_band = p.tiles.empty() ? 4 : 1;
  const ProductKernel kernel = product_kernel_of<kEpilogue>(p, kColumns, most_in_band);
  const int64_t tiles = rounded_up(kernel.num_tiles, kernel.band) * kernel.num_column_tiles;
  int multiprocessors = 0;
  SWITCHYARD_CUDA_CALL(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, stream.device_index));
  SharedLayout shared;
  Ring<Shape>::add_to(shared);
  shared.add<StagedElement<kEpilogue>>(kStagedElements<Shape, kEpilogue, Out>);
  static_assert(Shape::stages * Shape::stage_elements * sizeof(BFloat16) +
                        kStagedElements<Shape, kEpilogue, Out> * sizeof(StagedElement<kEpilogue>) +
                        3 * kSharedAlignment <=
                    227 << 10,
                "what a block has on sm_90");
  launch_product(stream, {blocks_for(std::min<int64_t>(tiles, multiprocessors), 1), kThreads, shared.bytes()},
                 slab_kernel<Shape, kAligned, kEpilogue, Out>, p, kernel);
}

//                        rows stages widths
using Rows64 = SlabShape<64, 8, 8, 16, 32>;
using Rows128 = SlabShape<128, 6, 32, 64, 96>;
using Rows256 = SlabShape<256, 4, 64, 128, 192>;

template <class Shape, bool kAligned>
void launch_shape(const Stream& stream, const Product& p) {
  if (p.epilogue == Epilogue::swiglu)
    launch_blocks<Shape, kAligned, Epilogue::swiglu, BFloat16>(stream, p);
  else if (p.epilogue == Epilogue::logit_sums)
    launch_blocks<Shape, kAligned, Epilogue::logit_sums, float>(stream, p);
  else if (p.output == DType::f32)
    launch_blocks<Shape, kAligned, Epilogue::store, float>(stream, p);
  else
    launch_blocks<Shape, kAligned, Epilogue::store, BFloat16>(stream, p);
}

}  // namespace
}  // namespace slabs

void product_bf16_slabs(const Stream& stream, const Product& p, bool aligned) {
  if (!aligned) return slabs::launch_shape<slabs::Rows64, false>(stream, p);
  switch (p.tile_rows) {
    case 64:
      return slabs::launch_shape<slabs::Rows64, true>(stream, p);
    case 128:
      return slabs::launch_shape<slabs::Rows128, true>(stream, p);
    default:
      return slabs::launch_shape<slabs::Rows256, true>(stream, p);
  }
}

}  // namespace switchyard::cuda
