// Plugins are shell scripts that the tests write; where Debian's containernetworking-plugins are
// installed, also those.
#include "network/cni_network.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "absl/strings/escaping.h"
#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "kernel/namespace.h"
#include "kernel/netlink.h"
#include "network/network_choice.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

#define ASSERT_OK(expression)                        \
  do {                                               \
    const absl::Status status_ = (expression);       \
    ASSERT_TRUE(status_.ok()) << status_.ToString(); \
  } while (false)

std::string Shell(const std::string& script) {
  const auto result =
      RunProcess({{"/bin/sh", "-c", script}, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, ""}, Call());
  return result.ok() ? result->stdout_data + result->stderr_data : result.status().ToString();
}

constexpr const char* kResult =
    R"({"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.1.0.2/24","interface":0}]})";

class CniNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);  // as the daemon does
    char name[] = "/tmp/crisp-cni-XXXXXX";
    folder_ = mkdtemp(name);
    for (const char* sub : {"bin", "conf", "log", "say"})
      ASSERT_OK(MakeFolders(JoinPath(folder_, sub)));
    options_.cni_conf_dir = JoinPath(folder_, "conf");
    options_.cni_bin_dirs = {JoinPath(folder_, "missing"), JoinPath(folder_, "bin")};
    options_.cni_cache_dir = JoinPath(folder_, "cache");
    database_ = *Database::Open(JoinPath(folder_, "crisp.db"));
    network_ = *CniNetwork::Open(options_, *database_);
    request_.pod_id = RandomId();
    request_.name = "web";
    request_.ns = "default";
    request_.uid = "1234";
    request_.netns_path = JoinPath(folder_, "netns/a");
    ASSERT_OK(PrepareNetnsFolder(JoinPath(folder_, "netns")));
    ASSERT_OK(PinNamespaces({{NamespaceKind::kNetwork, request_.netns_path}}, "", {}));
  }
  void TearDown() override {
    EXPECT_TRUE(UnpinNamespace(request_.netns_path).ok());
    network_.reset();
    database_.reset();
    Shell(Cat("umount -l ", folder_, "/netns; rm -rf ", folder_));
  }
  // A plugin that records how it is called and then does what say/<name>.<command> says.
  void MakePlugin(const std::string& name) {
    const std::string path = Cat(folder_, "/bin/", name);
    ASSERT_OK(ReplaceFile(path,
                          Cat("#!/bin/sh\ncd ", folder_, "/log\nf=$(ls | wc -l)-", name,
                              "-$CNI_COMMAND\n{ env | grep ^CNI_ | sort; cat; } > $f\n"
                              "say=../say/",
                              name, ".$CNI_COMMAND\nif [ -f $say ]; then . $say; fi\n"),
                          0755));
  }
  void Say(const std::string& name_and_command, const std::string& script) {
    ASSERT_OK(ReplaceFile(Cat(folder_, "/say/", name_and_command), script + "\n"));
  }
  void SayResult(const std::string& name, const std::string& result = kResult) {
    Say(name + ".ADD", Cat("echo '", result, "'"));
  }
  void Use(const std::string& text) {
    auto config = ParseCniConfig(text, "test");
    ASSERT_OK(config.status());
    network_->SetConfig(std::make_shared<const CniConfig>(*std::move(config)), absl::OkStatus());
  }
  void UseTwo(const std::string& version = "1.1.0") {
    for (const char* name : {"one", "two"}) {
      MakePlugin(name);
      SayResult(name);
    }
    Use(Cat(
        R"({"cniVersion":")", version,
        R"(","name":"net","plugins":[{"type":"one","capabilities":{"portMappings":true}},{"type":"two","key":5}]})"));
  }
  std::string Log() { return Shell(Cat("cd ", folder_, "/log; ls | sort -n | tr '\\n' ' '")); }
  std::string LogText(const std::string& name) {
    return ReadFile(Cat(folder_, "/log/", name)).value_or("no such call");
  }
  Json LogInput(const std::string& name) {
    const std::string text = LogText(name);
    return ParseJson(std::string_view(text).substr(std::min(text.find('{'), text.size())), name)
        .value_or(Json());
  }
  std::string CachePath() { return Cat(folder_, "/cache/results/net-", request_.pod_id, "-eth0"); }

  std::string folder_;
  NetworkOptions options_;
  std::unique_ptr<Database> database_;
  std::shared_ptr<CniNetwork> network_;
  PodNetworkRequest request_;
};

TEST_F(CniNetworkTest, TheChainToTheLetter) {
  UseTwo();
  request_.ports = {{"udp", 53, 5353, "10.0.0.1"}, {"tcp", 80, 0, ""}};
  SayResult(
      "one",
      R"({"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.1.0.2/24","interface":0}],"extra":"kept"})");
  const auto added = network_->Add(request_, Call());
  ASSERT_OK(added.status());
  EXPECT_THAT(added->ips, ElementsAre("10.1.0.2"));
  EXPECT_EQ(Log(), "0-one-ADD 1-two-ADD ");
  const std::string first = LogText("0-one-ADD");
  EXPECT_THAT(first, HasSubstr(Cat("CNI_CONTAINERID=", request_.pod_id, "\n")));
  EXPECT_THAT(first, HasSubstr(Cat("CNI_NETNS=", request_.netns_path, "\n")));
  EXPECT_THAT(first, HasSubstr("CNI_IFNAME=eth0\n"));
  EXPECT_THAT(first, HasSubstr(Cat("CNI_PATH=", folder_, "/missing:", folder_, "/bin\n")));
  EXPECT_THAT(first, HasSubstr(Cat("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_"
                                   "NAME=web;K8S_POD_INFRA_CONTAINER_ID=",
                                   request_.pod_id, ";K8S_POD_UID=1234\n")));
  EXPECT_EQ(
      LogInput("0-one-ADD"),
      *ParseJson(
          R"({"name":"net","cniVersion":"1.1.0","type":"one","capabilities":{"portMappings":true},
    "runtimeConfig":{"portMappings":[{"hostPort":5353,"containerPort":53,"protocol":"udp","hostIP":"10.0.0.1"}]}})",
          ""));
  const Json second = LogInput("1-two-ADD");
  EXPECT_EQ(second["prevResult"]["extra"], "kept");
  EXPECT_EQ(second["key"], 5);
  EXPECT_FALSE(second.contains("runtimeConfig"));

  const Json cached = *ParseJson(*ReadFile(CachePath()), "cache");
  EXPECT_EQ(cached["kind"], "cniCacheV1");
  EXPECT_EQ(cached["containerId"], request_.pod_id);
  EXPECT_EQ(cached["networkName"], "net");
  EXPECT_EQ(cached["ifName"], "eth0");
  EXPECT_EQ(cached["netns"], request_.netns_path);
  EXPECT_EQ(cached["cniArgs"][2], Json({"K8S_POD_NAME", "web"}));
  EXPECT_EQ(cached["capabilityArgs"]["portMappings"][0]["hostPort"], 5353);
  EXPECT_EQ(cached["result"]["ips"][0]["address"], "10.1.0.2/24");
  std::string config;
  ASSERT_TRUE(absl::Base64Unescape(cached["config"].get<std::string>(), &config));
  EXPECT_EQ(ParseCniConfig(config, "cached")->plugins.size(), 2u);

  ASSERT_OK(network_->Check(request_, added->state_json, Call()));
  EXPECT_THAT(Log(), HasSubstr("2-one-CHECK 3-two-CHECK"));
  EXPECT_EQ(LogInput("3-two-CHECK")["prevResult"]["ips"][0]["address"], "10.1.0.2/24");

  ASSERT_OK(network_->Del(request_, added->state_json, Call()));
  EXPECT_THAT(Log(), HasSubstr("4-two-DEL 5-one-DEL"));
  EXPECT_EQ(LogInput("5-one-DEL")["prevResult"]["ips"][0]["address"], "10.1.0.2/24");
  EXPECT_EQ(LogInput("5-one-DEL")["runtimeConfig"]["portMappings"][0]["hostPort"], 5353);
  EXPECT_FALSE(PathExists(CachePath()));
  ASSERT_OK(network_->Del(request_, added->state_json, Call()));
  EXPECT_THAT(Log(), Not(HasSubstr("6-")));
}

TEST_F(CniNetworkTest, DelUsesWhatAddUsed) {
  UseTwo();
  const auto added = network_->Add(request_, Call());
  ASSERT_OK(added.status());
  MakePlugin("other");
  Use(R"({"cniVersion":"1.0.0","name":"other","type":"other"})");
  network_ =
      *CniNetwork::Open(options_, *database_);  // and the daemon restarted, and its file has gone
  ASSERT_OK(UnpinNamespace(request_.netns_path));
  ASSERT_OK(network_->Del(request_, "", Call()));
  EXPECT_EQ(Log(), "0-one-ADD 1-two-ADD 2-two-DEL 3-one-DEL ");
  EXPECT_THAT(LogText("2-two-DEL"), HasSubstr("CNI_NETNS=\n"));
}

TEST_F(CniNetworkTest, AFailedAddIsUndone) {
  UseTwo();
  Say("two.ADD",
      R"(echo '{"cniVersion":"1.1.0","code":11,"msg":"no address","details":"pool is empty"}'; exit 1)");
  const auto added = network_->Add(request_, Call());
  EXPECT_TRUE(absl::IsUnavailable(added.status())) << added.status().ToString();
  EXPECT_THAT(added.status().ToString(), HasSubstr("CNI network net: CNI plugin two (ADD) failed: "
                                                   "no address; pool is empty (CNI error 11)"));
  EXPECT_EQ(Log(), "0-one-ADD 1-two-ADD 2-two-DEL 3-one-DEL ");
  EXPECT_FALSE(PathExists(CachePath()));
  ASSERT_OK(network_->Del(request_, "", Call()));
  EXPECT_EQ(Log(), "0-one-ADD 1-two-ADD 2-two-DEL 3-one-DEL ");
}

TEST_F(CniNetworkTest, ADelThatFailsIsTriedAgain) {
  UseTwo();
  ASSERT_OK(network_->Add(request_, Call()).status());
  Say("one.DEL", "echo 'broken pipe dream' >&2; exit 3");
  const absl::Status status = network_->Del(request_, "", Call());
  EXPECT_THAT(status.ToString(),
              HasSubstr("CNI plugin one (DEL) failed with exit code 3: broken pipe dream"));
  Say("one.DEL", "");
  ASSERT_OK(network_->Del(request_, "", Call()));
  EXPECT_FALSE(PathExists(CachePath()));
}

// The daemon was killed in the middle of an ADD: the next one starts with a DEL.
TEST_F(CniNetworkTest, AnInterruptedAddIsSweptUp) {
  UseTwo();
  ASSERT_OK(
      database_->Run("INSERT INTO network_cni (pod, network, config, netns, args, capabilities) "
                     "VALUES (?, ?, ?, ?, '', '{}')",
                     request_.pod_id, "net", network_->Config()->text, request_.netns_path));
  ASSERT_OK(network_->Add(request_, Call()).status());
  EXPECT_EQ(Log(), "0-two-DEL 1-one-DEL 2-one-ADD 3-two-ADD ");
}

TEST_F(CniNetworkTest, HostileResults) {
  MakePlugin("one");
  Use(R"({"cniVersion":"1.0.0","name":"net","type":"one"})");
  const auto add = [&](const std::string& script) {
    Say("one.ADD", script);
    return network_->Add(request_, Call()).status().ToString();
  };
  EXPECT_THAT(add("true"), HasSubstr("printed nothing"));
  EXPECT_THAT(add("echo nonsense"), HasSubstr("not valid JSON"));
  EXPECT_THAT(add("head -c 3000000 /dev/zero"), HasSubstr("larger than 1 MiB"));
  EXPECT_THAT(add(R"(echo '{"cniVersion":"1.0.0","ips":[{"address":"evil"}]}')"),
              HasSubstr("\"evil\" is no IP address"));
  EXPECT_THAT(add(R"(echo '{"cniVersion":"1.0.0"}')"), HasSubstr("gave the pod no address"));
  EXPECT_THAT(add(R"(printf '{"code":7,"msg":"two\\nlines\\u001b[31m"}'; exit 1)"),
              HasSubstr("two lines [31m (CNI error 7)"));
  EXPECT_THAT(add("kill -9 $$"), HasSubstr("exit code 137"));
  EXPECT_EQ(Shell(Cat("ls ", folder_, "/cache 2>/dev/null")), "");
}

TEST_F(CniNetworkTest, PluginsThatHangAreKilled) {
  MakePlugin("one");
  Say("one.ADD", "sleep 1000");
  Use(R"({"cniVersion":"1.0.0","name":"net","type":"one"})");
  const auto added = network_->Add(request_, Call().Within(absl::Milliseconds(300)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(added.status())) << added.status().ToString();
  EXPECT_EQ(Log(), "0-one-ADD 1-one-DEL ");
}

TEST_F(CniNetworkTest, MissingPluginAndMissingConfiguration) {
  const auto none = network_->Add(request_, Call());
  EXPECT_TRUE(absl::IsFailedPrecondition(none.status())) << none.status().ToString();
  EXPECT_THAT(network_->Ready().ToString(),
              HasSubstr("Network plugin returns error: cni plugin not initialized"));
  Use(R"({"cniVersion":"1.0.0","name":"net","type":"absent"})");
  EXPECT_THAT(
      network_->Add(request_, Call()).status().ToString(),
      HasSubstr(Cat("CNI plugin absent is not in ", folder_, "/missing, ", folder_, "/bin")));
}

TEST_F(CniNetworkTest, OldVersionsAreSpokenInTheirOwnForm) {
  UseTwo("0.3.1");
  const auto added = network_->Add(request_, Call());
  ASSERT_OK(added.status());
  EXPECT_EQ(LogInput("1-two-ADD")["prevResult"]["ips"][0]["version"], "4");
  EXPECT_EQ(LogInput("1-two-ADD")["prevResult"]["cniVersion"], "0.3.1");
  ASSERT_OK(network_->Check(request_, added->state_json, Call()));
  ASSERT_OK(network_->Del(request_, added->state_json, Call()));
  EXPECT_EQ(Log(), "0-one-ADD 1-two-ADD 2-two-DEL 3-one-DEL ");  // no CHECK before 0.4.0
  EXPECT_FALSE(LogInput("3-one-DEL").contains("prevResult"));
}

TEST_F(CniNetworkTest, GcNamesEveryAttachmentThatIsStillValid) {
  UseTwo();
  PodNetworkRequest kept = request_;
  kept.pod_id = RandomId();
  ASSERT_OK(network_->Add(kept, Call()).status());
  ASSERT_OK(network_->Add(request_, Call()).status());
  // Another runtime's attachment in the same cache.
  ASSERT_OK(ReplaceFile(
      Cat(folder_, "/cache/results/net-foreign-eth1"),
      R"({"kind":"cniCacheV1","containerId":"foreign","networkName":"net","ifName":"eth1","config":"","result":{}})"));
  ASSERT_OK(network_->ReleaseAllExcept({kept.pod_id}, Call()));
  EXPECT_THAT(Log(), HasSubstr("4-two-DEL 5-one-DEL 6-one-GC 7-two-GC"));
  const Json valid = LogInput("6-one-GC")["cni.dev/valid-attachments"];
  Json expected = {{{"containerID", kept.pod_id}, {"ifname", "eth0"}},
                   {{"containerID", "foreign"}, {"ifname", "eth1"}}};
  EXPECT_EQ(valid, expected);
  EXPECT_THAT(LogText("6-one-GC"), Not(HasSubstr("CNI_CONTAINERID")));
  EXPECT_TRUE(PathExists(Cat(folder_, "/cache/results/net-foreign-eth1")));
}

TEST_F(CniNetworkTest, StatusDecidesReadiness) {
  UseTwo();
  EXPECT_THAT(network_->Ready().ToString(), HasSubstr("not been asked"));
  network_->AskStatus(Call());
  EXPECT_TRUE(network_->Ready().ok()) << network_->Ready().ToString();
  Say("two.STATUS", R"(echo '{"cniVersion":"1.1.0","code":50,"msg":"agent is down"}'; exit 1)");
  network_->AskStatus(Call());
  EXPECT_THAT(
      network_->Ready().ToString(),
      HasSubstr("CNI network net: CNI plugin two (STATUS) failed: agent is down (CNI error 50)"));
  UseTwo("1.0.0");
  EXPECT_TRUE(network_->Ready().ok());
}

TEST_F(CniNetworkTest, CapabilitiesOfAPod) {
  request_.annotations = {{"kubernetes.io/ingress-bandwidth", "10M"},
                          {"kubernetes.io/egress-bandwidth", "1.5Gi"}};
  request_.dns = {{"servers", {"10.0.0.10"}}};
  request_.cgroup_parent = "/kubepods/pod1";
  const Json args = *CniCapabilityArgs(request_);
  EXPECT_EQ(args["bandwidth"], Json({{"ingressRate", 10000000},
                                     {"ingressBurst", 2147483647},
                                     {"egressRate", 1610612736},
                                     {"egressBurst", 2147483647}}));
  EXPECT_EQ(args["dns"]["servers"][0], "10.0.0.10");
  EXPECT_EQ(args["cgroupPath"], "/kubepods/pod1");
  EXPECT_EQ(args["io.kubernetes.cri.pod-annotations"].size(), 2u);
  for (const char* text :
       {"", "x", "-1M", "10", "1e30", "2P", "nan", "inf", "10 M", "0x10M", "10Mi "}) {
    EXPECT_FALSE(ParseBandwidth(text).ok()) << text;
  }
  request_.annotations["kubernetes.io/egress-bandwidth"] = "much";
  EXPECT_THAT(CniCapabilityArgs(request_).status().ToString(),
              HasSubstr("annotation kubernetes.io/egress-bandwidth"));
  Use(R"({"cniVersion":"1.0.0","name":"net","type":"one"})");
  request_.annotations.clear();
  request_.name = "a;CNI=b";
  EXPECT_TRUE(absl::IsInvalidArgument(network_->Add(request_, Call()).status()));
}

TEST_F(CniNetworkTest, TheChoiceFollowsTheFolder) {
  MakePlugin("one");
  ASSERT_OK(RemoveTree(options_.cni_conf_dir));
  auto opened = NetworkChoice::Open(options_, *database_);
  ASSERT_OK(opened.status());
  NetworkChoice& choice = **opened;
  const auto wait_for = [&](const std::string& kind, bool ready) {
    for (int i = 0; i < 1000 && (choice.Current()->kind() != kind || choice.Ready().ok() != ready);
         ++i) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    return std::string(choice.Current()->kind()) + (choice.Ready().ok() ? " ready" : " not ready");
  };
  EXPECT_EQ(wait_for("bridge", true), "bridge ready");
  const std::string path = JoinPath(options_.cni_conf_dir, "10-net.conflist");
  ASSERT_OK(MakeFolders(options_.cni_conf_dir));
  ASSERT_OK(ReplaceFile(path, R"({"cniVersion":"1.1.0","name":"net","plugins":[{"type":"one"}]})"));
  EXPECT_EQ(wait_for("cni", true), "cni ready");
  // A writer that takes its time: what is half there is never used, what is broken is not ready and
  // says why.
  Shell(Cat("printf '{\"cniVersion\":' > ", path));
  EXPECT_EQ(wait_for("cni", false), "cni not ready");
  EXPECT_THAT(choice.Ready().ToString(), HasSubstr("10-net.conflist: not valid JSON"));
  Shell(Cat("printf '\"1.0.0\",\"name\":\"n\",\"type\":\"one\"}' >> ", path));
  EXPECT_EQ(wait_for("cni", true), "cni ready");
  ASSERT_OK(RemoveFile(path));
  EXPECT_EQ(wait_for("bridge", true), "bridge ready");
  ASSERT_OK(RemoveTree(options_.cni_conf_dir));
  ASSERT_OK(MakeFolders(options_.cni_conf_dir));
  ASSERT_OK(ReplaceFile(path, R"({"cniVersion":"1.0.0","name":"net","type":"one"})"));
  EXPECT_EQ(wait_for("cni", true), "cni ready");
  EXPECT_EQ((*choice.ByKind("bridge"))->kind(), "bridge");
  EXPECT_FALSE(choice.ByKind("token ring").ok());
  NetworkOptions options = options_;
  options.mode = "bridge";
  EXPECT_EQ((*NetworkChoice::Open(options, *database_))->Current()->kind(), "bridge");
  options.mode = "cni";
  options.cni_conf_dir = JoinPath(folder_, "nowhere");
  EXPECT_FALSE((*NetworkChoice::Open(options, *database_))->Ready().ok());
  options.mode = "both";
  EXPECT_FALSE(NetworkChoice::Open(options, *database_).ok());
}

// The reference plugins, as Debian packages them.
TEST_F(CniNetworkTest, ReferencePlugins) {
  options_.cni_bin_dirs = {"/usr/lib/cni"};
  for (const char* plugin : {"bridge", "host-local", "portmap"}) {
    if (!PathExists(Cat("/usr/lib/cni/", plugin)))
      GTEST_SKIP() << "containernetworking-plugins is not installed";
  }
  network_ = *CniNetwork::Open(options_, *database_);
  Use(Cat(
      R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,
      "hairpinMode":true,"ipam":{"type":"host-local","dataDir":")",
      folder_, R"(/ipam","ranges":[[{"subnet":"10.200.0.0/24"}],[{"subnet":"fd00:200::/64"}]],
      "routes":[{"dst":"0.0.0.0/0"}]}},{"type":"portmap","capabilities":{"portMappings":true}}]})"));
  request_.ports = {{"tcp", 80, 12345, ""}};
  const auto added = network_->Add(request_, Call());
  ASSERT_OK(added.status());
  EXPECT_THAT(added->ips, ElementsAre("10.200.0.2", "fd00:200::2"));
  const UniqueFd netns = *OpenFile(request_.netns_path, O_RDONLY);
  ASSERT_OK(InNamespace(netns.get(), []() -> absl::Status {
    auto netlink = *Netlink::Open();
    const auto link = *netlink.FindLink("eth0");
    if (!link || !link->up) return absl::InternalError("no eth0");
    return netlink.Addresses(link->index)->empty() ? absl::InternalError("no address")
                                                   : absl::OkStatus();
  }));
  EXPECT_THAT(Shell("iptables -t nat -S"), HasSubstr("--dport 12345"));
  // portmap 1.1.1 looks for IPv4 rules among those of IPv6 when it checks.
  const absl::Status checked = network_->Check(request_, added->state_json, Call());
  EXPECT_THAT(checked.ToString(), testing::AnyOf("OK", HasSubstr("plugin portmap (CHECK)")));
  ASSERT_OK(network_->Del(request_, added->state_json, Call()));
  EXPECT_THAT(Shell("iptables -t nat -S"), Not(HasSubstr("--dport 12345")));
  EXPECT_EQ(Shell(Cat("ls ", folder_, "/ipam/net | grep 10.200")), "");
  ASSERT_OK(network_->Del(request_, added->state_json, Call()));
  Shell("ip link del cni0");
}

}  // namespace
}  // namespace crisp
