#include "io/json.h"

#include <chrono>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using test::fails_input;

TEST(ParseJson, KeepsOrderAndValues) {
  const Json json =
      parse_json(R"({"z": [1, -2, 2.5, null, true], "a": {"b": "\u00e9"}, "m": 18446744073709551615})", "f");
  EXPECT_EQ(json.dump(), R"({"z":[1,-2,2.5,null,true],"a":{"b":"é"},"m":18446744073709551615})");
  EXPECT_EQ(parse_json(" 7 ", "f"), Json(7));
}

TEST(ParseJson, AgreesWithTheLibrarysOwnBuilder) {
  const std::string text = R"({"a":[[],{},[{"b":[1,2,{"c":null}]},"x"]],"d":{"e":{"f":-0.5e-3}},"":""})";
  EXPECT_EQ(parse_json(text, "f"), Json::parse(text));
}

TEST(ParseJson, RefusesBadSyntaxNamingThePlace) {
  EXPECT_TRUE(fails_input({"config.json", "line 2, column 6"}, [] { parse_json("{\n\"a\": x}", "config.json"); }));
  EXPECT_TRUE(fails_input({"column 4"}, [] { parse_json("[1,]", "f"); }));
  for (const char* text :
       {"",   " ",  "{",       "[1",          "{\"a\":1,}", "{'a':1}", "nan",   "NaN",      "Infinity", "-",    "01",
        "1.", "+1", "\"\\x\"", "\"\\ud800\"", "[1] 2",      "{} {}",   "/**/1", "\"a\nb\"", "tru",      "1e999"})
    EXPECT_TRUE(fails_input({"f: "}, [&] { parse_json(text, "f"); })) << text;
}

TEST(ParseJson, RefusesInvalidUtf8) {
  for (const char* text : {"\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\""})
    EXPECT_TRUE(fails_input({"f: "}, [&] { parse_json(text, "f"); }));
}

TEST(ParseJson, MessagesArePrintable) {
  try {
    parse_json(std::string("[\"") + std::string(100000, 'x') + "\xff\x01", "f");
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_LT(message.size(), 400u);
    for (const char c : message) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  }
}

TEST(ParseJson, RefusesDuplicateKeysAtAnyDepth) {
  EXPECT_TRUE(fails_input({"f", "duplicate key", "\"a\""}, [] { parse_json(R"({"a":1,"b":2,"a":1})", "f"); }));
  EXPECT_TRUE(fails_input({"duplicate key", "\"x\""}, [] { parse_json(R"([{"k":{"x":1,"x":{}}}])", "f"); }));
  EXPECT_TRUE(fails_input({"duplicate key", "\"A\""}, [] { parse_json(R"({"A":1,"\u0041":2})", "f"); }));
  EXPECT_NO_THROW(parse_json(R"([{"a":1},{"a":1},{"b":{"a":1},"a":1}])", "f"));
}

TEST(ParseJson, IsWholeOrRefused) {
  for (const std::string_view text :
       {std::string_view("{}\0{}", 5), std::string_view("{}\0", 3), std::string_view("\0", 1),
        std::string_view("[1,\0 2]", 7), std::string_view("\"a\0b\"", 5)})
    EXPECT_TRUE(fails_input({"f: ", "NUL"}, [&] { parse_json(text, "f"); })) << text;
  EXPECT_TRUE(fails_input({"line 2, column 3"}, [] { parse_json(std::string_view("{}\n  \0", 6), "f"); }));
  EXPECT_EQ(parse_json(R"("a\u0000b")", "f").get<std::string>().size(), 3u);  // an escape is whole
  EXPECT_FALSE(parse_json_if_whole(std::string_view("{}\0{}", 5)));
  EXPECT_FALSE(parse_json_if_whole("{\"a\": 1"));
  EXPECT_TRUE(parse_json_if_whole("{}"));
}

TEST(ParseJson, NamesWhatPythonWritesForNumbers) {
  EXPECT_TRUE(fails_input({"column 6", "NaN", "Python"}, [] { parse_json("{\"a\":NaN}", "f"); }));
  EXPECT_TRUE(fails_input({"Infinity", "Python"}, [] { parse_json("[1, Infinity]", "f"); }));
  EXPECT_TRUE(fails_input({"Infinity", "Python"}, [] { parse_json("[-Infinity]", "f"); }));
  EXPECT_TRUE(fails_input({"NaN", "Python"}, [] { parse_json("NaN", "f"); }));
}

TEST(ParseJson, LimitsNesting) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(64), "f"));
  EXPECT_TRUE(fails_input({"nesting deeper than 64"}, [&] { parse_json(nested(65), "f"); }));
  EXPECT_TRUE(fails_input({"nesting deeper than 64"}, [] { parse_json(std::string(10'000'000, '['), "f"); }));
}

// A real header has tens of thousands of tensors: the time must grow with the size, not with its square.
TEST(ParseJson, ManyKeysTakeLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += fmt::format("{}\"key{}\":{}", i == 0 ? "" : ",", i, i);
  text += "}";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json(text, "f").size(), 200'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));  // quadratic: minutes
}

TEST(JsonFields, FindTreatsNullAsAbsent) {
  const Json json = parse_json(R"({"a": null, "b": 0})", "f");
  EXPECT_EQ(find_field(json, "a"), nullptr);
  EXPECT_EQ(find_field(json, "c"), nullptr);
  ASSERT_NE(find_field(json, "b"), nullptr);
  EXPECT_EQ(find_field(Json(3), "b"), nullptr);
  EXPECT_EQ(number_or_zero({{"a", 1.5}, {"b", 2}, {"c", "3"}}, "a"), 1.5);
  EXPECT_EQ(number_or_zero({{"a", 1.5}, {"b", 2}, {"c", "3"}}, "b"), 2);
  EXPECT_EQ(number_or_zero({{"a", 1.5}, {"b", 2}, {"c", "3"}}, "c"), 0);
  EXPECT_EQ(number_or_zero(Json(3), "a"), 0);
}

TEST(JsonFields, Integers) {
  const Json json = parse_json(
      R"({"i": 5, "n": -5, "f": 5.0, "s": "5", "big": 9223372036854775808, "max": 9223372036854775807, "b": true})",
      "f");
  EXPECT_EQ(require_int(json, "i", "f", 0, 10), 5);
  EXPECT_EQ(require_int(json, "n", "f", -5, -5), -5);
  EXPECT_EQ(require_int(json, "max", "f", 0, INT64_MAX), INT64_MAX);
  EXPECT_TRUE(fails_input({"c.json", "\"i\"", "6 … 10", "5"}, [&] { require_int(json, "i", "c.json", 6, 10); }));
  for (const char* field : {"f", "s", "big", "b"})
    EXPECT_TRUE(
        fails_input({fmt::format("\"{}\"", field)}, [&] { require_int(json, field, "f", INT64_MIN, INT64_MAX); }));
  EXPECT_TRUE(fails_input({"\"gone\" is missing"}, [&] { require_int(json, "gone", "f", 0, 1); }));
  EXPECT_TRUE(fails_input({"an object", "an array of 1"}, [&] { require_int(Json::array({1}), "i", "f", 0, 1); }));
}

TEST(JsonFields, OtherTypes) {
  const Json json = parse_json(R"({"d": 0.5, "i": 3, "b": false, "s": "x", "a": [1, 2], "m": [1, 2.5], "e": []})", "f");
  EXPECT_FALSE(require_bool(json, "b", "f"));
  EXPECT_EQ(require_string(json, "s", "f"), "x");
  EXPECT_EQ(require_int_array(json, "a", "f"), (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(require_int_array(json, "e", "f").empty());
  EXPECT_TRUE(fails_input({"\"i\"", "true or false", "3"}, [&] { require_bool(json, "i", "f"); }));
  EXPECT_TRUE(fails_input({"\"b\"", "a string", "false"}, [&] { require_string(json, "b", "f"); }));
  EXPECT_TRUE(fails_input({"\"m[1]\"", "2.5"}, [&] { require_int_array(json, "m", "f"); }));
  EXPECT_TRUE(fails_input({"\"d\""}, [&] { require_int_array(json, "d", "f"); }));
}

TEST(Brief, ShortensAndEscapes) {
  EXPECT_EQ(brief(Json::parse(R"([1,2,3])")), "an array of 3");
  EXPECT_EQ(brief(Json::parse(R"({"a":1})")), "an object of 1 fields");
  EXPECT_EQ(brief(Json("a\nb\xff")), R"("a\nb\ufffd")");
  EXPECT_LT(brief(Json(std::string(1000, 'x'))).size(), 80u);
}

TEST(IsUtf8, TellsTextFromBytes) {
  EXPECT_TRUE(is_utf8("naïve 漢字 😀"));
  EXPECT_TRUE(is_utf8(std::string_view("a\0b", 3)));
  for (const char* text : {"\xff", "\xc0\x80", "\xed\xa0\x80", "abc\xe2\x82"}) EXPECT_FALSE(is_utf8(text));
}

}  // namespace
}  // namespace switchyard
