// Networks of pods: the built-in bridge without any configuration, the CNI chain with one.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <set>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// What a TCP server at the address answers to a GET, or "" if it cannot be reached.
std::string Get(const std::string& address, int port) {
  const bool six = address.find(':') != std::string::npos;
  const UniqueFd fd(socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<uint16_t>(port));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(six ? AF_INET6 : AF_INET, address.c_str(),
            six ? static_cast<void*>(&v6.sin6_addr) : &v4.sin_addr);
  const auto* target = six ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
  if (connect(fd.get(), target, six ? sizeof(v6) : sizeof(v4)) != 0) return "";
  const std::string request = "GET / HTTP/1.0\r\n\r\n";
  if (write(fd.get(), request.data(), request.size()) < 0) return "";
  std::string answer;
  char buffer[4096];
  for (ssize_t size; (size = read(fd.get(), buffer, sizeof(buffer))) > 0;)
    answer.append(buffer, size);
  return answer;
}

class BridgeNetwork : public NodeTest {
 protected:
  std::string StartWeb(const Pod& pod) {
    return Start(pod, "web", {"httpd", "-f", "-p", "8080", "-h", "/www"});
  }
  std::string Ip(const Pod& pod) { return Must(cri().PodStatus(pod.id)).network().ip(); }
};

TEST_F(BridgeNetwork, HostAndPodsReachEachOther) {
  const Pod web = RunPod("web");
  StartWeb(web);
  EXPECT_TRUE(WaitUntil([&] { return Get(Ip(web), 8080).find("a page") != std::string::npos; },
                        absl::Seconds(10)));
  const Pod other = RunPod("other");
  const std::string id = StartIdle(other);
  EXPECT_THAT(Exec(id, Cat("wget -qO- http://", Ip(web), ":8080/")), HasSubstr("a page"));
  EXPECT_THAT(Exec(id, "ip addr show dev eth0"), HasSubstr(Ip(other)));
  EXPECT_THAT(Exec(id, "ip addr show dev lo"), HasSubstr("127.0.0.1"));
  EXPECT_THAT(Exec(id, "ip route"), HasSubstr("default via"));
}

TEST_F(BridgeNetwork, SixToo) {
  const Pod web = RunPod("six");
  const auto status = Must(cri().PodStatus(web.id));
  EXPECT_EQ(status.network().ip().find(':'), std::string::npos);
  ASSERT_EQ(status.network().additional_ips_size(), 1);
  const std::string six = status.network().additional_ips(0).ip();
  EXPECT_NE(six.find(':'), std::string::npos) << six;
  StartWeb(web);
  EXPECT_TRUE(WaitUntil([&] { return Get(six, 8080).find("a page") != std::string::npos; },
                        absl::Seconds(10)));
}

TEST_F(BridgeNetwork, AddressesAreNotSharedAndComeBack) {
  std::set<std::string> addresses;
  std::vector<Pod> pods;
  for (int i = 0; i < 12; ++i) {
    pods.push_back(RunPod(Cat("p", i)));
    addresses.insert(Ip(pods.back()));
  }
  EXPECT_THAT(addresses, SizeIs(12));
}

TEST_F(BridgeNetwork, HostPorts) {
  const int port = FreePort();
  v1::PodSandboxConfig config = PodConfig("ports");
  auto* mapping = config.add_port_mappings();
  mapping->set_host_port(port);
  mapping->set_container_port(8080);
  config.add_port_mappings()->set_container_port(9999);  // not published
  const Pod pod = RunPod(config);
  StartWeb(pod);
  EXPECT_TRUE(WaitUntil([&] { return Get("127.0.0.1", port).find("a page") != std::string::npos; },
                        absl::Seconds(10)));
  const Pod other = RunPod("other");
  const std::string id = StartIdle(other);
  const std::string gateway = Exec(id, "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'");
  EXPECT_THAT(Exec(id, Cat("wget -qO- http://", gateway, ":", port, "/")), HasSubstr("a page"));
  // And from the pod itself, by the host's address.
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_EQ(Get("127.0.0.1", port), "");
}

TEST_F(BridgeNetwork, TwoDaemonsLiveSideBySide) {
  TestFolder second_folder;
  TestDaemon second(second_folder, "");
  ASSERT_THAT(second.Start(), IsOk());
  ASSERT_THAT(second.cri().Pull(kBusybox), IsOk());
  const Pod ours = RunPod("ours");
  v1::PodSandboxConfig config = PodConfig("theirs");
  const std::string theirs = Must(second.cri().RunPod(config));
  const std::string their_ip = Must(second.cri().PodStatus(theirs)).network().ip();
  EXPECT_NE(their_ip, Ip(ours));
  EXPECT_NE(their_ip.substr(0, their_ip.rfind('.')), Ip(ours).substr(0, Ip(ours).rfind('.')));
  EXPECT_THAT(Must(cri().ListPods()), SizeIs(1));
  EXPECT_THAT(second.cri().RemovePod(theirs), IsOk());
  EXPECT_THAT(cri().RemovePod(ours.id), IsOk());
  EXPECT_EQ(second.Stop(), 0);
  // The folder of the pins stays a mount of its own, as /run/netns does.
  umount2((second_folder / "netns").c_str(), MNT_DETACH);
}

// A plugin in shell that keeps a protocol of its calls: "<command> <netns is there> <stdin>".
constexpr char kPlugin[] = R"(#!/bin/sh
folder=$(dirname "$0")/..
input=$(cat)
[ -e "$CNI_NETNS" ] && there=netns || there=none
printf '%s %s %s %s %s\n' "$CNI_COMMAND" "$there" "$CNI_IFNAME" "$CNI_ARGS" "$input" >> "$folder/calls"
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}' ;;
  STATUS) [ ! -e "$folder/not-ready" ] || { echo '{"cniVersion":"1.1.0","code":50,"msg":"not now","details":"because of the test"}'; exit 1; } ;;
  ADD)
    if [ -e "$folder/fail" ]; then echo '{"cniVersion":"1.0.0","code":11,"msg":"no address left","details":"in the test"}'; exit 1; fi
    if [ -e "$folder/nonsense" ]; then echo '{"ips": [{"address": 5}]}'; exit 0; fi
    echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"'$CNI_NETNS'"}],"ips":[{"address":"10.77.0.9/24","interface":0},{"address":"fd77::9/64","interface":0}],"dns":{}}' ;;
esac
)";

class Cni : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    WriteProgram("test-plugin");
  }
  void TearDown() override {
    RemoveAllPods();  // while the plugins are still there
    (void)RemoveTree(folder() / "cni");
    NodeTest::TearDown();
  }

  void WriteProgram(const std::string& name) {
    const std::string path = JoinPath(daemon().cni_bin_dir(), name);
    ASSERT_TRUE(ReplaceFile(path, kPlugin, 0755).ok());
    chmod(path.c_str(), 0755);
  }
  void WriteConf(const std::string& name, const std::string& text) {
    ASSERT_TRUE(ReplaceFile(JoinPath(daemon().cni_conf_dir(), name), text).ok());
  }
  void UseCni() {
    WriteConf("10-test.conflist",
              R"({"cniVersion":"1.1.0","name":"test-net","plugins":[)"
              R"({"type":"test-plugin","capabilities":{"portMappings":true}}]})");
    ASSERT_TRUE(WaitUntil([&] {
      return NetworkFacts().find("test-net") != std::string::npos || Calls("STATUS") > 0 || Ready();
    }));
    // The watcher takes a moment.
    absl::SleepFor(absl::Milliseconds(300));
  }
  std::string NetworkFacts() { return Condition("NetworkReady").message(); }
  bool Ready() { return Condition("NetworkReady").status(); }
  v1::RuntimeCondition Condition(const std::string& type) {
    const auto status = Must(cri().Call(&CriClient::RuntimeStub::Status, v1::StatusRequest()));
    for (const v1::RuntimeCondition& condition : status.status().conditions())
      if (condition.type() == type) return condition;
    return {};
  }
  std::string CallsText() { return ReadFile(folder() / "cni/calls").value_or(""); }
  int Calls(const std::string& command) {
    const std::string calls = CallsText();
    int count = 0;
    for (const std::string_view line : SplitWords(calls, '\n'))
      count += line.substr(0, command.size() + 1) == command + " " ? 1 : 0;
    return count;
  }
};

TEST_F(Cni, TheChainIsCalledToTheLetter) {
  UseCni();
  v1::PodSandboxConfig config = PodConfig("cni");
  auto* port = config.add_port_mappings();
  port->set_host_port(34567);
  port->set_container_port(80);
  const Pod pod = RunPod(config);
  const auto status = Must(cri().PodStatus(pod.id));
  EXPECT_EQ(status.network().ip(), "10.77.0.9");
  ASSERT_EQ(status.network().additional_ips_size(), 1);
  EXPECT_EQ(status.network().additional_ips(0).ip(), "fd77::9");
  EXPECT_EQ(Calls("ADD"), 1);
  const std::string calls = CallsText();
  EXPECT_THAT(calls, HasSubstr("ADD netns eth0 "));
  EXPECT_THAT(calls, HasSubstr("K8S_POD_NAMESPACE=test"));
  EXPECT_THAT(calls, HasSubstr("K8S_POD_NAME=cni"));
  EXPECT_THAT(calls, HasSubstr("K8S_POD_INFRA_CONTAINER_ID=" + pod.id));
  EXPECT_THAT(calls, HasSubstr("K8S_POD_UID=uid-cni"));
  EXPECT_THAT(calls, HasSubstr("\"hostPort\":34567"));
  EXPECT_THAT(calls, HasSubstr("\"name\":\"test-net\""));

  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_GE(Calls("DEL"), 1);
  EXPECT_THAT(CallsText(), HasSubstr("\"prevResult\""));
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
}

TEST_F(Cni, AFailedAddIsUndone) {
  UseCni();
  ASSERT_TRUE(ReplaceFile(folder() / "cni/fail", "").ok());
  EXPECT_THAT(cri().RunPod(PodConfig("fails")).status().message(), HasSubstr("no address left"));
  EXPECT_THAT(Must(cri().ListPods()), IsEmpty());
  EXPECT_GE(Calls("DEL"), 1);
  ASSERT_TRUE(RemoveFile(folder() / "cni/fail").ok());
  RunPod("fails");
}

TEST_F(Cni, NonsenseIsAnError) {
  UseCni();
  ASSERT_TRUE(ReplaceFile(folder() / "cni/nonsense", "").ok());
  EXPECT_THAT(cri().RunPod(PodConfig("nonsense")), Not(IsOk()));
  EXPECT_THAT(Must(cri().ListPods()), IsEmpty());
}

TEST_F(Cni, StatusOfThePluginIsTheNodes) {
  UseCni();
  EXPECT_TRUE(WaitUntil([&] { return Ready(); }));
  ASSERT_TRUE(ReplaceFile(folder() / "cni/not-ready", "").ok());
  EXPECT_TRUE(WaitUntil([&] { return !Ready(); }, absl::Seconds(60)));
  EXPECT_THAT(Condition("NetworkReady").message(), HasSubstr("not now"));
}

TEST_F(Cni, ABrokenFileIsNamedAndDoesNotBlockAGoodOne) {
  WriteConf("05-broken.conflist", "{\"name\": \"broken\", ");
  UseCni();
  const Pod pod = RunPod("despite");
  EXPECT_THAT(Must(cri().PodStatus(pod.id)).network().ip(), Not(IsEmpty()));
}

TEST_F(Cni, DeletesAfterARestartWithTheCachedResult) {
  UseCni();
  const Pod pod = RunPod("cached");
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Must(cri().PodStatus(pod.id)).network().ip(), "10.77.0.9");
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_GE(Calls("DEL"), 1);
  EXPECT_THAT(CallsText(), HasSubstr("\"prevResult\""));
}

}  // namespace
}  // namespace crisp
