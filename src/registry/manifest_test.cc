#include "registry/manifest.h"

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

std::string Digest(char c) { return "sha256:" + std::string(64, c); }

std::string Blob(char c, const std::string& type = "application/vnd.oci.image.layer.v1.tar+gzip",
                 const std::string& size = "5") {
  return Cat(R"({"mediaType":")", type, R"(","digest":")", Digest(c), R"(","size":)", size, "}");
}

std::string Image(const std::string& layers) {
  return Cat(R"({"schemaVersion":2,"config":)",
             Blob('c', "application/vnd.oci.image.config.v1+json"), R"(,"layers":[)", layers, "]}");
}

IndexEntry Entry(char digest, const std::string& os, const std::string& architecture,
                 const std::string& variant = "") {
  return {{"", Digest(digest), 1}, {os, architecture, variant}};
}

TEST(Manifest, ReadsAnImage) {
  const auto document = ParseManifest(
      Image(Blob('1') + "," + Blob('2', "application/vnd.docker.image.rootfs.diff.tar.gzip")), "",
      "x");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_FALSE(document->is_index);
  EXPECT_EQ(document->image.config.digest, Digest('c'));
  ASSERT_EQ(document->image.layers.size(), 2u);
  EXPECT_EQ(document->image.layers[1].size, 5);
}

TEST(Manifest, ReadsAnIndex) {
  const std::string text =
      Cat(R"({"manifests":[{"mediaType":"m","digest":")", Digest('1'),
          R"(","size":7,"platform":{"os":"linux","architecture":"arm","variant":"v7"}}]})");
  const auto document = ParseManifest(
      text, "application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8", "x");
  ASSERT_TRUE(document.ok()) << document.status();
  ASSERT_EQ(document->index.size(), 1u);
  EXPECT_EQ(document->index[0].platform.Text(), "linux/arm/v7");
}

TEST(Manifest, WhatIsMalformedIsRefused) {
  const std::string index = R"({"manifests":[]})";
  const struct {
    std::string text, type, words;
  } cases[] = {
      {"", "", "manifest of x"},
      {"[]", "", "no JSON object"},
      {"{}", "", "neither"},
      {R"({"manifests":[],"layers":[]})", "", "both"},
      {R"({"manifests":{}})", "", "no list"},
      {R"({"layers":[]})", "", "lacks"},
      {Image(Blob('1', "tar", "-1")), "", "impossible size"},
      {Image(Blob('1', "tar", "1e300")), "", "no size"},
      {Image(Blob('1', "tar", "99999999999999999999")), "", "size"},
      {Image("7"), "", "no object"},
      {Image(R"({"digest":"sha256:x","size":1})"), "", "digest"},
      {Image(R"({"digest":"../../etc/passwd","size":1})"), "", "digest"},
      {index, "application/vnd.oci.image.manifest.v1+json", "media type"},
      {Image(""), "application/vnd.oci.image.index.v1+json", "media type"},
  };
  for (const auto& c : cases) {
    const auto document = ParseManifest(c.text, c.type, "x");
    EXPECT_EQ(document.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(std::string(document.status().message()), HasSubstr(c.words)) << c.text;
  }
  std::string many = Blob('1');
  for (size_t i = 0; i < kMaxLayers; ++i) many += "," + Blob('1');
  EXPECT_THAT(std::string(ParseManifest(Image(many), "", "x").status().message()),
              HasSubstr("more than 500"));
}

TEST(Manifest, WhatCannotRunIsNamed) {
  for (const std::string& text :
       {std::string(R"({"schemaVersion":1,"fsLayers":[]})"),
        Image(Blob('1', "application/vnd.oci.image.layer.v1.tar+encrypted")),
        Image(Blob('1', "application/wasm"))}) {
    EXPECT_EQ(ParseManifest(text, "", "x").status().code(), absl::StatusCode::kUnimplemented)
        << text;
  }
}

TEST(ChoosePlatform, TakesTheBestFit) {
  const Platform arm{"linux", "arm", "v7"};
  const std::vector<IndexEntry> index = {
      Entry('1', "windows", "amd64"),   Entry('2', "linux", "arm", "v5"),
      Entry('3', "linux", "arm", "v8"), Entry('4', "linux", "arm", "v6"),
      Entry('5', "linux", "amd64"),     Entry('6', "linux", "amd64", "v3"),
      Entry('7', "unknown", "unknown"), Entry('8', "linux", "arm64", "v8")};
  EXPECT_EQ(ChoosePlatform(index, arm, "x")->digest, Digest('4'));
  EXPECT_EQ(ChoosePlatform(index, {"linux", "amd64", ""}, "x")->digest, Digest('5'));
  EXPECT_EQ(ChoosePlatform(index, {"linux", "arm64", ""}, "x")->digest, Digest('8'));
  const auto none = ChoosePlatform(index, {"linux", "s390x", ""}, "img");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("linux/s390x"));
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("linux/arm/v6"));
  EXPECT_EQ(ChoosePlatform({Entry('1', "", "")}, arm, "x")->digest, Digest('1'));
}

}  // namespace
}  // namespace crisp
