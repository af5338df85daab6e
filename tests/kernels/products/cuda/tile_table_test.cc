#include "kernels/products/cuda/tile_table.h"

#include <gtest/gtest.h>

#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

std::vector<cuda::Tile> table_of(const std::vector<int64_t>& offsets, int32_t tile_rows) {
  const int64_t count = cuda::max_tiles(offsets.back(), std::ssize(offsets) - 1, tile_rows) + 1;
  std::vector<cuda::Tile> table(static_cast<size_t>(count));
  const int64_t bytes = count * static_cast<int64_t>(sizeof(cuda::Tile));
  TestStream stream(Device::cuda);
  OwnedTensor there({std::ssize(offsets)}, DType::i64, Device::cuda), result({bytes}, DType::u8, Device::cuda);
  copy(stream, view_of(std::span(offsets)), there.view());
  cuda::make_tile_table(stream, {there.view().as<int64_t>(), offsets.size()}, tile_rows,
                        {reinterpret_cast<cuda::Tile*>(result.view().data), table.size()});
  copy(stream, result.view(), {table.data(), {bytes}, DType::u8, Device::cpu});
  synchronize(stream);
  return table;
}

class TileTableTest : public testing::TestWithParam<std::vector<int64_t>> {};

TEST_P(TileTableTest, EveryRowIsInOneTileOfItsGroup) {
  if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  const std::vector<int64_t>& sizes = GetParam();
  std::vector<int64_t> offsets{0};
  for (const int64_t n : sizes) offsets.push_back(offsets.back() + n);
  for (const int32_t tile_rows : {1, 16, 128}) {
    const std::vector<cuda::Tile> table = table_of(offsets, tile_rows);
    size_t t = 0;
    for (size_t g = 0; g < sizes.size(); ++g)
      for (int64_t first = offsets[g]; first < offsets[g + 1]; first += tile_rows, ++t) {
        ASSERT_LT(t, table.size());
        EXPECT_EQ(table[t].group, static_cast<int32_t>(g));
        EXPECT_EQ(table[t].first, first);
        EXPECT_EQ(table[t].rows, std::min<int64_t>(tile_rows, offsets[g + 1] - first));
      }
    ASSERT_LT(t, table.size());  // the bound holds: one more was asked for
    for (; t < table.size(); ++t) EXPECT_EQ(table[t].group, -1);
  }
}

std::vector<int64_t> many_groups() {
  std::vector<int64_t> sizes;
  for (int64_t g = 0; g < 600; ++g) sizes.push_back(g * 37 % 50);
  return sizes;
}

INSTANTIATE_TEST_SUITE_P(Groups, TileTableTest,
                         testing::Values(std::vector<int64_t>{}, std::vector<int64_t>{0}, std::vector<int64_t>{1},
                                         std::vector<int64_t>{3, 0, 0, 40, 1}, std::vector<int64_t>{0, 0, 5000},
                                         std::vector<int64_t>(300, 1), many_groups()));

}  // namespace
}  // namespace switchyard
