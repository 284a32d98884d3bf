#include "oci/sysctl.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

runtime::v1::PodSandboxConfig Pod(const std::string& name, const std::string& value) {
  runtime::v1::PodSandboxConfig pod;
  if (!name.empty()) (*pod.mutable_linux()->mutable_sysctls())[name] = value;
  return pod;
}
runtime::v1::NamespaceOption* Options(runtime::v1::PodSandboxConfig& pod) {
  return pod.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

TEST(Sysctl, Defaults) {
  EXPECT_THAT(*BuildPodSysctls(Pod("", "")),
              ElementsAre(Pair("net.ipv4.ip_unprivileged_port_start", "0"),
                          Pair("net.ipv4.ping_group_range", "0 2147483647")));
  auto host = Pod("", "");
  Options(host)->set_network(runtime::v1::NODE);
  EXPECT_THAT(*BuildPodSysctls(host), IsEmpty());
}

TEST(Sysctl, OfNamespacesAreAllowed) {
  for (const char* name :
       {"kernel.shm_rmid_forced", "kernel.sem", "kernel.msgmax", "fs.mqueue.msg_max",
        "net.core.somaxconn", "net/ipv4/conf/eth0.100/forwarding", "kernel.domainname"}) {
    EXPECT_TRUE(BuildPodSysctls(Pod(name, "1")).ok()) << name;
  }
  EXPECT_EQ(BuildPodSysctls(Pod("net/ipv4/conf/eth0.100/forwarding", "1"))
                ->count("net/ipv4/conf/eth0.100/forwarding"),
            1u);
  EXPECT_EQ(BuildPodSysctls(Pod("net.ipv4.ip_unprivileged_port_start", "80"))
                ->at("net.ipv4.ip_unprivileged_port_start"),
            "80");
}

TEST(Sysctl, OthersAreRefusedByName) {
  for (const char* name :
       {"kernel.panic", "vm.swappiness", "kernel.hostname", "net", "netx.y", "fs.file-max",
        "net..ipv4", ".net.core", "net.core.", "net.../../kernel.panic", "../kernel/panic",
        "net./../x", "net.ipv4.a b", "net.x\n", "kernel.shm/../../x"}) {
    const auto sysctls = BuildPodSysctls(Pod(name, "1"));
    EXPECT_EQ(sysctls.status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  for (const std::string& value :
       {std::string("1\n2"), std::string("\0", 1), std::string(5000, '1')}) {
    EXPECT_FALSE(BuildPodSysctls(Pod("net.core.somaxconn", value)).ok());
  }
}

TEST(Sysctl, HostNamespacesAreTheHosts) {
  auto network = Pod("net.core.somaxconn", "1");
  Options(network)->set_network(runtime::v1::NODE);
  EXPECT_THAT(std::string(BuildPodSysctls(network).status().message()),
              HasSubstr("host's network"));
  auto ipc = Pod("kernel.shmmax", "1");
  Options(ipc)->set_ipc(runtime::v1::NODE);
  EXPECT_THAT(std::string(BuildPodSysctls(ipc).status().message()), HasSubstr("IPC"));
}

TEST(Sysctl, PingGroupsAreThoseOfTheUserNamespace) {
  const auto with = [](const char* value) {
    auto pod = Pod("net.ipv4.ping_group_range", value);
    auto* userns = Options(pod)->mutable_userns_options();
    userns->set_mode(runtime::v1::POD);
    for (auto* range : {userns->add_uids(), userns->add_gids()}) {
      range->set_host_id(100000);
      range->set_length(65536);
    }
    return BuildPodSysctls(pod)->at("net.ipv4.ping_group_range");
  };
  EXPECT_EQ(with("0 2147483647"), "100000 165535");
  EXPECT_EQ(with("5 10"), "100005 100010");
  EXPECT_EQ(with("1 0"), "1 0");
  EXPECT_EQ(with("70000 80000"), "1 0");
  EXPECT_EQ(with("words"), "words");
}

}  // namespace
}  // namespace crisp
