#include "cli/log_view.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

namespace crisp {
namespace {

class LogViewTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-logview-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ + "/0.log";
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }

  void Append(const std::string& path, int second, const char* stream, const char* tag,
              const std::string& text) {
    const auto fd = OpenFile(path, O_WRONLY | O_CREAT | O_APPEND, 0640);
    ASSERT_TRUE(fd.ok());
    const std::string line =
        Cat("2026-01-01T00:00:0", second, ".000000000Z ", stream, " ", tag, " ", text, "\n");
    ASSERT_TRUE(WriteAll(fd->get(), line, path).ok());
  }
  LogView View(LogOptions options = {}) {
    return LogView(path_, options, [this](LogEntry::Stream stream, std::string_view text) {
      (stream == LogEntry::Stream::kStdout ? out_ : err_) += text;
    });
  }

  std::string folder_, path_, out_, err_;
};

TEST_F(LogViewTest, JoinsPartsAndKeepsStreamsApart) {
  Append(path_, 1, "stdout", "P", "hel");
  Append(path_, 1, "stderr", "F", "oops");
  Append(path_, 1, "stdout", "F", "lo");
  Append(path_, 2, "stdout", "P", "no end");
  LogView view = View({.timestamps = true});
  ASSERT_TRUE(view.ShowExisting().ok());
  EXPECT_EQ(out_, "2026-01-01T00:00:01.000000000Z hello\n2026-01-01T00:00:02.000000000Z no end");
  EXPECT_EQ(err_, "2026-01-01T00:00:01.000000000Z oops\n");
}

TEST_F(LogViewTest, TailCountsWholeLines) {
  for (int i = 1; i <= 5; ++i) {
    Append(path_, i, "stdout", "P", Cat(i, "-"));
    Append(path_, i, "stdout", "F", "x");
  }
  LogView two = View({.tail = 2});
  ASSERT_TRUE(two.ShowExisting().ok());
  EXPECT_EQ(out_, "4-x\n5-x\n");
  out_.clear();
  LogView none = View({.tail = 0});
  ASSERT_TRUE(none.ShowExisting().ok());
  EXPECT_EQ(out_, "");
  Append(path_, 6, "stdout", "F", "new");
  EXPECT_TRUE(*none.ShowMore());
  EXPECT_EQ(out_, "new\n");
}

TEST_F(LogViewTest, SinceLeavesOutWhatIsOlder) {
  Append(path_, 1, "stdout", "F", "old");
  Append(path_, 2, "stdout", "F", "new");
  LogView view = View({.since = *ParseSince("2026-01-01T00:00:02Z")});
  ASSERT_TRUE(view.ShowExisting().ok());
  EXPECT_EQ(out_, "new\n");
}

TEST_F(LogViewTest, FollowsThroughARotationWithoutLosingALine) {
  Append(path_, 1, "stdout", "F", "one");
  LogView view = View();
  ASSERT_TRUE(view.ShowExisting().ok());
  EXPECT_FALSE(*view.ShowMore());
  ASSERT_EQ(::rename(path_.c_str(), (path_ + ".old").c_str()), 0);
  Append(path_ + ".old", 2, "stdout", "F", "two");
  Append(path_, 3, "stdout", "F", "three");
  while (*view.ShowMore()) {
  }
  EXPECT_EQ(out_, "one\ntwo\nthree\n");
}

TEST_F(LogViewTest, JsonIsOneObjectALine) {
  Append(path_, 1, "stderr", "F", "say \"hi\"");
  LogView view = View({.json = true});
  ASSERT_TRUE(view.ShowExisting().ok());
  const auto json = ParseJson(Trim(err_), "line");
  ASSERT_TRUE(json.ok()) << err_;
  EXPECT_EQ((*json)["log"], "say \"hi\"");
  EXPECT_EQ((*json)["stream"], "stderr");
}

TEST_F(LogViewTest, NoFileIsNotFound) { EXPECT_TRUE(absl::IsNotFound(View().ShowExisting())); }

}  // namespace
}  // namespace crisp
