#include "base/cri_log.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;

TEST(CriLogTest, ReadsTimes) {
  EXPECT_EQ(ParseRfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ParseRfc3339("2000-02-29T12:34:56.789Z"), 951827696789000000);
  EXPECT_EQ(ParseRfc3339("2016-10-06T00:17:09.669794202Z"), 1475713029669794202);
  EXPECT_EQ(ParseRfc3339("2016-10-06T02:47:09.669794202+02:30"), 1475713029669794202);
  EXPECT_EQ(ParseRfc3339("1969-12-31T23:59:59.5-00:00"), -500000000);
  EXPECT_EQ(ParseRfc3339("2020-01-01T00:00:00.1234567891234Z"), 1577836800123456789);
}

TEST(CriLogTest, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2016", "2016-10-06", "2016-13-06T00:17:09Z", "2016-02-30T00:17:09Z",
        "2016-10-06T24:17:09Z", "2016-10-06T00:17:09", "2016-10-06T00:17:09.Z",
        "2016-10-06T00:17:09.1", "2016-10-06T00:17:09+1:00", "2016-10-06T00:17:09+01:99",
        "9999-10-06T00:17:09Z", "2016-10-06 00:17:09Z", "+016-10-06T00:17:09Z"}) {
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
  }
}

TEST(CriLogTest, ReadsLines) {
  const auto full = ParseLogLine("2016-10-06T00:17:09.669794202Z stdout F hello  world ");
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->stream, LogEntry::Stream::kStdout);
  EXPECT_FALSE(full->partial);
  EXPECT_EQ(full->content, "hello  world ");
  const auto partial = ParseLogLine("2016-10-06T00:17:09Z stderr P:more:tags x");
  ASSERT_TRUE(partial.has_value());
  EXPECT_EQ(partial->stream, LogEntry::Stream::kStderr);
  EXPECT_TRUE(partial->partial);
  EXPECT_EQ(partial->content, "x");
  EXPECT_EQ(ParseLogLine("2016-10-06T00:17:09Z stdout F ")->content, "");
  EXPECT_EQ(ParseLogLine("2016-10-06T00:17:09Z stdout F")->content, "");
  for (const char* line :
       {"", "hello", "2016-10-06T00:17:09Z", "2016-10-06T00:17:09Z stdout",
        "2016-10-06T00:17:09Z stdin F x", "2016-10-06T00:17:09Z stdout X x", "x stdout F x"}) {
    EXPECT_FALSE(ParseLogLine(line).has_value()) << line;
  }
}

TEST(CriLogTest, FeedsInAnyPieces) {
  const std::string text =
      "2016-10-06T00:17:09Z stdout F one\n"
      "damaged\n"
      "2016-10-06T00:17:09Z stdout P tw\n"
      "2016-10-06T00:17:09Z stdout F o\n"
      "2016-10-06T00:17:09Z stdout F unfinished";
  for (size_t step = 1; step <= text.size(); ++step) {
    CriLogReader reader;
    std::vector<std::string> contents;
    for (size_t at = 0; at < text.size(); at += step) {
      reader.Feed(std::string_view(text).substr(at, step),
                  [&](const LogEntry& entry) { contents.emplace_back(entry.content); });
    }
    EXPECT_THAT(contents, ElementsAre("one", "tw", "o"));
    EXPECT_EQ(reader.damaged_lines(), 1u);
  }
}

TEST(CriLogTest, PassesOverLinesWithoutEnd) {
  CriLogReader reader;
  int entries = 0;
  const auto count = [&](const LogEntry&) { ++entries; };
  const std::string piece(100'000, 'x');
  for (int i = 0; i < 20; ++i) reader.Feed(piece, count);
  reader.Feed("\n2016-10-06T00:17:09Z stdout F back\n", count);
  EXPECT_EQ(entries, 1);
  EXPECT_EQ(reader.damaged_lines(), 1u);
}

}  // namespace
}  // namespace crisp
