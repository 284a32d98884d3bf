// In real namespaces: the test's own network namespace is the host, pods are pinned ones. See
// tools/private-namespaces.
#include "network/bridge_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "kernel/namespace.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

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

int SocketType(const std::string& protocol) { return protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM; }
int ProtocolNumber(const std::string& protocol) {
  return protocol == "sctp" ? IPPROTO_SCTP : protocol == "udp" ? IPPROTO_UDP : IPPROTO_TCP;
}

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress MakeAddress(const std::string& ip, int port) {
  SocketAddress address;
  const IpAddress parsed = *IpAddress::Parse(ip);
  if (parsed.is_v4()) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, ip.c_str(), &v4->sin_addr);
    address.size = sizeof(*v4);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr);
    address.size = sizeof(*v6);
  }
  return address;
}

// Answers every connection or datagram with the peer's address, from inside the calling thread's
// namespace.
class EchoServer {
 public:
  EchoServer(const std::string& netns, const std::string& protocol, int port)
      : protocol_(protocol) {
    const UniqueFd fd = *OpenFile(netns, O_RDONLY);
    const absl::Status status = InNamespace(fd.get(), [&]() -> absl::Status {
      listener_ = UniqueFd(socket(AF_INET6, SocketType(protocol) | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                  ProtocolNumber(protocol)));
      const int one = 1;
      setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
      SocketAddress any = MakeAddress("::", port);
      if (bind(listener_.get(), any.get(), any.size) != 0) return ErrnoStatus("bind");
      if (protocol != "udp" && listen(listener_.get(), 16) != 0) return ErrnoStatus("listen");
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status.ToString();
    thread_ = std::thread([this] { Serve(); });
  }
  ~EchoServer() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Serve() {
    while (!stop_) {
      pollfd ready = {listener_.get(), POLLIN, 0};
      if (poll(&ready, 1, 20) <= 0) continue;
      char text[INET6_ADDRSTRLEN] = "", ignored[64];
      sockaddr_in6 peer = {};
      socklen_t size = sizeof(peer);
      if (protocol_ == "udp") {
        if (recvfrom(listener_.get(), ignored, sizeof(ignored), 0,
                     reinterpret_cast<sockaddr*>(&peer), &size) < 0)
          continue;
        inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
        sendto(listener_.get(), text, strlen(text), 0, reinterpret_cast<sockaddr*>(&peer), size);
        continue;
      }
      UniqueFd connection(
          accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
      inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
      if (send(connection.get(), text, strlen(text), MSG_NOSIGNAL) < 0) continue;
    }
  }

  const std::string protocol_;
  UniqueFd listener_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// What the server says, or an error text.
std::string Fetch(const std::string& ip, int port, const std::string& protocol = "tcp") {
  SocketAddress address = MakeAddress(ip, port);
  UniqueFd fd(socket(address.storage.ss_family, SocketType(protocol) | SOCK_CLOEXEC,
                     ProtocolNumber(protocol)));
  const timeval limit = {3, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (connect(fd.get(), address.get(), address.size) != 0) return ErrnoStatus("connect").ToString();
  if (protocol == "udp" && send(fd.get(), "?", 1, 0) < 0) return ErrnoStatus("send").ToString();
  char answer[128];
  const ssize_t length = recv(fd.get(), answer, sizeof(answer), 0);
  if (length < 0) return ErrnoStatus("recv").ToString();
  std::string text(answer, static_cast<size_t>(length));
  return text.rfind("::ffff:", 0) == 0 ? text.substr(7) : text;
}

class Pod {
 public:
  explicit Pod(const std::string& folder) {
    request.pod_id = RandomId();
    request.name = "pod";
    request.ns = "default";
    request.uid = "uid";
    request.netns_path = JoinPath(folder, Cat("crisp-", request.pod_id.substr(0, 32)));
    const absl::Status status =
        PinNamespaces({{NamespaceKind::kNetwork, request.netns_path}}, "", {});
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  ~Pod() { Unpin(); }
  Pod(const Pod&) = delete;

  void Unpin() { EXPECT_TRUE(UnpinNamespace(request.netns_path).ok()); }
  absl::Status Add(BridgeNetwork& network) {
    auto added = network.Add(request, Call());
    if (!added.ok()) return added.status();
    result = *added;
    return absl::OkStatus();
  }
  absl::Status Del(BridgeNetwork& network) {
    return network.Del(request, result.state_json, Call());
  }
  std::string FetchFrom(const std::string& ip, int port, const std::string& protocol = "tcp") {
    std::string answer;
    const UniqueFd fd = *OpenFile(request.netns_path, O_RDONLY);
    EXPECT_TRUE(InNamespace(fd.get(), [&] {
                  answer = Fetch(ip, port, protocol);
                  return absl::OkStatus();
                }).ok());
    return answer;
  }
  const std::string& v4() const { return result.ips[0]; }
  const std::string& v6() const { return result.ips[1]; }

  PodNetworkRequest request;
  PodNetworkResult result;
};

class BridgeNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-bridge-XXXXXX";
    folder_ = mkdtemp(name);
    ASSERT_OK(PrepareNetnsFolder(JoinPath(folder_, "netns")));
    OpenNetwork();
  }
  void TearDown() override {
    network_.reset();
    database_.reset();
    Shell(
        "for l in $(ip -o link show type bridge | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/'); do ip "
        "link del $l; done;"
        "nft flush ruleset");
    Shell(Cat("umount -l ", folder_, "/netns; rm -rf ", folder_));
  }
  // The names of all links of pods. One of an earlier test may linger for a minute or two: a TCP
  // connection that was cut before its end keeps its network namespace until it gives up.
  static std::string Veths() {
    return Shell("ip -o link show type veth | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/'");
  }
  // Also a restart of the daemon.
  void OpenNetwork() {
    network_.reset();
    database_.reset();
    auto database = Database::Open(JoinPath(folder_, "crisp.db"));
    ASSERT_TRUE(database.ok()) << database.status().ToString();
    database_ = *std::move(database);
    auto network = BridgeNetwork::Open(options_, *database_);
    ASSERT_TRUE(network.ok()) << network.status().ToString();
    network_ = *network;
  }
  std::string netns() const { return JoinPath(folder_, "netns"); }

  std::string folder_;
  NetworkOptions options_;
  std::unique_ptr<Database> database_;
  std::shared_ptr<BridgeNetwork> network_;
};

TEST_F(BridgeNetworkTest, PodAndHostAndPodsReachEachOther) {
  Pod a(netns()), b(netns());
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
  Pod pod(netns()), other(netns());
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
  Pod first(netns()), second(netns());
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
  Pod third(netns());
  third.request.ports = {{"udp", 53, 12053, ""}};
  ASSERT_OK(third.Add(*network_));
  ASSERT_NE(third.v4(), first.v4());
  EchoServer server(third.request.netns_path, "udp", 53);
  EXPECT_EQ(ask(client.get()), "::ffff:10.80.0.1");
  ASSERT_OK(third.Del(*network_));
}

TEST_F(BridgeNetworkTest, PodsCannotReachTheHostsLoopback) {
  Pod pod(netns());
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
  Pod a(netns()), b(netns());
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
  Pod pod(netns());
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
  Pod pod(netns());
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

TEST_F(BridgeNetworkTest, ExhaustionIsSaidAndHeals) {
  options_.subnets = {"192.168.77.0/30"};
  OpenNetwork();
  Pod a(netns()), b(netns());
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

// The next owner of an address has the same MAC address, so the host's neighbour table is right at
// once, and what the old pod still does while its namespace dies does no harm.
TEST_F(BridgeNetworkTest, ReusedAddressAnswersAtOnce) {
  options_.subnets = {"192.168.77.0/30"};
  OpenNetwork();
  Pod a(netns());
  ASSERT_OK(a.Add(*network_));
  {
    EchoServer server(a.request.netns_path, "tcp", 8080);
    EXPECT_EQ(Fetch(a.v4(), 8080), "192.168.77.1");
  }
  ASSERT_OK(a.Del(*network_));  // its namespace stays
  Pod b(netns());
  ASSERT_OK(b.Add(*network_));
  ASSERT_EQ(b.v4(), a.v4());
  EchoServer server(b.request.netns_path, "tcp", 8081);
  EXPECT_EQ(Fetch(b.v4(), 8081), "192.168.77.1") << Shell("ip neigh; bridge fdb");
}

TEST_F(BridgeNetworkTest, TwoDaemonsSideBySide) {
  auto database = *Database::Open(JoinPath(folder_, "other.db"));
  auto second = *BridgeNetwork::Open(NetworkOptions(), *database);
  Pod a(netns()), b(netns()), c(netns());
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
  Pod d(netns());
  ASSERT_OK(d.Add(*network_));
  EXPECT_EQ(d.v4(), "10.80.0.3");
  // The same name by configuration is refused.
  NetworkOptions same;
  same.bridge = "crisp0";
  auto third_database = *Database::Open(JoinPath(folder_, "third.db"));
  auto third = *BridgeNetwork::Open(same, *third_database);
  Pod e(netns());
  EXPECT_THAT(e.Add(*third).ToString(), HasSubstr("belongs to another crispd"));
  same.bridge = "mine";
  same.subnets = {"10.80.0.0/16"};
  auto fourth = *BridgeNetwork::Open(same, *third_database);
  EXPECT_THAT(e.Add(*fourth).ToString(), HasSubstr("is in use"));
  Shell("nft delete table inet crisp_crisp1; ip link del crisp1");
}

TEST_F(BridgeNetworkTest, DeletedBridgeAndFlushedRulesComeBack) {
  Pod a(netns()), b(netns());
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

TEST_F(BridgeNetworkTest, RepeatedAddAndDel) {
  Pod pod(netns());
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
  ASSERT_OK(network_->Del(Pod(netns()).request, "", Call()));
}

TEST_F(BridgeNetworkTest, CheckSeesDamage) {
  Pod pod(netns());
  ASSERT_OK(pod.Add(*network_));
  Shell(Cat("nsenter --net=", pod.request.netns_path, " ip -4 addr flush dev eth0"));
  EXPECT_THAT(network_->Check(pod.request, pod.result.state_json, Call()).ToString(),
              HasSubstr("10.80.0.2/16"));
  Shell(Cat("ip link set ", BridgeNetwork::HostLinkName(pod.request.pod_id), " nomaster"));
  EXPECT_THAT(network_->Check(pod.request, pod.result.state_json, Call()).ToString(),
              HasSubstr("no port of crisp0"));
}

TEST_F(BridgeNetworkTest, AForeignEth0IsNotTaken) {
  Pod pod(netns());
  Shell(Cat("nsenter --net=", pod.request.netns_path, " ip link add eth0 type bridge"));
  const absl::Status status = pod.Add(*network_);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status.ToString();
  EXPECT_THAT(Shell(Cat("nsenter --net=", pod.request.netns_path, " ip -d link show eth0")),
              HasSubstr("bridge"));
  EXPECT_THAT(Shell("ip -o link"),
              testing::Not(HasSubstr(BridgeNetwork::HostLinkName(pod.request.pod_id))));
}

TEST_F(BridgeNetworkTest, MissingNamespaceIsAnError) {
  const std::string before = Veths();
  Pod pod(netns());
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

TEST_F(BridgeNetworkTest, OrphansAreReleased) {
  Pod kept(netns()), lost(netns());
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

TEST_F(BridgeNetworkTest, TwoHundredPodsLeaveNothing) {
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
    Pod first(netns());  // makes the bridge
    ASSERT_OK(first.Add(*network_));
    ASSERT_OK(first.Del(*network_));
  }
  const std::string rules = Shell("nft list ruleset");
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 50; ++i) {
        Pod pod(netns());
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

TEST_F(BridgeNetworkTest, TakesTheMtuOfTheDefaultRoute) {
  Shell(
      "ip link add up0 type bridge; ip link set up0 mtu 1400; ip addr add 172.30.0.2/24 dev up0; "
      "ip link set up0 up; "
      "ip route add default via 172.30.0.1");
  Pod pod(netns());
  ASSERT_OK(pod.Add(*network_));
  EXPECT_THAT(Shell(Cat("nsenter --net=", pod.request.netns_path, " ip link show eth0")),
              HasSubstr("mtu 1400"));
  Shell("ip link del up0");
}

// What leaves the bridge towards another network carries the host's address; a route into a taken
// subnet is respected.
TEST_F(BridgeNetworkTest, MasqueradesAndAvoidsTakenSubnets) {
  Pod outside(netns());
  Shell(Cat(
      "ip link add up0 type veth peer name up1; ip link set up1 netns ", outside.request.netns_path,
      "; ip addr add 10.80.5.1/24 dev up0; ip link set up0 up; nsenter --net=",
      outside.request.netns_path, " sh -c 'ip addr add 10.80.5.2/24 dev up1; ip link set up1 up'"));
  Pod pod(netns());
  ASSERT_OK(pod.Add(*network_));
  EXPECT_EQ(pod.v4(), "10.112.0.2");
  EchoServer server(outside.request.netns_path, "tcp", 8080);
  EXPECT_EQ(pod.FetchFrom("10.80.5.2", 8080), "10.80.5.1");
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
