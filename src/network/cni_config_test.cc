#include "network/cni_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "network/cni_result.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Why(std::string_view text) {
  const auto config = ParseCniConfig(text, "test.conf");
  return config.ok() ? "ok" : config.status().ToString();
}

TEST(CniConfig, ListsAndLonePlugins) {
  const auto list =
      ParseCniConfig(R"({"cniVersion": "1.0.0", "name": "net-1", "disableCheck": true, "plugins": [
    {"type": "bridge", "capabilities": {"portMappings": true, "dns": false}, "name": "stray", "x": 1}, {"type": "portmap"}]})",
                     "a.conflist");
  ASSERT_TRUE(list.ok()) << list.status().ToString();
  EXPECT_EQ(list->name, "net-1");
  EXPECT_TRUE(list->disable_check);
  ASSERT_EQ(list->plugins.size(), 2u);
  EXPECT_THAT(list->plugins[0].capabilities, ElementsAre("portMappings"));
  EXPECT_EQ(JsonInt(list->plugins[0].config, "x"), 1);
  EXPECT_FALSE(list->plugins[0].config.contains("name"));
  const auto again = ParseCniConfig(list->text, "cache");
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(again->text, list->text);

  const auto lone = ParseCniConfig(
      R"({"cniVersion": "0.3.1", "name": "n", "type": "bridge", "bridge": "b"})", "a.conf");
  ASSERT_TRUE(lone.ok()) << lone.status().ToString();
  ASSERT_EQ(lone->plugins.size(), 1u);
  EXPECT_EQ(ParseCniConfig(lone->text, "cache")->plugins[0].type, "bridge");
}

TEST(CniConfig, ChoosesTheNewestSpokenVersion) {
  const auto version = [](const std::string& text) {
    return ParseCniConfig(Cat("{\"name\":\"n\",\"type\":\"t\",", text, "}"), "x")->version;
  };
  EXPECT_EQ(version(R"("cniVersion":"0.4.0","cniVersions":["1.1.0","1.0.0","2.0.0"])"), "1.1.0");
  EXPECT_EQ(version(R"("cniVersions":["0.3.1"])"), "0.3.1");
  EXPECT_EQ(version(R"("cniVersion":"9.0.0","cniVersions":["1.0.0"])"), "1.0.0");
}

TEST(CniConfig, SaysWhatIsWrong) {
  EXPECT_THAT(Why(""), HasSubstr("test.conf: not valid JSON"));
  EXPECT_THAT(Why("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","type":"t"})"), HasSubstr("name is missing"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","type":"t","name":"../x"})"),
              HasSubstr("name is not made of"));
  EXPECT_THAT(Why(R"({"name":"n","type":"t"})"), HasSubstr("cniVersion is missing"));
  EXPECT_THAT(Why(R"({"cniVersion":"0.2.0","name":"n","type":"t"})"),
              HasSubstr("\"0.2.0\" is not supported"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","name":"n"})"), HasSubstr("no type"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","name":"n","type":"../../bin/sh"})"),
              HasSubstr("no plain file name"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","name":"n","plugins":{}})"),
              HasSubstr("plugins is no list"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","name":"n","plugins":[]})"),
              HasSubstr("list of plugins is empty"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","name":"n","plugins":[1]})"), HasSubstr("no object"));
  EXPECT_THAT(Why(R"({"cniVersion":"1.0.0","name":"n","type":"t","capabilities":[]})"),
              HasSubstr("capabilities"));
  std::string many;
  for (int i = 0; i < 65; ++i) many += Cat(i == 0 ? "" : ",", R"({"type":"t"})");
  EXPECT_THAT(Why(Cat(R"({"cniVersion":"1.0.0","name":"n","plugins":[)", many, "]}")),
              HasSubstr("at most 64"));
  EXPECT_THAT(Why(std::string(100000, '[')), HasSubstr("deeper than"));
  EXPECT_THAT(Why(std::string(2 << 20, ' ')), HasSubstr("larger than"));
}

class CniFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-cni-XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(MakeFolders(FolderOf(JoinPath(folder_, name))).ok());
    ASSERT_TRUE(ReplaceFile(JoinPath(folder_, name), text).ok());
  }
  std::string folder_;
};

TEST_F(CniFolderTest, FirstValidByNameBadOnesReported) {
  EXPECT_FALSE(LoadCniFolder(folder_ + "/absent").any_file);
  Write("00-bad.conflist", "{\"half\": ");
  Write("20-b.conf", R"({"cniVersion":"1.0.0","name":"b","type":"t"})");
  Write("10-a.json", R"({"cniVersion":"1.0.0","name":"a","plugins":[{"type":"t"}]})");
  Write("05-ignored.conf.bak", "{");
  Write(".hidden.conf", "{");
  ASSERT_TRUE(MakeFolders(folder_ + "/folder.conf").ok());
  const CniFolder folder = LoadCniFolder(folder_);
  EXPECT_TRUE(folder.any_file);
  ASSERT_EQ(folder.valid.size(), 2u);
  EXPECT_EQ(folder.valid[0].name, "a");
  ASSERT_EQ(folder.problems.size(), 1u);
  EXPECT_EQ(folder.problems[0].file, folder_ + "/00-bad.conflist");
}

TEST_F(CniFolderTest, SideLoadedPlugins) {
  Write("net/20-second.conf", R"({"type":"second"})");
  Write("net/10-first.conf", R"({"type":"first"})");
  Write("a.conflist", R"({"cniVersion":"1.1.0","name":"net","plugins":[{"type":"main"}]})");
  auto types = [&] {
    std::vector<std::string> names;
    const CniFolder folder = LoadCniFolder(folder_);
    for (const CniPlugin& plugin : folder.valid.at(0).plugins) names.push_back(plugin.type);
    return names;
  };
  EXPECT_THAT(types(), ElementsAre("main", "first", "second"));
  Write(
      "a.conflist",
      R"({"cniVersion":"1.1.0","name":"net","loadOnlyInlinedPlugins":true,"plugins":[{"type":"main"}]})");
  EXPECT_THAT(types(), ElementsAre("main"));
  Write("a.conflist", R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"main"}]})");
  EXPECT_THAT(types(), ElementsAre("main"));
  Write("a.conflist", R"({"cniVersion":"1.1.0","name":"net","plugins":[]})");
  EXPECT_THAT(types(), ElementsAre("first", "second"));
}

TEST(CniResult, AddressesAndForms) {
  const auto result = ParseCniResult(
      R"({"cniVersion":"1.0.0","interfaces":[{"name":"br"},{"name":"eth0","sandbox":"/run/netns/x"}],
    "ips":[{"address":"fd00::2/64","interface":1},{"address":"10.9.0.1/24","interface":0},{"address":"10.1.0.2/24","gateway":"10.1.0.1","interface":1}],
    "routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}],"dns":{"nameservers":["10.1.0.1"]}})",
      "0.4.0");
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_THAT(CniResultIps(*result, "eth0"), ElementsAre("10.1.0.2", "fd00::2"));
  EXPECT_EQ((*result)["ips"][0]["version"], "6");  // 0.4.0 has it, 1.0.0 does not
  EXPECT_EQ((*result)["cniVersion"], "0.4.0");
  EXPECT_FALSE((*CheckCniResult(*result, "1.1.0"))["ips"][0].contains("version"));
  EXPECT_THAT(
      CniResultIps(
          *ParseCniResult(R"({"cniVersion":"1.0.0","ips":[{"address":"10.1.0.2/24"}]})", "1.0.0"),
          "eth0"),
      ElementsAre("10.1.0.2"));
}

TEST(CniResult, HostileOnesAreRefused) {
  const auto why = [](std::string_view text) {
    const auto result = ParseCniResult(text, "1.0.0");
    return result.ok() ? "ok" : result.status().ToString();
  };
  EXPECT_THAT(why(""), HasSubstr("printed nothing"));
  EXPECT_THAT(why("hello"), HasSubstr("not valid JSON"));
  EXPECT_THAT(why("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(why(R"({"cniVersion":"0.1.0"})"), HasSubstr("not supported"));
  EXPECT_THAT(why(R"({"ips":{}})"), HasSubstr("ips is no list"));
  EXPECT_THAT(why(R"({"ips":[{"address":"10.0.0.1"}]})"), HasSubstr("prefix length"));
  EXPECT_THAT(why(R"({"ips":[{"address":"0.0.0.0/0"}]})"), HasSubstr("unspecified"));
  EXPECT_THAT(why(R"({"ips":[{"address":"10.0.0.1/8","interface":0}]})"),
              HasSubstr("does not list"));
  EXPECT_THAT(
      why(R"({"ips":[{"address":"10.0.0.1/8","interface":-1}],"interfaces":[{"name":"a"}]})"),
      HasSubstr("does not list"));
  EXPECT_THAT(why(R"({"interfaces":[{"name":"../../x"}]})"), HasSubstr("valid name"));
  EXPECT_THAT(why(R"({"routes":[{"dst":"x"}]})"), HasSubstr("dst"));
  EXPECT_THAT(why(R"({"dns":{"nameservers":[1]}})"), HasSubstr("dns.nameservers"));
  std::string many = "{\"address\":\"10.0.0.1/8\"}";
  for (int i = 0; i < 300; ++i) many += ",{\"address\":\"10.0.0.1/8\"}";
  EXPECT_THAT(why(Cat("{\"ips\":[", many, "]}")), HasSubstr("more than 256"));
  EXPECT_EQ(why(R"({"ips":null,"routes":null,"dns":null,"interfaces":null})"), "ok");
}

}  // namespace
}  // namespace crisp
