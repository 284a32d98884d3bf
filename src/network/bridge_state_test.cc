// What the bridge network keeps and gives back: addresses, host ports, links and rules, through
// restarts, repeated calls, damage and neighbours.
#include <gmock/gmock.h>

#include "network/bridge_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

using BridgeStateTest = BridgeNetworkTest;

TEST_F(BridgeStateTest, ExhaustionIsSaidAndHeals) {
  options_.subnets = {"192.168.77.0/30"};
  OpenNetwork();
  TestPod a(netns()), b(netns());
  ASSERT_OK(a.Add(*network_));
  EXPECT_EQ(a.v4(), "192.168.77.2");
  EXPECT_EQ(a.result.ips.size(), 1u);
  const absl::Status full = b.Add(*network_);
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full.ToString();
  EXPECT_THAT(full.ToString(), HasSubstr("192.168.77.0/30"));
  ASSERT_OK(a.Del(*network_));
  ASSERT_OK(b.Add(*network_));
  EXPECT_EQ(b.v4(), "192.168.77.2");
}

TEST_F(BridgeStateTest, TwoDaemonsSideBySide) {
  auto database = *Database::Open(JoinPath(folder_, "other.db"));
  auto second = *BridgeNetwork::Open(NetworkOptions(), *database);
  TestPod a(netns()), b(netns()), c(netns());
  c.request.ports = {{"tcp", 8080, 12000, ""}};
  ASSERT_OK(a.Add(*network_));
  ASSERT_OK(b.Add(*second));
  ASSERT_OK(c.Add(*second));
  EXPECT_EQ(a.v4(), "10.80.0.2");
  EXPECT_EQ(b.v4(), "10.81.0.2");
  EXPECT_NE(a.v6().substr(0, 14), b.v6().substr(0, 14));
  EchoServer server(c.request.netns_path, "tcp", 8080);
  EXPECT_EQ(a.FetchFrom("10.80.0.1", 12000), "10.81.0.1");  // the other daemon's host port
  EXPECT_EQ(Fetch("127.0.0.1", 12000), "10.81.0.1");
  // A restart keeps bridge and subnet of each.
  OpenNetwork();
  TestPod d(netns());
  ASSERT_OK(d.Add(*network_));
  EXPECT_EQ(d.v4(), "10.80.0.3");
  // The same name by configuration is refused.
  NetworkOptions same;
  same.bridge = "crisp0";
  auto third_database = *Database::Open(JoinPath(folder_, "third.db"));
  auto third = *BridgeNetwork::Open(same, *third_database);
  TestPod e(netns());
  EXPECT_THAT(e.Add(*third).ToString(), HasSubstr("belongs to another crispd"));
  same.bridge = "mine";
  same.subnets = {"10.80.0.0/16"};
  auto fourth = *BridgeNetwork::Open(same, *third_database);
  EXPECT_THAT(e.Add(*fourth).ToString(), HasSubstr("is in use"));
  Shell("nft delete table inet crisp_crisp1; ip link del crisp1");
}

TEST_F(BridgeStateTest, DeletedBridgeAndFlushedRulesComeBack) {
  TestPod a(netns()), b(netns());
  a.request.ports = {{"tcp", 8080, 12000, ""}};
  ASSERT_OK(a.Add(*network_));
  Shell("ip link del crisp0; nft flush ruleset");
  ASSERT_OK(b.Add(*network_));
  EchoServer server(a.request.netns_path, "tcp", 8080);
  EXPECT_EQ(Fetch("127.0.0.1", 12000), "10.80.0.1");
  EXPECT_EQ(b.FetchFrom(a.v4(), 8080), b.v4());
  Shell("nft flush ruleset");
  ASSERT_OK(network_->Check(a.request, a.result.state_json, Call()));
  EXPECT_EQ(Fetch("127.0.0.1", 12000), "10.80.0.1");
  Shell("nft flush ruleset");
  ASSERT_OK(a.Del(*network_));
}

TEST_F(BridgeStateTest, RepeatedAddAndDel) {
  TestPod pod(netns());
  pod.request.ports = {{"tcp", 8080, 12000, ""}};
  ASSERT_OK(pod.Add(*network_));
  const std::string ip = pod.v4();
  OpenNetwork();  // the daemon was killed after the Add and before it wrote that down
  ASSERT_OK(pod.Add(*network_));
  EXPECT_EQ(pod.v4(), ip);
  EchoServer server(pod.request.netns_path, "tcp", 8080);
  EXPECT_EQ(Fetch("127.0.0.1", 12000), "10.80.0.1");
  ASSERT_OK(pod.Del(*network_));
  ASSERT_OK(pod.Del(*network_));
  // After a Del the pod may come again, while the link of its first life is still there.
  ASSERT_OK(pod.Add(*network_));
  EXPECT_EQ(Fetch("127.0.0.1", 12000), "10.80.0.1");
  pod.Unpin();
  ASSERT_OK(pod.Del(*network_));
  ASSERT_OK(network_->Del(TestPod(netns()).request, "", Call()));
}

TEST_F(BridgeStateTest, CheckSeesDamage) {
  TestPod pod(netns());
  ASSERT_OK(pod.Add(*network_));
  Shell(Cat("nsenter --net=", pod.request.netns_path, " ip -4 addr flush dev eth0"));
  EXPECT_THAT(network_->Check(pod.request, pod.result.state_json, Call()).ToString(),
              HasSubstr("10.80.0.2/16"));
  Shell(Cat("ip link set ", BridgeNetwork::HostLinkName(pod.request.pod_id), " nomaster"));
  EXPECT_THAT(network_->Check(pod.request, pod.result.state_json, Call()).ToString(),
              HasSubstr("no port of crisp0"));
}

TEST_F(BridgeStateTest, AForeignEth0IsNotTaken) {
  TestPod pod(netns());
  Shell(Cat("nsenter --net=", pod.request.netns_path, " ip link add eth0 type bridge"));
  const absl::Status status = pod.Add(*network_);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status.ToString();
  EXPECT_THAT(Shell(Cat("nsenter --net=", pod.request.netns_path, " ip -d link show eth0")),
              HasSubstr("bridge"));
  EXPECT_THAT(Shell("ip -o link"),
              testing::Not(HasSubstr(BridgeNetwork::HostLinkName(pod.request.pod_id))));
}

TEST_F(BridgeStateTest, MissingNamespaceIsAnError) {
  const std::string before = Veths();
  TestPod pod(netns());
  pod.Unpin();
  EXPECT_TRUE(absl::IsNotFound(pod.Add(*network_)));
  EXPECT_TRUE(absl::IsFailedPrecondition([&] {
    PodNetworkRequest request = pod.request;
    request.netns_path = "/proc/self/ns/uts";
    return network_->Add(request, Call()).status();
  }()));
  // What went meanwhile is no matter.
  const std::string links = Veths();
  for (const std::string_view link : SplitWords(links, '\n')) EXPECT_THAT(before, HasSubstr(link));
}

TEST_F(BridgeStateTest, OrphansAreReleased) {
  TestPod kept(netns()), lost(netns());
  kept.request.ports = {{"tcp", 8080, 12000, ""}};
  lost.request.ports = {{"tcp", 8080, 12001, ""}};
  ASSERT_OK(kept.Add(*network_));
  ASSERT_OK(lost.Add(*network_));
  OpenNetwork();
  ASSERT_OK(network_->ReleaseAllExcept({kept.request.pod_id}, Call()));
  EXPECT_THAT(Shell("ip -o link"),
              testing::Not(HasSubstr(BridgeNetwork::HostLinkName(lost.request.pod_id))));
  EXPECT_THAT(Shell("nft list ruleset"), testing::Not(HasSubstr("12001")));
  EchoServer server(kept.request.netns_path, "tcp", 8080);
  EXPECT_EQ(Fetch("127.0.0.1", 12000), "10.80.0.1");
}

TEST_F(BridgeStateTest, TwoHundredPodsLeaveNothing) {
  const std::string before = Veths();
  const auto new_veths = [&] {
    const std::string all = Veths();
    std::string links;
    for (const std::string_view link : SplitWords(all, '\n')) {
      if (before.find(link) == std::string::npos) links += Cat(link, "\n");
    }
    return links;
  };
  {
    TestPod first(netns());  // makes the bridge
    ASSERT_OK(first.Add(*network_));
    ASSERT_OK(first.Del(*network_));
  }
  const std::string rules = Shell("nft list ruleset");
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 50; ++i) {
        TestPod pod(netns());
        pod.request.ports = {{"tcp", 80, 20000 + thread * 50 + i, ""}};
        if (!pod.Add(*network_).ok() || !pod.Del(*network_).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  for (int i = 0; i < 300 && !new_veths().empty(); ++i) absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(new_veths(), "");
  EXPECT_EQ(Shell("nft list ruleset"), rules);
  EXPECT_EQ(Shell(Cat("ls ", netns())), "");
  int64_t rows = -1;
  ASSERT_OK(database_->Query(
      "SELECT (SELECT count(*) FROM network_address) + (SELECT count(*) FROM network_host_port)",
      {}, [&](const Row& row) {
        rows = row.Int(0);
        return absl::OkStatus();
      }));
  EXPECT_EQ(rows, 0);
}

TEST(BridgeNetworkOptions, NonsenseIsRefused) {
  char name[] = "/tmp/crisp-bridge-XXXXXX";
  const std::string folder = mkdtemp(name);
  auto database = *Database::Open(JoinPath(folder, "crisp.db"));
  const auto open = [&](const NetworkOptions& options) {
    return BridgeNetwork::Open(options, *database).status().ToString();
  };
  NetworkOptions options;
  options.bridge = "a\"; drop";
  EXPECT_THAT(open(options), HasSubstr("bridge name"));
  options.bridge = "sixteencharslong";
  EXPECT_THAT(open(options), HasSubstr("bridge name"));
  options = {};
  options.subnets = {"10.0.0.0"};
  EXPECT_THAT(open(options), HasSubstr("prefix length"));
  options.subnets = {"10.0.0.0/16", "10.1.0.0/16"};
  EXPECT_THAT(open(options), HasSubstr("same family"));
  options.subnets = {"10.0.0.0/31"};
  EXPECT_THAT(open(options), HasSubstr("no room"));
  options = {};
  options.mtu = 100;
  EXPECT_THAT(open(options), HasSubstr("MTU"));
  database.reset();
  Shell(Cat("rm -rf ", folder));
}

}  // namespace
}  // namespace crisp
