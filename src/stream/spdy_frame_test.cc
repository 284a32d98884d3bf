#include "stream/spdy_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "base/text.h"
#include "stream/spdy_header_block.h"

namespace crisp::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Writes down what comes out of the reader.
class FrameLog final : public SpdyFrameReader::Sink {
 public:
  absl::Status OnControl(SpdyType type, uint8_t flags, std::string_view payload) override {
    lines.push_back(Cat("control ", static_cast<int>(type), " flags ", static_cast<int>(flags),
                        " of ", payload.size()));
    last_payload = payload;
    return absl::OkStatus();
  }
  absl::Status OnData(uint32_t stream, std::string_view piece, bool fin) override {
    if (!lines.empty() && lines.back() == Cat("data ", stream) && !fin) {
      data += piece;
      return absl::OkStatus();
    }
    lines.push_back(Cat("data ", stream, fin ? " fin" : ""));
    data += piece;
    return absl::OkStatus();
  }
  std::vector<std::string> lines;
  std::string data, last_payload;
};

TEST(SpdyFrame, FramesComeOutAsTheyWentIn) {
  const std::string bytes = Cat(SpdySynStream(1, "block", true), SpdyDataHead(1, 5, false), "hello",
                                SpdyDataHead(1, 0, true), SpdyRstStream(1, SpdyReset::kCancel),
                                SpdyPing(7), SpdyGoAway(1, 0));
  FrameLog log;
  ASSERT_TRUE(SpdyFrameReader().Feed(bytes, log).ok());
  EXPECT_THAT(log.lines, ElementsAre("control 1 flags 1 of 15", "data 1", "data 1 fin",
                                     "control 3 flags 0 of 8", "control 6 flags 0 of 4",
                                     "control 7 flags 0 of 8"));
  EXPECT_EQ(log.data, "hello");
}

TEST(SpdyFrame, CutsAnywhereMakeNoDifference) {
  const std::string bytes = Cat(SpdySynReply(3, "a block of headers"), SpdyDataHead(3, 11, true),
                                "hello world", SpdyPing(1));
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    FrameLog log;
    SpdyFrameReader reader;
    for (size_t at = 0; at < bytes.size(); at += cut)
      ASSERT_TRUE(reader.Feed(std::string_view(bytes).substr(at, cut), log).ok());
    EXPECT_EQ(log.data, "hello world");
    EXPECT_EQ(log.lines.front(), "control 2 flags 0 of 22");
    EXPECT_EQ(log.lines.back(), "control 6 flags 0 of 4");
  }
}

TEST(SpdyFrame, TheBytesAreThoseOfTheDraft) {
  EXPECT_EQ(SpdyDataHead(5, 258, true), std::string("\0\0\0\5\1\0\1\2", 8));
  EXPECT_EQ(SpdyPing(9), std::string("\x80\3\0\6\0\0\0\4\0\0\0\x9", 12));
  EXPECT_EQ(SpdyRstStream(3, SpdyReset::kRefused),
            std::string("\x80\3\0\3\0\0\0\x8\0\0\0\3\0\0\0\3", 16));
}

TEST(SpdyFrame, AnotherVersionAndALargeControlFrameAreRefused) {
  FrameLog log;
  EXPECT_THAT(SpdyFrameReader().Feed(std::string("\x80\2\0\6\0\0\0\4\0\0\0\1", 12), log).message(),
              HasSubstr("version 2"));
  const std::string huge =
      SpdyControl(SpdyType::kHeaders, 0, std::string(kSpdyMaxControl + 1, 'x'));
  EXPECT_EQ(SpdyFrameReader().Feed(huge, log).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(log.lines.empty());
}

TEST(SpdyHeaderBlock, TheDictionaryIsTheDraftsOwn) {
  const std::string& dictionary = SpdyDictionary();
  EXPECT_EQ(dictionary.size(), 1423u);
  EXPECT_EQ(::adler32(::adler32(0, nullptr, 0), reinterpret_cast<const Bytef*>(dictionary.data()),
                      dictionary.size()),
            0xE3C6A7C2u);
}

TEST(SpdyHeaderBlock, OneCompressionLivesThroughManyBlocks) {
  SpdyHeaderEncoder encoder;
  SpdyHeaderDecoder decoder;
  const SpdyHeaders first = {{"streamtype", "data"}, {"port", "8080"}, {"requestid", "0"}};
  const std::string block = encoder.Encode(first);
  const auto decoded = decoder.Decode(block);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, first);
  EXPECT_EQ(SpdyHeader(*decoded, "port"), "8080");
  EXPECT_EQ(SpdyHeader(*decoded, "host"), "");
  for (int i = 0; i < 100; ++i) {
    const SpdyHeaders headers = {{"streamtype", "error"}, {"requestid", std::to_string(i)}};
    const std::string next = encoder.Encode(headers);
    const auto again = decoder.Decode(next);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, headers);
  }
  const auto none = decoder.Decode(encoder.Encode({}));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

TEST(SpdyHeaderBlock, RubbishBombsAndLiesAreRefused) {
  EXPECT_FALSE(SpdyHeaderDecoder().Decode("this is no zlib").ok());
  EXPECT_FALSE(SpdyHeaderDecoder().Decode("").ok());
  // 1 MiB of zeroes in a few hundred bytes.
  EXPECT_THAT(SpdyHeaderDecoder()
                  .Decode(SpdyHeaderEncoder().Encode({{"bomb", std::string(1 << 20, '\0')}}))
                  .status()
                  .message(),
              HasSubstr("more than"));
  SpdyHeaders many;
  for (size_t i = 0; i <= SpdyHeaderDecoder::kMaxHeaders; ++i) many.emplace_back("n", "");
  EXPECT_THAT(SpdyHeaderDecoder().Decode(SpdyHeaderEncoder().Encode(many)).status().message(),
              HasSubstr("1001 SPDY headers"));
  EXPECT_FALSE(SpdyHeaderDecoder().Decode(SpdyHeaderEncoder().Encode({{"", "x"}})).ok());
}

}  // namespace
}  // namespace crisp::stream
