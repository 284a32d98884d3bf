#include "monitor/log_line.h"

#include <time.h>

#include <random>
#include <string>
#include <vector>

#include "base/cri_log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kTime = "2026-11-23T12:00:00.000000001Z";

// Collects what a cutter writes, as "<tag> <content>" each.
class Lines {
 public:
  WriteLines Sink() {
    return [this](std::span<const struct iovec> pieces) {
      ++writes;
      std::string text;
      for (const struct iovec& piece : pieces) {
        text.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
      }
      EXPECT_LE(pieces.size(), 1024u);
      EXPECT_EQ(text.back(), '\n');
      reader_.Feed(text, [this](const LogEntry& entry) {
        lines.push_back((entry.partial ? "P " : "F ") + std::string(entry.content));
        joined += entry.content;
        if (!entry.partial) joined += '\n';
      });
      EXPECT_EQ(reader_.damaged_lines(), 0u);
    };
  }
  int writes = 0;
  std::vector<std::string> lines;
  std::string joined;

 private:
  CriLogReader reader_;
};

TEST(LogLineTest, TimesAreAsRfc3339SaysAndAgreeWithTheLibrary) {
  EXPECT_EQ(LogTime(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(LogTime(951827696789000000), "2000-02-29T12:34:56.789000000Z");
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const int64_t time = random() & 0x7fffffffffffffff;
    const time_t seconds = time / 1'000'000'000;
    struct tm fields;
    gmtime_r(&seconds, &fields);
    char expected[64];
    strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.", &fields);
    EXPECT_EQ(LogTime(time).substr(0, 20), expected);
    EXPECT_EQ(ParseRfc3339(LogTime(time)), time);
  }
}

TEST(LogLineTest, CutsCompleteLinesInOneWrite) {
  LineCutter cutter("stdout", 0, false);
  Lines lines;
  std::string first;
  cutter.Take("one\n\ntwo\r\n", kTime, [&](std::span<const struct iovec> pieces) {
    first.assign(static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len);
    lines.Sink()(pieces);
  });
  EXPECT_EQ(first, "2026-11-23T12:00:00.000000001Z stdout F ");
  EXPECT_THAT(lines.lines, ElementsAre("F one", "F ", "F two\r"));
  EXPECT_EQ(lines.writes, 1);
  EXPECT_EQ(cutter.kept_bytes(), 0u);
}

TEST(LogLineTest, KeepsAnUnfinishedLine) {
  LineCutter cutter("stderr", 0, false);
  Lines lines;
  cutter.Take("hel", kTime, lines.Sink());
  cutter.Take("lo", kTime, lines.Sink());
  EXPECT_EQ(lines.writes, 0);
  cutter.Take("\nrest", kTime, lines.Sink());
  EXPECT_THAT(lines.lines, ElementsAre("F hello"));
  cutter.Finish(kTime, lines.Sink());
  cutter.Finish(kTime, lines.Sink());
  EXPECT_THAT(lines.lines, ElementsAre("F hello", "P rest"));
}

TEST(LogLineTest, CutsLongLinesAtTheLimit) {
  const std::string exact(8, 'e');
  for (const size_t step : {1, 2, 3, 7, 8, 9, 100}) {
    LineCutter cutter("stdout", 8, false);
    Lines lines;
    const std::string text = exact + "\n" + exact + "x\n" + exact + exact + "\n" + exact;
    for (size_t at = 0; at < text.size(); at += step) {
      cutter.Take(std::string_view(text).substr(at, step), kTime, lines.Sink());
    }
    cutter.Finish(kTime, lines.Sink());
    EXPECT_THAT(lines.lines, ElementsAre("F " + exact, "P " + exact, "F x", "P " + exact,
                                         "F " + exact, "P " + exact))
        << step;
  }
}

TEST(LogLineTest, DropsTheTerminalsCarriageReturn) {
  for (const size_t step : {1, 2, 100}) {
    LineCutter cutter("stdout", 0, true);
    Lines lines;
    const std::string text = "a\r\n\r\nb\rc\r\r\nd\n";
    for (size_t at = 0; at < text.size(); at += step) {
      cutter.Take(std::string_view(text).substr(at, step), kTime, lines.Sink());
    }
    EXPECT_THAT(lines.lines, ElementsAre("F a", "F ", "F b\rc\r", "F d")) << step;
  }
}

TEST(LogLineTest, SplitsHugeReadsAtTheKernelsLimit) {
  LineCutter cutter("stdout", 0, false);
  Lines lines;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "x\n";
  cutter.Take(text, kTime, lines.Sink());
  EXPECT_EQ(lines.lines.size(), 5000u);
  EXPECT_GT(lines.writes, 1);
  EXPECT_EQ(lines.joined, text);
}

TEST(LogLineTest, WhatGoesInComesOut) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    LineCutter cutter("stdout", 1 + random() % 40, false);
    Lines lines;
    std::string all;
    for (int i = 0; i < 30; ++i) {
      std::string text(random() % 60, 'x');
      for (char& c : text) c = random() % 9 == 0 ? '\n' : static_cast<char>('a' + random() % 26);
      all += text;
      cutter.Take(text, kTime, lines.Sink());
      if (random() % 10 == 0) cutter.Finish(kTime, lines.Sink());
    }
    cutter.Finish(kTime, lines.Sink());
    EXPECT_EQ(lines.joined, all);
  }
}

}  // namespace
}  // namespace crisp
