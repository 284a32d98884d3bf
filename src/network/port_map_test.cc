#include "network/port_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "network/database_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class PortMapTest : public DatabaseFixture<PortMapTable> {
 protected:
  std::string Claim(const std::string& pod, const std::vector<PortMap>& ports) {
    const auto claimed =
        table_->Claim(pod, ports, {*IpAddress::Parse("10.0.0.2"), *IpAddress::Parse("fd00::2")});
    if (!claimed.ok()) return claimed.status().ToString();
    std::string text;
    for (const HostPort& port : *claimed) {
      text += Cat(text.empty() ? "" : " ", port.ToString(), "=", port.target.ToString(), ":",
                  port.container_port);
    }
    return text;
  }
};

TEST_F(PortMapTest, ExpandsToFamilies) {
  EXPECT_THAT(Claim("a", {{"tcp", 80, 8080, ""}, {"tcp", 81, 0, ""}}),
              testing::AnyOf("*:8080/tcp=fd00::2:80 *:8080/tcp=10.0.0.2:80",
                             "*:8080/tcp=10.0.0.2:80 *:8080/tcp=fd00::2:80"));
  EXPECT_EQ(Claim("b", {{"udp", 53, 53, "127.0.0.1"}}), "127.0.0.1:53/udp=10.0.0.2:53");
  EXPECT_EQ(Claim("c", {{"tcp", 80, 81, "0.0.0.0"}}), "*:81/tcp=10.0.0.2:80");
  EXPECT_EQ(Claim("d", {{"sctp", 80, 81, "::"}}), "*:81/sctp=fd00::2:80");
  EXPECT_EQ(Claim("e", {}), "");
}

TEST_F(PortMapTest, ConflictsNameTheOwnerAlsoAfterARestart) {
  EXPECT_THAT(Claim("a", {{"tcp", 80, 8080, "127.0.0.1"}}), HasSubstr("8080"));
  Open();
  EXPECT_THAT(Claim("b", {{"tcp", 80, 8080, ""}}),
              HasSubstr("is taken by pod a (127.0.0.1:8080/tcp to 10.0.0.2:80)"));
  EXPECT_TRUE(table_->OfPod("b").empty());
  EXPECT_EQ(Claim("c", {{"tcp", 80, 8080, "127.0.0.2"}}), "127.0.0.2:8080/tcp=10.0.0.2:80");
  EXPECT_EQ(Claim("d", {{"udp", 80, 8080, "0.0.0.0"}}), "*:8080/udp=10.0.0.2:80");
  EXPECT_EQ(Claim("e", {{"tcp", 80, 8080, "::1"}}), "[::1]:8080/tcp=fd00::2:80");
  // A repeated claim replaces.
  EXPECT_EQ(Claim("a", {{"tcp", 80, 8081, "127.0.0.1"}}), "127.0.0.1:8081/tcp=10.0.0.2:80");
  ASSERT_TRUE(table_->Release("a").ok());
  ASSERT_TRUE(table_->Release("a").ok());
  EXPECT_THAT(table_->Pods(), testing::ElementsAre("c", "d", "e"));
}

TEST_F(PortMapTest, NonsenseIsRefused) {
  EXPECT_THAT(Claim("a", {{"icmp", 80, 80, ""}}), HasSubstr("none of tcp, udp, sctp"));
  EXPECT_THAT(Claim("a", {{"tcp", 80, 65536, ""}}), HasSubstr("between 1 and 65535"));
  EXPECT_THAT(Claim("a", {{"tcp", 0, 80, ""}}), HasSubstr("between 1 and 65535"));
  EXPECT_THAT(Claim("a", {{"tcp", 80, 80, "somewhere"}}), HasSubstr("no IP address"));
  EXPECT_THAT(Claim("a", {{"tcp", 80, 80, ""}, {"tcp", 81, 80, "127.0.0.1"}}),
              HasSubstr("named twice"));
  EXPECT_THAT(table_->Claim("a", {{"tcp", 80, 80, "::1"}}, {*IpAddress::Parse("10.0.0.2")})
                  .status()
                  .ToString(),
              HasSubstr("no address of that family"));
  EXPECT_TRUE(table_->All().empty());
}

}  // namespace
}  // namespace crisp
