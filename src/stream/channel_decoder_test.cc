#include "stream/channel_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace crisp::stream {
namespace {

class ChannelLog final : public ChannelDecoder::Sink {
 public:
  void OnChannel(int channel, std::string_view data) override { data_of[channel] += data; }
  void OnChannelClosed(int channel) override { closed.push_back(channel); }
  std::map<int, std::string> data_of;
  std::vector<int> closed;
};

TEST(ChannelDecoder, EachMessageGoesToItsChannelHoweverItIsCut) {
  ChannelDecoder decoder(*CommandProtocol("v4.channel.k8s.io"), 5);
  ChannelLog log;
  ASSERT_TRUE(decoder.Feed(std::string_view("\0hel", 4), false, log).ok());
  ASSERT_TRUE(decoder.Feed("lo", false, log).ok());
  ASSERT_TRUE(decoder.Feed("", true, log).ok());
  ASSERT_TRUE(decoder.Feed("", true, log).ok());  // an empty message
  ASSERT_TRUE(decoder.Feed("\4{}", true, log).ok());
  ASSERT_TRUE(decoder.Feed(std::string_view("\0", 1), true, log).ok());
  EXPECT_EQ(log.data_of, (std::map<int, std::string>{{0, "hello"}, {4, "{}"}}));
}

TEST(ChannelDecoder, Base64IsDecodedAcrossPieces) {
  ChannelDecoder decoder(*CommandProtocol("base64.channel.k8s.io"), 5);
  ChannelLog log;
  for (char c : std::string("0aGVsbG8gd29ybGQ="))
    ASSERT_TRUE(decoder.Feed(std::string(1, c), false, log).ok());
  ASSERT_TRUE(decoder.Feed("", true, log).ok());
  EXPECT_EQ(log.data_of[0], "hello world");
  EXPECT_FALSE(decoder.Feed("0a*b", true, log).ok());
}

TEST(ChannelDecoder, AChannelThatDoesNotExistIsAnError) {
  ChannelLog log;
  EXPECT_FALSE(ChannelDecoder(*CommandProtocol(""), 5).Feed("\5x", true, log).ok());
  EXPECT_FALSE(
      ChannelDecoder(*CommandProtocol("base64.channel.k8s.io"), 5).Feed("5aaaa", true, log).ok());
  EXPECT_FALSE(
      ChannelDecoder(*CommandProtocol("base64.channel.k8s.io"), 5).Feed("/aaaa", true, log).ok());
  // Half-closing belongs to v5.
  EXPECT_FALSE(ChannelDecoder(*CommandProtocol("v4.channel.k8s.io"), 5)
                   .Feed(std::string_view("\xff\0", 2), true, log)
                   .ok());
  EXPECT_FALSE(ChannelDecoder(*CommandProtocol("v5.channel.k8s.io"), 5)
                   .Feed(std::string_view("\xff\5", 2), true, log)
                   .ok());
  EXPECT_TRUE(log.data_of.empty());
}

TEST(ChannelDecoder, V5FinishesAChannel) {
  ChannelDecoder decoder(*CommandProtocol("v5.channel.k8s.io"), 5);
  ChannelLog log;
  ASSERT_TRUE(decoder.Feed("\xff", false, log).ok());
  ASSERT_TRUE(decoder.Feed(std::string_view("\0", 1), true, log).ok());
  EXPECT_THAT(log.closed, testing::ElementsAre(0));
}

TEST(ChannelDecoder, TheProtocolsAreThoseOfKubernetes) {
  EXPECT_EQ(CommandProtocol("")->version, 1);
  EXPECT_EQ(CommandProtocol("v4.base64.channel.k8s.io")->base64, true);
  EXPECT_EQ(CommandProtocol("v5.channel.k8s.io")->half_close, true);
  EXPECT_FALSE(CommandProtocol("v6.channel.k8s.io"));
  EXPECT_TRUE(PortProtocol("v4.channel.k8s.io"));
  EXPECT_FALSE(PortProtocol("v5.channel.k8s.io"));
}

TEST(ChannelDecoder, WhatIsEncodedIsDecoded) {
  const ChannelProtocol base64 = *CommandProtocol("v4.base64.channel.k8s.io");
  EXPECT_EQ(EncodeChannel(base64, 1, "hello"), "1aGVsbG8=");
  EXPECT_EQ(EncodeChannel(*CommandProtocol("v4.channel.k8s.io"), 2, "hello"), "\2");
}

}  // namespace
}  // namespace crisp::stream
