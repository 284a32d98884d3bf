// Who reaches whom through the bridge, and as whom.
#include "network/bridge_network.h"

#include <gmock/gmock.h>

#include "network/bridge_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

TEST_F(BridgeNetworkTest, PodAndHostAndPodsReachEachOther) {
  TestPod a(netns()), b(netns());
  ASSERT_OK(a.Add(*network_));
  ASSERT_OK(b.Add(*network_));
  ASSERT_EQ(a.result.ips.size(), 2u);
  EXPECT_EQ(a.v4(), "10.80.0.2");
  EXPECT_EQ(b.v4(), "10.80.0.3");
  ASSERT_OK(network_->Check(a.request, a.result.state_json, Call()));
  EchoServer server(a.request.netns_path, "tcp", 8080);
  EXPECT_EQ(Fetch(a.v4(), 8080), "10.80.0.1") << Shell("ip addr; ip route; nft list ruleset");
  EXPECT_EQ(b.FetchFrom(a.v4(), 8080), b.v4());
  EXPECT_EQ(b.FetchFrom(a.v6(), 8080), b.v6());
  EXPECT_THAT(Fetch(a.v6(), 8080), HasSubstr("::1"));
  ASSERT_OK(a.Del(*network_));
  ASSERT_OK(b.Del(*network_));
}

TEST_F(BridgeNetworkTest, HostPortsReachThePodFromEverywhere) {
  TestPod pod(netns()), other(netns());
  for (const char* protocol : {"tcp", "udp", "sctp"})
    pod.request.ports.push_back({protocol, 8080, 12000, ""});
  pod.request.ports.push_back({"tcp", 8080, 12001, "127.0.0.1"});
  pod.request.ports.push_back({"tcp", 8080, 12002, "10.80.0.1"});
  ASSERT_OK(pod.Add(*network_));
  ASSERT_OK(other.Add(*network_));
  const std::string rules = Shell("nft list ruleset");
  for (const char* protocol : {"tcp", "udp", "sctp"}) {
    if (std::string(protocol) == "sctp" &&
        !UniqueFd(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)).valid())
      continue;
    SCOPED_TRACE(protocol);
    EchoServer server(pod.request.netns_path, protocol, 8080);
    EXPECT_EQ(Fetch("10.80.0.1", 12000, protocol), "10.80.0.1") << rules;
    EXPECT_EQ(Fetch("127.0.0.1", 12000, protocol), "10.80.0.1") << rules;
    // Through the host and back into the same bridge: the pod sees the host, the answer finds its
    // way.
    EXPECT_EQ(other.FetchFrom("10.80.0.1", 12000, protocol), "10.80.0.1");
    EXPECT_EQ(pod.FetchFrom("10.80.0.1", 12000, protocol), "10.80.0.1");
    const std::string gateway6 =
        AddressTable::Gateway(*IpPrefix::Parse(pod.v6() + "/64")).ToString();
    EXPECT_EQ(Fetch(gateway6, 12000, protocol), gateway6);
    EXPECT_EQ(other.FetchFrom(gateway6, 12000, protocol), gateway6);
  }
  EchoServer server(pod.request.netns_path, "tcp", 8080);
  EXPECT_EQ(Fetch("127.0.0.1", 12001), "10.80.0.1");
  EXPECT_THAT(Fetch("10.80.0.1", 12001), HasSubstr("refused"));
  EXPECT_EQ(Fetch("10.80.0.1", 12002), "10.80.0.1");
  EXPECT_THAT(Fetch("127.0.0.1", 12002), HasSubstr("refused"));

  ASSERT_OK(pod.Del(*network_));
  EXPECT_THAT(Fetch("10.80.0.1", 12000), HasSubstr("refused"));
  ASSERT_OK(other.Del(*network_));
}

// A client that never stops sending from one port would be sent to the old pod's address for ever.
TEST_F(BridgeNetworkTest, UdpFlowsMoveToTheNextPodWithTheHostPort) {
  const auto ask = [](int fd) {
    char answer[128];
    if (send(fd, "?", 1, 0) < 0) return ErrnoStatus("send").ToString();
    const ssize_t length = recv(fd, answer, sizeof(answer), 0);
    return length < 0 ? ErrnoStatus("recv").ToString()
                      : std::string(answer, static_cast<size_t>(length));
  };
  SocketAddress address = MakeAddress("10.80.0.1", 12053);
  UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const timeval limit = {2, 0};
  setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  TestPod first(netns()), second(netns());
  ASSERT_OK(second.Add(*network_));  // so that the bridge and its address stand
  ASSERT_OK(second.Del(*network_));
  ASSERT_EQ(connect(client.get(), address.get(), address.size), 0);
  EXPECT_THAT(ask(client.get()), HasSubstr("refused"));
  first.request.ports = {{"udp", 53, 12053, ""}};
  ASSERT_OK(first.Add(*network_));
  {
    EchoServer server(first.request.netns_path, "udp", 53);
    EXPECT_EQ(ask(client.get()), "::ffff:10.80.0.1") << "a flow of before the host port was opened";
  }
  ASSERT_OK(first.Del(*network_));
  TestPod third(netns());
  third.request.ports = {{"udp", 53, 12053, ""}};
  ASSERT_OK(third.Add(*network_));
  ASSERT_NE(third.v4(), first.v4());
  EchoServer server(third.request.netns_path, "udp", 53);
  EXPECT_EQ(ask(client.get()), "::ffff:10.80.0.1");
  ASSERT_OK(third.Del(*network_));
}

TEST_F(BridgeNetworkTest, PodsCannotReachTheHostsLoopback) {
  TestPod pod(netns());
  pod.request.ports = {{"tcp", 8080, 12000, ""}};
  ASSERT_OK(pod.Add(*network_));
  EchoServer host("/proc/self/ns/net", "tcp", 9999);
  EXPECT_EQ(Fetch("127.0.0.1", 9999), "127.0.0.1");
  // A pod that sends what is for 127.0.0.1 to the host's side of its link.
  const UniqueFd fd = *OpenFile(pod.request.netns_path, O_RDONLY);
  ASSERT_OK(InNamespace(
      fd.get(), [] { return WriteExisting("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"); }));
  Shell(Cat("nsenter --net=", pod.request.netns_path,
            " sh -c 'ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via 10.80.0.1; ip "
            "route flush table local "
            "127.0.0.0/8; ip route del local 127.0.0.1 table local'"));
  EXPECT_THAT(pod.FetchFrom("127.0.0.1", 9999), testing::Not(HasSubstr("10.80")));
  // The packets do arrive: it is the table's guard that stops them.
  Shell("nft flush chain inet crisp_crisp0 loopback_guard");
  EXPECT_EQ(pod.FetchFrom("127.0.0.1", 9999), "10.80.0.2");
  ASSERT_OK(pod.Del(*network_));
}

TEST_F(BridgeNetworkTest, HostPortIsGivenOnce) {
  TestPod a(netns()), b(netns());
  a.request.ports = {{"tcp", 80, 12000, ""}, {"udp", 80, 12000, ""}};
  b.request.ports = {{"tcp", 81, 12000, "127.0.0.1"}};
  ASSERT_OK(a.Add(*network_));
  const absl::Status taken = b.Add(*network_);
  EXPECT_TRUE(absl::IsAlreadyExists(taken)) << taken.ToString();
  EXPECT_THAT(taken.ToString(),
              HasSubstr(Cat("127.0.0.1:12000/tcp is taken by pod ", a.request.pod_id)));
  // Nothing of the refused pod stays.
  EXPECT_THAT(Shell("ip -o link"),
              testing::Not(HasSubstr(BridgeNetwork::HostLinkName(b.request.pod_id))));
  ASSERT_OK(a.Del(*network_));
  ASSERT_OK(b.Add(*network_));
  ASSERT_OK(b.Del(*network_));
}

TEST_F(BridgeNetworkTest, HostPortOfAProcessOnTheHostIsNotTakenAway) {
  TestPod pod(netns());
  pod.request.ports = {{"tcp", 80, 12000, ""}};
  {
    EchoServer host("/proc/self/ns/net", "tcp", 12000);
    EXPECT_EQ(Fetch("127.0.0.1", 12000), "127.0.0.1");
    const absl::Status taken = pod.Add(*network_);
    EXPECT_TRUE(absl::IsAlreadyExists(taken)) << taken.ToString();
    EXPECT_THAT(taken.ToString(), HasSubstr("*:12000/tcp is in use by a process on this host"));
    EXPECT_EQ(Fetch("127.0.0.1", 12000), "127.0.0.1");
  }
  ASSERT_OK(pod.Add(*network_));
}

TEST_F(BridgeNetworkTest, APodMayDisableIpv6) {
  TestPod pod(netns());
  pod.Unpin();
  ASSERT_OK(PinNamespaces({{NamespaceKind::kNetwork, pod.request.netns_path}}, "",
                          {{"net.ipv6.conf.all.disable_ipv6", "1"}}));
  pod.request.ports = {{"tcp", 8080, 12000, ""}};
  ASSERT_OK(pod.Add(*network_));
  EXPECT_EQ(pod.result.ips.size(), 1u);
  EchoServer server(pod.request.netns_path, "tcp", 8080);
  EXPECT_EQ(Fetch("127.0.0.1", 12000), "10.80.0.1");
  ASSERT_OK(network_->Check(pod.request, pod.result.state_json, Call()));
}

TEST_F(BridgeNetworkTest, SeesAFirewallThatDropsForwarded) {
  NftTable table({"crisp0", {}, true});
  EXPECT_FALSE(table.HostDropsForwarded());
  Shell(
      "nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority "
      "0; policy drop; }'");
  EXPECT_TRUE(table.HostDropsForwarded());
  Shell("nft 'add rule ip filter FORWARD iifname crisp0 accept'");
  EXPECT_FALSE(table.HostDropsForwarded());
}

// The next owner of an address has the same MAC address, so the host's neighbour table is right at
// once, and what the old pod still does while its namespace dies does no harm.
TEST_F(BridgeNetworkTest, ReusedAddressAnswersAtOnce) {
  options_.subnets = {"192.168.77.0/30"};
  OpenNetwork();
  TestPod a(netns());
  ASSERT_OK(a.Add(*network_));
  {
    EchoServer server(a.request.netns_path, "tcp", 8080);
    EXPECT_EQ(Fetch(a.v4(), 8080), "192.168.77.1");
  }
  ASSERT_OK(a.Del(*network_));  // its namespace stays
  TestPod b(netns());
  ASSERT_OK(b.Add(*network_));
  ASSERT_EQ(b.v4(), a.v4());
  EchoServer server(b.request.netns_path, "tcp", 8081);
  EXPECT_EQ(Fetch(b.v4(), 8081), "192.168.77.1") << Shell("ip neigh; bridge fdb");
}

TEST_F(BridgeNetworkTest, TakesTheMtuOfTheDefaultRoute) {
  Shell(
      "ip link add up0 type bridge; ip link set up0 mtu 1400; ip addr add 172.30.0.2/24 dev up0; "
      "ip link set up0 up; "
      "ip route add default via 172.30.0.1");
  TestPod pod(netns());
  ASSERT_OK(pod.Add(*network_));
  EXPECT_THAT(Shell(Cat("nsenter --net=", pod.request.netns_path, " ip link show eth0")),
              HasSubstr("mtu 1400"));
  Shell("ip link del up0");
}

// What leaves the bridge towards another network carries the host's address; a route into a taken
// subnet is respected.
TEST_F(BridgeNetworkTest, MasqueradesAndAvoidsTakenSubnets) {
  TestPod outside(netns());
  Shell(Cat(
      "ip link add up0 type veth peer name up1; ip link set up1 netns ", outside.request.netns_path,
      "; ip addr add 10.80.5.1/24 dev up0; ip link set up0 up; nsenter --net=",
      outside.request.netns_path, " sh -c 'ip addr add 10.80.5.2/24 dev up1; ip link set up1 up'"));
  TestPod pod(netns());
  ASSERT_OK(pod.Add(*network_));
  EXPECT_EQ(pod.v4(), "10.112.0.2");
  EchoServer server(outside.request.netns_path, "tcp", 8080);
  EXPECT_EQ(pod.FetchFrom("10.80.5.2", 8080), "10.80.5.1");
}

}  // namespace
}  // namespace crisp
