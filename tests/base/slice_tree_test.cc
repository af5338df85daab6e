#include "base/slice_tree.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(SliceTree, NodesCoverTheSlicesAndAreAligned) {
  for (int64_t first = 0; first < 16; ++first)
    for (int64_t end = first; end <= 16; ++end) {
      int64_t at = first;
      for (const SliceRange& node : tree_nodes({first, end})) {
        EXPECT_EQ(node.first, at);
        EXPECT_EQ(node.count() & (node.count() - 1), 0) << "not a power of two";
        EXPECT_EQ(node.first % node.count(), 0);
        at = node.end;
      }
      EXPECT_EQ(at, end);
    }
}

TEST(SliceTree, NodesAreTheLargest) {
  EXPECT_EQ(tree_nodes({0, 8}), (std::vector<SliceRange>{{0, 8}}));
  EXPECT_EQ(tree_nodes({3, 8}), (std::vector<SliceRange>{{3, 4}, {4, 8}}));
  EXPECT_EQ(tree_nodes({1, 7}), (std::vector<SliceRange>{{1, 2}, {2, 4}, {4, 6}, {6, 7}}));
  EXPECT_TRUE(tree_nodes({5, 5}).empty());
}

TEST(SliceTree, AppendingSlicesLeavesTheNodes) {
  for (int64_t first = 0; first < 16; ++first)
    for (int64_t end = first; end <= 16; ++end) {
      std::vector<SliceRange> list;
      for (int64_t s = first; s < end; ++s) {
        list.push_back({s, s + 1});
        while (list.size() > 1 && are_halves(list[list.size() - 2], list.back())) {
          const int64_t last = list.back().end;
          list.pop_back();
          list.back().end = last;
        }
      }
      EXPECT_EQ(list, tree_nodes({first, end}));
    }
}

TEST(SliceTree, RowsOfAGroup) {
  const std::vector<int64_t> offsets = {0, 2, 2, 5, 6};
  const SlicedRows rows{{2, 4}, offsets};
  EXPECT_EQ(rows.num_groups(), 2);
  EXPECT_EQ(rows.num_rows(), 6);
  EXPECT_EQ(std::vector<int64_t>(rows.of_group(1).begin(), rows.of_group(1).end()), (std::vector<int64_t>{2, 5, 6}));
}

}  // namespace
}  // namespace switchyard
