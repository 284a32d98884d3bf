// In the test's own network namespace (tools/private-namespaces).
#include "kernel/netlink.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/namespace.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class NetlinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-netlink-XXXXXX";
    folder_ = mkdtemp(name);
    ASSERT_TRUE(PinNamespaces({{NamespaceKind::kNetwork, Pin()}}, "", {}).ok());
    netns_ = *OpenFile(Pin(), O_RDONLY);
    ASSERT_TRUE(netlink_.AddBridge("brtest", {0x0a, 0x58, 1, 2, 3, 4}, 1400).ok());
    bridge_ = (*netlink_.FindLink("brtest"))->index;
  }
  void TearDown() override {
    netns_.reset();
    EXPECT_TRUE(UnpinNamespace(Pin()).ok());
    EXPECT_TRUE(RemoveTree(folder_).ok());
    netlink_.DeleteLink(bridge_).IgnoreError();
  }
  std::string Pin() const { return JoinPath(folder_, "pin"); }

  std::string folder_;
  UniqueFd netns_;
  Netlink netlink_ = *Netlink::Open();
  int bridge_ = 0;
};

TEST_F(NetlinkTest, Bridge) {
  ASSERT_TRUE(netlink_.SetAlias(bridge_, "whose it is").ok());
  const Link link = **netlink_.FindLink("brtest");
  EXPECT_EQ(link.kind, "bridge");
  EXPECT_EQ(link.mtu, 1400);
  EXPECT_EQ(link.mac, (MacAddress{0x0a, 0x58, 1, 2, 3, 4}));
  EXPECT_EQ(link.alias, "whose it is");
  EXPECT_TRUE(link.up);
  EXPECT_TRUE(absl::IsAlreadyExists(netlink_.AddBridge("brtest", {0x0a}, 1500)));
  EXPECT_FALSE(netlink_.FindLink("nosuchlink").value());
  EXPECT_TRUE(absl::IsNotFound(netlink_.DeleteLink(123456)));
}

TEST_F(NetlinkTest, VethIntoAnotherNamespaceAndItsConfiguration) {
  VethRequest request{"vtest", bridge_, 1400, netns_.get(), "eth0", {0x0a, 0x58, 10, 0, 0, 2}};
  const absl::Status added = netlink_.AddVeth(request);
  ASSERT_TRUE(added.ok()) << added.ToString();
  EXPECT_EQ((*netlink_.FindLink("vtest"))->master, bridge_);
  EXPECT_FALSE(netlink_.FindLink("eth0").value());
  const absl::Status inside = InNamespace(netns_.get(), []() -> absl::Status {
    ASSIGN_OR_RETURN(Netlink netlink, Netlink::Open());
    ASSIGN_OR_RETURN(const std::optional<Link> link, netlink.FindLink("eth0"));
    EXPECT_TRUE(link.has_value());
    EXPECT_EQ(link->mac, (MacAddress{0x0a, 0x58, 10, 0, 0, 2}));
    const std::vector<IpPrefix> addresses = {*IpPrefix::Parse("10.0.0.2/16"),
                                             *IpPrefix::Parse("fd00::2/64")};
    for (int i = 0; i < 2; ++i) {  // the second time finds everything there
      RETURN_IF_ERROR(netlink.Configure(
          link->index, addresses, {*IpAddress::Parse("10.0.0.1"), *IpAddress::Parse("fd00::1")}));
    }
    ASSIGN_OR_RETURN(const std::vector<LinkAddress> present, netlink.Addresses(link->index));
    std::set<IpPrefix> set;
    for (const LinkAddress& address : present) set.insert(address.address);
    for (const IpPrefix& address : addresses)
      EXPECT_EQ(set.count(address), 1u) << address.ToString();
    ASSIGN_OR_RETURN(const std::vector<Route> routes, netlink.Routes());
    int defaults = 0;
    for (const Route& route : routes) defaults += !route.destination && route.link == link->index;
    EXPECT_EQ(defaults, 2);
    // The kernel's own words are in the error.
    const absl::Status unreachable =
        netlink.Configure(link->index, {}, {*IpAddress::Parse("192.168.1.1")});
    EXPECT_THAT(unreachable.ToString(), HasSubstr("gateway"));
    return absl::OkStatus();
  });
  EXPECT_TRUE(inside.ok()) << inside.ToString();
  ASSERT_TRUE(netlink_.DisablePort("vtest").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(netlink_.AddVeth(request)));
  ASSERT_TRUE(netlink_.DeleteLink((*netlink_.FindLink("vtest"))->index).ok());
  EXPECT_FALSE(netlink_.DisablePort("vtest").ok());
  request.bridge = 123456;
  EXPECT_FALSE(netlink_.AddVeth(request).ok());
  EXPECT_FALSE(netlink_.FindLink("vtest").value());  // no half of a failed pair stays
}

TEST_F(NetlinkTest, ListsManyLinks) {
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(netlink_
                    .AddBridge("many" + std::to_string(i),
                               {0x0a, 0x58, 9, 9, 9, static_cast<uint8_t>(i)}, 1500)
                    .ok());
  }
  const auto links = netlink_.Links();
  ASSERT_TRUE(links.ok()) << links.status().ToString();
  EXPECT_GE(links->size(), 62u);
  for (const Link& link : *links) {
    if (link.name.rfind("many", 0) == 0) {
      EXPECT_TRUE(netlink_.DeleteLink(link.index).ok());
    }
  }
}

}  // namespace
}  // namespace crisp
