// BridgeNetworkTest: a bridge network in real namespaces: the test's own network namespace is the
// host, pods are pinned ones, and servers in either tell their clients who these seem to be. Needs
// tools/private-namespaces. For tests only.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "kernel/namespace.h"
#include "network/bridge_network.h"

#define ASSERT_OK(expression)                        \
  do {                                               \
    const absl::Status status_ = (expression);       \
    ASSERT_TRUE(status_.ok()) << status_.ToString(); \
  } while (false)

namespace crisp {

inline std::string Shell(const std::string& script) {
  const auto result =
      RunProcess({{"/bin/sh", "-c", script}, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, ""}, Call());
  return result.ok() ? result->stdout_data + result->stderr_data : result.status().ToString();
}

inline int SocketType(const std::string& protocol) {
  return protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM;
}
inline int ProtocolNumber(const std::string& protocol) {
  return protocol == "sctp" ? IPPROTO_SCTP : protocol == "udp" ? IPPROTO_UDP : IPPROTO_TCP;
}

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

inline SocketAddress MakeAddress(const std::string& ip, int port) {
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
inline std::string Fetch(const std::string& ip, int port, const std::string& protocol = "tcp") {
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

class TestPod {
 public:
  explicit TestPod(const std::string& folder) {
    request.pod_id = RandomId();
    request.name = "pod";
    request.ns = "default";
    request.uid = "uid";
    request.netns_path = JoinPath(folder, Cat("crisp-", request.pod_id.substr(0, 32)));
    const absl::Status status =
        PinNamespaces({{NamespaceKind::kNetwork, request.netns_path}}, "", {});
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  ~TestPod() { Unpin(); }
  TestPod(const TestPod&) = delete;

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

}  // namespace crisp
