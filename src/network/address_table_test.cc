#include "network/address_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/text.h"
#include "network/database_fixture.h"

namespace crisp {
namespace {

class AddressTableTest : public DatabaseFixture<AddressTable> {
 protected:
  std::string Get(const std::string& pod, std::initializer_list<const char*> pools) {
    std::vector<IpPrefix> prefixes;
    for (const char* pool : pools) prefixes.push_back(*IpPrefix::Parse(pool));
    const auto addresses = table_->Allocate(pod, prefixes);
    if (!addresses.ok()) return addresses.status().ToString();
    std::string text;
    for (const IpAddress& address : *addresses)
      text += Cat(text.empty() ? "" : " ", address.ToString());
    return text;
  }
};

TEST_F(AddressTableTest, NextFitIdempotentAndDurable) {
  EXPECT_EQ(Get("a", {"10.80.0.0/16", "fd00::/64"}), "10.80.0.2 fd00::2");
  EXPECT_EQ(Get("b", {"10.80.0.0/16", "fd00::/64"}), "10.80.0.3 fd00::3");
  EXPECT_EQ(Get("a", {"10.80.0.0/16", "fd00::/64"}), "10.80.0.2 fd00::2");
  ASSERT_TRUE(table_->Release("b").ok());
  ASSERT_TRUE(table_->Release("b").ok());
  // What was freed is not handed out again at once, not even after a restart.
  EXPECT_EQ(Get("c", {"10.80.0.0/16"}), "10.80.0.4");
  ASSERT_TRUE(table_->Release("c").ok());
  Open();
  EXPECT_EQ(Get("d", {"10.80.0.0/16"}), "10.80.0.5");
  EXPECT_EQ(Get("a", {"10.80.0.0/16", "fd00::/64"}), "10.80.0.2 fd00::2");
  EXPECT_THAT(table_->Pods(), testing::ElementsAre("a", "d"));
}

TEST_F(AddressTableTest, WrapsAroundAndFillsEveryGap) {
  const std::initializer_list<const char*> pool = {"10.0.0.0/29"};  // .2 to .6
  for (int i = 2; i <= 6; ++i) EXPECT_EQ(Get(Cat("pod", i), pool), Cat("10.0.0.", i));
  EXPECT_THAT(Get("more", pool), testing::HasSubstr("no address is free in subnet 10.0.0.0/29"));
  EXPECT_TRUE(absl::IsResourceExhausted(
      table_->Allocate("more", {*IpPrefix::Parse("10.0.0.0/29")}).status()));
  for (const int freed : {4, 2, 6}) {
    ASSERT_TRUE(table_->Release(Cat("pod", freed)).ok());
    EXPECT_EQ(Get(Cat("again", freed), pool), Cat("10.0.0.", freed));
  }
  EXPECT_THAT(Get("more", pool), testing::HasSubstr("RESOURCE_EXHAUSTED"));
}

// A pod gets addresses of all pools or none.
TEST_F(AddressTableTest, AFullSecondPoolTakesNothingFromTheFirst) {
  EXPECT_EQ(Get("a", {"10.0.0.0/16", "fd00::/126"}), "10.0.0.2 fd00::2");
  EXPECT_EQ(Get("b", {"10.0.0.0/16", "fd00::/126"}), "10.0.0.3 fd00::3");
  EXPECT_THAT(Get("c", {"10.0.0.0/16", "fd00::/126"}), testing::HasSubstr("fd00::/126"));
  EXPECT_FALSE(table_->Holds("c"));
  EXPECT_EQ(Get("d", {"10.0.0.0/16"}), "10.0.0.4");
}

TEST_F(AddressTableTest, NoAddressTwiceUnderContention) {
  std::vector<std::thread> threads;
  std::vector<std::vector<std::string>> got(8);
  for (size_t thread = 0; thread < got.size(); ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 50; ++i) {
        const std::string pod = Cat(thread, "-", i);
        got[thread].push_back(Get(pod, {"10.0.0.0/22"}));
        if (i % 3 == 0 && table_->Release(pod).ok()) got[thread].pop_back();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  size_t count = 0;
  for (const auto& list : got) {
    all.insert(list.begin(), list.end());
    count += list.size();
  }
  EXPECT_EQ(all.size(), count);
}

TEST(AddressTableCapacity, OfSubnets) {
  const auto capacity = [](const char* text) {
    return AddressTable::Capacity(*IpPrefix::Parse(text));
  };
  EXPECT_EQ(capacity("10.0.0.0/16"), 65533u);
  EXPECT_EQ(capacity("10.0.0.0/30"), 1u);
  EXPECT_EQ(capacity("10.0.0.0/31"), 0u);
  EXPECT_EQ(capacity("10.0.0.0/32"), 0u);
  EXPECT_EQ(capacity("fd00::/127"), 0u);
  EXPECT_EQ(capacity("fd00::/126"), 2u);
  EXPECT_EQ(capacity("fd00::/64"), (uint64_t{1} << 31) - 2);
}

}  // namespace
}  // namespace crisp
