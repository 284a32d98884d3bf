#include "kernel/ip_address.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

IpAddress Ip(const std::string& text) { return IpAddress::Parse(text).value(); }
IpPrefix Net(const std::string& text) { return IpPrefix::Parse(text).value(); }

TEST(IpAddress, ParsesAndPrints) {
  for (const char* text :
       {"0.0.0.0", "10.80.0.2", "255.255.255.255", "::", "::1", "fd00::1", "fe80::58:aff:fe50:2"}) {
    EXPECT_EQ(Ip(text).ToString(), text);
  }
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4/8",
                           ":::", "fe80::1%eth0", "[::1]", "a", " 1.2.3.4"}) {
    EXPECT_FALSE(IpAddress::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(std::string_view("1.2.3.4\0x", 9)).ok());
}

TEST(IpAddress, Arithmetic) {
  EXPECT_EQ(Ip("10.0.255.255").Plus(1), Ip("10.1.0.0"));
  EXPECT_EQ(Ip("255.255.255.255").Plus(2), Ip("0.0.0.1"));
  EXPECT_EQ(Ip("fd00::ffff:ffff").Plus(2), Ip("fd00::1:0:1"));
  EXPECT_EQ(Ip("10.80.77.3").Masked(16), Ip("10.80.0.0"));
  EXPECT_EQ(Ip("10.80.77.3").Masked(0), Ip("0.0.0.0"));
  EXPECT_EQ(Ip("10.80.77.3").Masked(31), Ip("10.80.77.2"));
  EXPECT_EQ(Ip("fd12:3456:789a::1").Masked(48), Ip("fd12:3456:789a::"));
  EXPECT_TRUE(Ip("::1").IsLoopback());
  EXPECT_TRUE(Ip("127.5.0.1").IsLoopback());
  EXPECT_FALSE(Ip("::2").IsLoopback());
}

TEST(IpPrefix, ParsesAndCompares) {
  EXPECT_EQ(Net("10.80.1.2/16").ToString(), "10.80.1.2/16");
  EXPECT_EQ(Net("10.80.1.2/16").Subnet().ToString(), "10.80.0.0/16");
  for (const char* text : {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x",
                           "::/129", "/8", "10.0.0.0/ 8"}) {
    EXPECT_FALSE(IpPrefix::Parse(text).ok()) << text;
  }
  EXPECT_TRUE(Net("10.80.0.0/16").Contains(Ip("10.80.255.1")));
  EXPECT_FALSE(Net("10.80.0.0/16").Contains(Ip("10.81.0.1")));
  EXPECT_FALSE(Net("0.0.0.0/0").Contains(Ip("::1")));
  EXPECT_TRUE(Net("10.0.0.0/8").Overlaps(Net("10.80.0.0/16")));
  EXPECT_TRUE(Net("10.80.0.0/16").Overlaps(Net("10.0.0.0/8")));
  EXPECT_FALSE(Net("10.80.0.0/16").Overlaps(Net("10.81.0.0/16")));
  EXPECT_EQ(Net("10.80.0.0/16").OffsetOf(Ip("10.80.1.2")), 258u);
  EXPECT_EQ(Net("fd00::/64").OffsetOf(Ip("fd00::1:2")), 65538u);
}

}  // namespace
}  // namespace crisp
