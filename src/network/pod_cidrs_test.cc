// The cluster's address ranges: as text, and in the built-in network of a host in namespaces of its
// own (tools/private-namespaces).
#include "network/pod_cidrs.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/id.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "kernel/namespace.h"
#include "network/bridge_fixture.h"
#include "network/bridge_network.h"
#include "network/network_choice.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(PodCidrs, AreOneRangeOrOneOfEachFamily) {
  const auto text = [](std::string_view cidrs) {
    std::string out;
    const auto subnets = ParsePodCidrs(cidrs);
    if (!subnets.ok()) return std::string(subnets.status().message());
    for (const IpPrefix& subnet : *subnets) out += subnet.ToString() + " ";
    return out;
  };
  EXPECT_EQ(text("10.1.2.0/24"), "10.1.2.0/24 ");
  EXPECT_EQ(text("fd00::/64,10.1.2.3/24"), "10.1.2.0/24 fd00::/64 ");
  EXPECT_EQ(text("10.1.2.0/24, fd00::/64"), "10.1.2.0/24 fd00::/64 ");
  for (const char* wrong : {"", ",", "x", "10.1.2.3", "10.1.2.0/33", "10.1.2.0/24,",
                            "10.0.0.0/24,10.1.0.0/24", "10.0.0.0/31", "0.0.0.0/0", "::/0",
                            "127.0.0.0/16", "224.0.0.0/8", "fe80::/64", "ff00::/8"}) {
    EXPECT_EQ(ParsePodCidrs(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(text(wrong), HasSubstr("pod_cidr"));
  }
  EXPECT_FALSE(ParsePodCidrs(std::string(100'000, '1')).ok());
}

class PodCidrsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-cidrs-XXXXXX";
    folder_ = mkdtemp(name);
    options_.cni_conf_dir = JoinPath(folder_, "cni");
    options_.cni_cache_dir = JoinPath(folder_, "cache");
    ASSERT_TRUE(MakeFolders(options_.cni_conf_dir).ok());
    ASSERT_TRUE(PrepareNetnsFolder(JoinPath(folder_, "netns")).ok());
    Open();
  }
  void TearDown() override {
    networks_.reset();
    database_.reset();
    for (const auto& [pod, request] : pods_) UnpinNamespace(request.netns_path).IgnoreError();
    Shell(
        "for l in $(ip -o link show type bridge | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/'); do ip "
        "link del $l; done; nft flush ruleset");
    Shell(Cat("umount -l ", folder_, "/netns; rm -rf ", folder_));
  }
  // Also a restart of the daemon.
  void Open() {
    networks_.reset();
    database_.reset();
    auto database = Database::Open(JoinPath(folder_, "crisp.db"));
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    auto networks = NetworkChoice::Open(options_, *database_);
    ASSERT_TRUE(networks.ok()) << networks.status();
    networks_ = *std::move(networks);
  }
  // Its IPv4 address.
  std::string Add(const std::string& pod) {
    PodNetworkRequest& request = pods_[pod];
    request.pod_id = RandomId();
    request.netns_path = Cat(folder_, "/netns/", pod);
    EXPECT_TRUE(PinNamespaces({{NamespaceKind::kNetwork, request.netns_path}}, "", {}).ok());
    const auto result = networks_->Current()->Add(request, Call());
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok() || result->ips.empty()) return "";
    states_[pod] = result->state_json;
    return result->ips[0];
  }
  absl::Status Del(const std::string& pod) {
    return networks_->Current()->Del(pods_[pod], states_[pod], Call());
  }
  // Nobody listens there: a refusal is an answer of the pod's own kernel.
  static std::string Knock(const std::string& ip) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit = {3, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(9);
    inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return "ok";
    return errno == ECONNREFUSED ? "answered" : strerror(errno);
  }
  std::string KnockFrom(const std::string& pod, const std::string& ip) {
    std::string answer;
    const UniqueFd fd = *OpenFile(pods_[pod].netns_path, O_RDONLY);
    EXPECT_TRUE(InNamespace(fd.get(), [&] {
                  answer = Knock(ip);
                  return absl::OkStatus();
                }).ok());
    return answer;
  }

  std::string folder_;
  NetworkOptions options_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<NetworkChoice> networks_;
  std::map<std::string, PodNetworkRequest> pods_;
  std::map<std::string, std::string> states_;
};

TEST_F(PodCidrsTest, NewPodsMoveOldPodsStay) {
  const std::string old = Add("old");
  EXPECT_THAT(old, StartsWith("10.80.0."));
  ASSERT_TRUE(networks_->SetPodCidrs("10.93.1.0/24,fd93::/64").ok());
  const std::string fresh = Add("fresh");
  EXPECT_EQ(fresh, "10.93.1.2");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Knock(old), "answered");
    EXPECT_EQ(Knock(fresh), "answered");
    EXPECT_EQ(KnockFrom("old", fresh), "answered");
    EXPECT_EQ(KnockFrom("fresh", old), "answered");
    EXPECT_TRUE(networks_->Current()->Check(pods_["old"], states_["old"], Call()).ok());
    Open();
  }
  EXPECT_THAT(Add("later"), StartsWith("10.93.1."));
  const std::string rules = Shell("nft list ruleset");
  EXPECT_THAT(rules, HasSubstr("10.80.0.0/16"));
  EXPECT_THAT(rules, HasSubstr("10.93.1.0/24"));
  // With its last pod the old range leaves the bridge: it may be another node's by now.
  EXPECT_THAT(Shell("ip addr"), HasSubstr("10.80.0.1/16"));
  ASSERT_TRUE(Del("old").ok());
  EXPECT_THAT(Shell("ip addr; ip route"), Not(HasSubstr("10.80.")));
  EXPECT_THAT(Add("last"), StartsWith("10.93.1."));
  EXPECT_THAT(Shell("nft list ruleset"), Not(HasSubstr("10.80.")));
  EXPECT_EQ(KnockFrom("last", fresh), "answered");
  // And back, with host ports on the way.
  ASSERT_TRUE(networks_->SetPodCidrs("10.80.0.0/16").ok());
  EXPECT_THAT(Add("back"), StartsWith("10.80.0."));
  EXPECT_EQ(KnockFrom("back", fresh), "answered");
}

TEST_F(PodCidrsTest, BeforeTheFirstPodNothingIsTouched) {
  ASSERT_TRUE(networks_->SetPodCidrs("10.94.0.0/24").ok());
  EXPECT_THAT(Shell("ip -o link"), Not(HasSubstr("crisp0")));
  Open();
  EXPECT_EQ(Add("first"), "10.94.0.2");
}

TEST_F(PodCidrsTest, ARangeOfAnotherLinkIsRefusedAndNothingChanges) {
  Add("one");
  Shell(
      "ip link add other0 type veth peer name other1; ip addr add 10.95.0.9/24 dev other0;"
      "ip link set other0 up");
  const absl::Status refused = networks_->SetPodCidrs("10.95.0.0/16");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("10.95.0.9"));
  EXPECT_THAT(Add("two"), StartsWith("10.80.0."));
  EXPECT_EQ(networks_->SetPodCidrs("nonsense").code(), absl::StatusCode::kInvalidArgument);
  Shell("ip link del other0");
}

TEST_F(PodCidrsTest, TheConfigurationsSubnetsGoFirst) {
  options_.subnets = {"10.96.0.0/24"};
  Open();
  EXPECT_TRUE(networks_->SetPodCidrs("10.97.0.0/24").ok());
  EXPECT_EQ(Add("one"), "10.96.0.2");
}

TEST_F(PodCidrsTest, CniHasRangesOfItsOwn) {
  ASSERT_TRUE(ReplaceFile(JoinPath(options_.cni_conf_dir, "10-x.conflist"),
                          R"({"cniVersion":"1.0.0","name":"x","plugins":[{"type":"none"}]})")
                  .ok());
  Open();
  ASSERT_EQ(networks_->Current()->kind(), "cni");
  EXPECT_TRUE(networks_->SetPodCidrs("10.97.0.0/24").ok());
  EXPECT_EQ(networks_->SetPodCidrs("10.97.0.0").code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(RemoveFile(JoinPath(options_.cni_conf_dir, "10-x.conflist")).ok());
  Open();
  EXPECT_THAT(Add("one"), StartsWith("10.80.0."));
}

}  // namespace
}  // namespace crisp
