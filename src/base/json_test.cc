#include "base/json.h"

#include "base/id.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

TEST(JsonTest, RefusesGarbageAndDepth) {
  EXPECT_EQ(ParseJson("{", "x.json").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseJson("", "x.json").status().message(), "x.json: not valid JSON");
  EXPECT_FALSE(ParseJson(std::string(100'000, '['), "deep").ok());
  EXPECT_TRUE(ParseJson(std::string(50, '[') + std::string(50, ']'), "fine").ok());
}

TEST(JsonTest, TypedAccessFallsBack) {
  const Json value = *ParseJson(R"({"s": "x", "i": 5, "b": true, "n": null})", "v");
  EXPECT_EQ(JsonString(value, "s"), "x");
  EXPECT_EQ(JsonString(value, "i", "none"), "none");
  EXPECT_EQ(JsonInt(value, "i"), 5);
  EXPECT_EQ(JsonInt(value, "s", -1), -1);
  EXPECT_TRUE(JsonBool(value, "b"));
  EXPECT_EQ(JsonMember(value, "none"), nullptr);
  EXPECT_EQ(JsonMember(Json::array(), "s"), nullptr);
}

TEST(JsonTest, TextReplacesWhatIsNoUtf8) { EXPECT_FALSE(JsonText(Json("a\xff")).empty()); }

TEST(IdTest, RandomAndHex) {
  const std::string id = RandomId();
  EXPECT_EQ(id.size(), 64u);
  EXPECT_TRUE(IsHex(id));
  EXPECT_NE(id, RandomId());
  EXPECT_EQ(Hex(std::string_view("\x00\xff\x1a", 3)), "00ff1a");
  EXPECT_FALSE(IsHex("AB"));
}

}  // namespace
}  // namespace crisp
