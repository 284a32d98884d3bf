#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"

namespace crisp {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-config-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }

  std::string Write(const std::string& name, std::string_view text) {
    const std::string path = JoinPath(folder_, name);
    EXPECT_TRUE(MakeFolders(FolderOf(path)).ok());
    EXPECT_TRUE(ReplaceFile(path, text).ok());
    return path;
  }
  std::string Error(std::string_view text) {
    return LoadConfig(Write("crisp.toml", text), {}).status().ToString();
  }

  std::string folder_;
};

// The annotated file with the mark of a comment taken off every line that holds a value.
std::string Uncommented(const std::string& text) {
  std::string out;
  for (std::string_view line : Split(text, '\n')) {
    if (line == "# [[registry]]" || line == "# [[runtime]]") break;  // an example, no default
    const bool value = line.starts_with("# ") && line.find(" = ") != std::string_view::npos &&
                       line.substr(2, line.find(" = ") - 2).find(' ') == std::string_view::npos;
    out += Cat(value ? line.substr(2) : line, "\n");
  }
  return out;
}

TEST_F(ConfigTest, WithoutFileAndFlagsEverythingHasItsDefault) {
  const auto config = LoadConfig("", {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, Config());
  EXPECT_EQ(config->SocketPath(), "/run/crisp/crispd.sock");
}

TEST_F(ConfigTest, ThePackagedFileIsMadeFromTheTable) {
  const auto file = ReadFile(CRISP_SOURCE_DIR "/packaging/crisp.toml");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*file, AnnotatedConfig()) << "crispd --default-config > packaging/crisp.toml";
}

TEST_F(ConfigTest, ThePackagedFileMeansTheDefaultsAsItIsAndUncommented) {
  Config config;
  ASSERT_TRUE(ApplyToml(AnnotatedConfig(), "crisp.toml", config).ok());
  EXPECT_EQ(config, Config());
  // Not the defaults, so that a value that is not read shows.
  config = {.root = "", .state = "", .listen = "", .log_level = "", .server_threads = 0};
  config.network_masquerade = false;
  config.cni_bin_dirs.clear();
  const absl::Status status = ApplyToml(Uncommented(AnnotatedConfig()), "crisp.toml", config);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(config, Config());
}

TEST_F(ConfigTest, EveryKeyIsInTheTableOnceAndExplained) {
  std::set<std::string_view> names;
  for (const auto& key : ConfigKeys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_FALSE(key.doc.empty()) << key.name;
  }
}

TEST_F(ConfigTest, ReadsEveryType) {
  const auto config = LoadConfig(Write("crisp.toml", R"(
root = "/srv/crisp"
[server]
threads = 64
[network]
masquerade = false
subnets = ["10.9.0.0/16", "fd00:9::/64"]
[cni]
conf_dir = "/etc/cni"
[[registry]]
host = "registry.k8s.io"
mirrors = ["http://127.0.0.1:5000"]
[[registry]]
host = "10.0.0.5:5000"
insecure = true
)"),
                                 {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->root, "/srv/crisp");
  EXPECT_EQ(config->server_threads, 64);
  EXPECT_FALSE(config->network_masquerade);
  EXPECT_THAT(config->network_subnets, ElementsAre("10.9.0.0/16", "fd00:9::/64"));
  ASSERT_EQ(config->registries.size(), 2);
  EXPECT_EQ(config->registries[0].host, "registry.k8s.io");
  EXPECT_THAT(config->registries[0].mirrors, ElementsAre("http://127.0.0.1:5000"));
  EXPECT_TRUE(config->registries[1].insecure);
}

TEST_F(ConfigTest, DropInsFollowTheFileInOrderAndFlagsWin) {
  const std::string file = Write("crisp.toml",
                                 "root = \"/a\"\nstate = \"/a\"\nlog_level = \"warn\"\n"
                                 "[[registry]]\nhost = \"h\"\ninsecure = true\n");
  Write("crisp.toml.d/20-b.toml", "root = \"/c\"\n[[registry]]\nhost = \"h\"\nplain_http = true\n");
  Write("crisp.toml.d/10-a.toml", "root = \"/b\"\nstate = \"/b\"\n");
  Write("crisp.toml.d/README", "no toml");
  const auto config = LoadConfig(file, {{"log_level", "debug"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->root, "/c");
  EXPECT_EQ(config->state, "/b");
  EXPECT_EQ(config->log_level, "debug");
  ASSERT_EQ(config->registries.size(), 1);
  EXPECT_TRUE(config->registries[0].plain_http);
  EXPECT_FALSE(config->registries[0].insecure);
}

TEST_F(ConfigTest, AnUnknownKeyIsNamedWithItsPlaceAndTheNearest) {
  EXPECT_THAT(Error("\nroott = \"/a\"\n"),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("crisp.toml:2: unknown key \"roott\""),
                    HasSubstr("\"root\"")));
  EXPECT_THAT(Error("[network]\nbrigde = \"x\"\n"),
              AllOf(HasSubstr("crisp.toml:2"), HasSubstr("\"network.brigde\""),
                    HasSubstr("\"network.bridge\"")));
  // The section was forgotten, or is unknown itself.
  EXPECT_THAT(Error("conf_dir = \"/x\"\n"), HasSubstr("nearest known key is \"cni.conf_dir\""));
  EXPECT_THAT(Error("[netwrok]\nbridge = \"x\"\n"), HasSubstr("unknown key \"netwrok\""));
  EXPECT_THAT(Error("[[registry]]\nhost = \"h\"\nmirror = \"x\"\n"),
              AllOf(HasSubstr("crisp.toml:3"), HasSubstr("\"mirrors\"")));
}

TEST_F(ConfigTest, AnErrorInADropInNamesTheDropIn) {
  const std::string file = Write("crisp.toml", "");
  Write("crisp.toml.d/10.toml", "\n\nfoo = 1\n");
  EXPECT_THAT(LoadConfig(file, {}).status().ToString(), HasSubstr("crisp.toml.d/10.toml:3:"));
}

TEST_F(ConfigTest, WrongTypesAndRangesAreNamed) {
  EXPECT_THAT(Error("root = 1\n"), HasSubstr(":1: key \"root\" must be a string, not an integer"));
  EXPECT_THAT(Error("[server]\nthreads = \"many\"\n"), HasSubstr("must be an integer"));
  EXPECT_THAT(Error("[server]\nthreads = 1\n"), HasSubstr("must lie between 8 and"));
  EXPECT_THAT(Error("[network]\nmasquerade = 1\n"), HasSubstr("must be true or false"));
  EXPECT_THAT(Error("[network]\nsubnets = [1]\n"), HasSubstr("must be a list of strings"));
  EXPECT_THAT(Error("network = 1\n"), HasSubstr("must be a table"));
  EXPECT_THAT(Error("[root]\n"), HasSubstr("must be a string, not a table"));
  EXPECT_THAT(Error("registry = \"x\"\n"), HasSubstr("[[registry]]"));
  EXPECT_THAT(Error("[[registry]]\ninsecure = true\n"), HasSubstr("needs the key \"host\""));
  EXPECT_THAT(Error("root = \n"), HasSubstr("crisp.toml:1:"));
}

TEST_F(ConfigTest, ContradictionsAreRefused) {
  EXPECT_THAT(Error("root = \"relative\"\n"), HasSubstr("must be an absolute path"));
  EXPECT_THAT(Error("listen = \"tcp://0.0.0.0:1\"\n"), HasSubstr("unix:///PATH"));
  EXPECT_THAT(Error(Cat("listen = \"unix:///", std::string(120, 'x'), "\"\n")),
              HasSubstr("is longer than"));
  EXPECT_THAT(Error("log_level = \"loud\"\n"), HasSubstr("\"log_level\""));
  EXPECT_THAT(Error("[network]\nmode = \"magic\"\n"), HasSubstr("network.mode"));
  EXPECT_THAT(Error("cgroup_driver = \"magic\"\n"), HasSubstr("cgroup_driver"));
  EXPECT_THAT(Error("[[registry]]\nhost = \"http://h\"\n"), HasSubstr("host is a name"));
  EXPECT_THAT(Error("[[registry]]\nhost = \"h\"\nmirrors = [\"ftp://x\"]\n"), HasSubstr("ftp://x"));
  EXPECT_THAT(Error("[[registry]]\nhost = \"h\"\nclient_cert = \"/x\"\n"), HasSubstr("client_key"));
  EXPECT_THAT(Error("[[registry]]\nhost = \"h\"\nca_file = \"/nowhere\"\n"),
              HasSubstr("/nowhere does not exist"));
}

TEST_F(ConfigTest, RuntimesAreRead) {
  const std::string file = Write("crisp.toml",
                                 "default_runtime = \"fast\"\n"
                                 "[[runtime]]\nname = \"fast\"\npath = \"/usr/bin/crun\"\n"
                                 "args = [\"--debug\"]\n[[runtime]]\nname = \"plain\"\n"
                                 "kind = \"native\"\n[[runtime]]\nname = \"own\"\n"
                                 "kind = \"runsc\"\npath = \"/usr/bin/runsc\"\n"
                                 "args = [\"--oci-seccomp\", \"-network=none\"]\n");
  Write("crisp.toml.d/10.toml", "[[runtime]]\nname = \"fast\"\npath = \"/usr/sbin/runc\"\n");
  const auto config = LoadConfig(file, {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->default_runtime, "fast");
  ASSERT_EQ(config->runtimes.size(), 3);
  EXPECT_EQ(config->runtimes[0].kind, "native");
  const RuntimeConfig& own = config->runtimes[1];
  EXPECT_EQ(own.kind, "runsc");
  EXPECT_TRUE(own.HasFlag("oci-seccomp") && own.HasFlag("network"));
  EXPECT_FALSE(own.HasFlag("seccomp") || own.HasFlag("none") || own.HasFlag(""));
  EXPECT_EQ(config->runtimes[2], (RuntimeConfig{"fast", "oci", "/usr/sbin/runc", {}}));
}

TEST_F(ConfigTest, ContradictoryRuntimesAreRefused) {
  EXPECT_THAT(Error("[[runtime]]\npath = \"/x\"\n"), HasSubstr("needs the key \"name\""));
  EXPECT_THAT(Error("[[runtime]]\nname = \"x\"\n"), HasSubstr("absolute path"));
  EXPECT_THAT(Error("[[runtime]]\nname = \"x\"\npath = \"crun\"\n"), HasSubstr("\"crun\""));
  EXPECT_THAT(Error("[[runtime]]\nname = \"x\"\nkind = \"shim\"\n"), HasSubstr("\"shim\""));
  EXPECT_THAT(Error("[[runtime]]\nname = \"x\"\nkind = \"native\"\npath = \"/x\"\n"),
              HasSubstr("neither path nor args"));
  EXPECT_THAT(Error("[[runtime]]\nname = \"x\"\npath = \"/x\"\nargs = [\"--systemd-cgroup\"]\n"),
              HasSubstr("must not hold --systemd-cgroup"));
  EXPECT_THAT(Error("[[runtime]]\nname = \"x\"\npath = \"/x\"\nargs = [\"--root=/y\"]\n"),
              HasSubstr("must not hold --root"));
  EXPECT_THAT(Error("[[runtime]]\nname = \"x\"\nkind = \"runsc\"\npath = \"/x\"\n"
                    "args = [\"-root\", \"/y\"]\n"),
              HasSubstr("must not hold --root"));
  EXPECT_THAT(Error("[[runtime]]\nnmae = \"x\"\n"), HasSubstr("\"name\""));
  EXPECT_THAT(Error("default_runtime = \"gone\"\n"),
              AllOf(HasSubstr("\"gone\""), HasSubstr("no [[runtime]]")));
}

TEST_F(ConfigTest, AMissingFileIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(LoadConfig(folder_ + "/none.toml", {}).status()));
}

}  // namespace
}  // namespace crisp
