#include "train/selection/element_set.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace switchyard::test {
namespace {

struct SetCase {
  int64_t size;
  double density;
};

std::vector<bool> members_of(const SetCase& c) {
  std::vector<bool> members;
  for (int64_t i = 0; i < c.size; ++i)
    members.push_back(static_cast<double>(random_uniform(3, static_cast<uint64_t>(i / 3))) < c.density);
  return members;
}

ElementSet set_of(const std::vector<bool>& members) {
  std::vector<uint64_t> words((members.size() + 63) / 64);
  for (size_t i = 0; i < members.size(); ++i)
    if (members[i]) words[i / 64] |= uint64_t{1} << (i % 64);
  return {std::ssize(members), std::move(words)};
}

const SetCase kSets[] = {{1, 1},    {1, 0},     {63, 0.5},    {64, 1},     {64, 0.5},
                         {65, 0.1}, {700, 0.1}, {5000, 0.02}, {5000, 0.9}, {3000, 0}};

// Every question, against a list of bools.
TEST(ElementSet, AnswersAsAListOfMembersDoes) {
  for (const SetCase& c : kSets) {
    const std::vector<bool> members = members_of(c);
    const ElementSet set = set_of(members);
    ASSERT_EQ(set.size(), c.size);
    int64_t before = 0;
    for (int64_t i = 0; i < c.size; ++i) {
      ASSERT_EQ(set.has(i), members[static_cast<size_t>(i)]) << i;
      ASSERT_EQ(set.before(i), before) << i;
      if (!set.has(i)) continue;
      ASSERT_EQ(set.at(before), i);
      ++before;
    }
    EXPECT_EQ(set.before(c.size), before);
    EXPECT_EQ(set.count_in({c.size / 3, c.size}), before - set.before(c.size / 3));
    EXPECT_EQ(set.count(), before);
    EXPECT_EQ(set.is_all(), before == c.size);
    EXPECT_EQ(set.is_empty(), before == 0);
    EXPECT_EQ(set.bytes(), set.is_all() || set.is_empty() ? 0 : ElementSet::bytes_of(c.size));
  }
}

TEST(ElementSet, WhatIsCompressedIsExpandedWhereItWas) {
  for (const SetCase& c : kSets) {
    const ElementSet set = set_of(members_of(c));
    const ElementRange range{c.size / 4, c.size};
    std::vector<float> all(static_cast<size_t>(range.count())), some(static_cast<size_t>(set.count_in(range)));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<float>(i);
    set.compress(range, all, some);
    std::vector<float> back(all.size(), -1);
    set.expand(range, some, back);
    for (size_t i = 0; i < all.size(); ++i)
      ASSERT_EQ(back[i], set.has(range.first + static_cast<int64_t>(i)) ? all[i] : -1.0f);
  }
}

}  // namespace
}  // namespace switchyard::test
