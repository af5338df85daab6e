#include "base/fields.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

struct Inner {
  int64_t size = 7;
  static constexpr auto fields() { return std::tuple{Field{"size", &Inner::size}}; }
};
struct Other {
  double share = 0.5;
  static constexpr auto fields() { return std::tuple{Field{"share", &Other::share}}; }
};
struct Outer {
  std::string name = "x";
  bool flag = true;
  std::vector<Inner> list{{1}, {2}};
  std::variant<Inner, Other> either = Other{};
  Inner inner;
  static constexpr auto fields() {
    return std::tuple{Field{"name", &Outer::name}, Field{"flag", &Outer::flag}, Field{"list", &Outer::list},
                      Field{"either", &Outer::either}, Field{"inner", &Outer::inner}};
  }
};

std::string leaves(const Outer& outer) {
  std::string text;
  visit_leaves(outer, "",
               [&](const std::string& path, const auto& value) { text += fmt::format("{}={} ", path, value); });
  return text;
}

TEST(Fields, AreVisitedDownToTheLeaves) {
  EXPECT_EQ(leaves({}), "name=x flag=true list.0.size=1 list.1.size=2 either.1.share=0.5 inner.size=7 ");
}

TEST(Fields, CanBeChanged) {
  Outer outer;
  visit_leaves(outer, "", [](const std::string& path, auto& value) {
    if constexpr (std::is_same_v<decltype(value), int64_t&>)
      if (path == "list.1.size") value = 9;
  });
  EXPECT_EQ(outer.list[1].size, 9);
  EXPECT_EQ(outer.list[0].size, 1);
}

/// What visit_fields() asserts, so that a member that fields() forgets does not compile.
TEST(Fields, AreCounted) {
  EXPECT_EQ(detail::count_members<Inner>(), 1u);
  EXPECT_EQ(detail::count_members<Outer>(), 5u);
  EXPECT_TRUE(detail::are_distinct(Outer::fields()));
  EXPECT_FALSE(detail::are_distinct(std::tuple{Field{"size", &Inner::size}, Field{"again", &Inner::size}}));
}

}  // namespace
}  // namespace switchyard
