// The fields of a struct by name: one list for hashes, tests and whatever else must not forget any.
//
//     struct RotaryConfig {
//       double theta = 0;
//       static constexpr auto fields() { return std::tuple{Field{"theta", &RotaryConfig::theta}}; }
//     };
//
// A member that the list forgets, or names twice, does not compile.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

namespace switchyard {

template <class Owner, class Value>
struct Field {
  using Member = Value Owner::*;  // nvcc would hand the type on in parentheses, of which the host's compiler warns
  std::string_view name;
  Member member;
};
template <class Owner, class Value>
Field(const char*, Value Owner::*) -> Field<Owner, Value>;

template <class T>
concept HasFields = requires {
  std::remove_const_t<T>::fields();
};

namespace detail {

struct AnyMember {
  template <class T>
  operator T() const;
};

/// How many members an aggregate is initialised from.
template <class T, class... Given>
consteval size_t count_members() {
  if constexpr (requires { T{Given{}..., AnyMember{}}; }) {
    return count_members<T, Given..., AnyMember>();
  } else {
    return sizeof...(Given);
  }
}

template <class O, class V, class W>
constexpr bool is_same_member(const Field<O, V>& a, const Field<O, W>& b) {
  if constexpr (std::is_same_v<V, W>) {
    return a.member == b.member;
  } else {
    return false;
  }
}

constexpr bool are_distinct(const auto& fields) {
  return std::apply(
      [](const auto&... all) {
        [[maybe_unused]] const auto times = [&](const auto& field) {
          return (size_t{0} + ... + size_t{is_same_member(field, all)});
        };
        return ((times(all) == 1) && ...);
      },
      fields);
}

}  // namespace detail

/// visit(name, value) for each field, in the list's order.
template <HasFields T, class Visit>
void visit_fields(T& owner, Visit&& visit) {
  using Owner = std::remove_const_t<T>;
  constexpr auto kFields = Owner::fields();
  static_assert(std::tuple_size_v<decltype(kFields)> == detail::count_members<Owner>(), "a member that is no field");
  static_assert(detail::are_distinct(kFields), "a member that is two fields");
  std::apply([&](const auto&... field) { (visit(field.name, owner.*field.member), ...); }, kFields);
}

namespace detail {

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsVariant = false;
template <class... T>
inline constexpr bool kIsVariant<std::variant<T...>> = true;

}  // namespace detail

/// visit(path, value) for each number, flag and text in a struct: "layers.3.attention.rotary.theta". The path of what
/// is in a variant has the alternative's number.
template <class T, class Visit>
void visit_leaves(T& value, const std::string& path, const Visit& visit) {
  using Value = std::remove_const_t<T>;
  if constexpr (HasFields<Value>) {
    const std::string prefix = path.empty() ? "" : path + ".";
    visit_fields(value,
                 [&](std::string_view name, auto& field) { visit_leaves(field, prefix + std::string(name), visit); });
  } else if constexpr (detail::kIsVector<Value>) {
    for (size_t i = 0; i < value.size(); ++i) visit_leaves(value[i], fmt::format("{}.{}", path, i), visit);
  } else if constexpr (detail::kIsVariant<Value>) {
    std::visit([&](auto& held) { visit_leaves(held, fmt::format("{}.{}", path, value.index()), visit); }, value);
  } else {
    visit(path, value);
  }
}

}  // namespace switchyard
