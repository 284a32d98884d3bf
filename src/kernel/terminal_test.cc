#include "kernel/terminal.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace crisp {
namespace {

TEST(TerminalTest, SizeTravelsToTheOtherSide) {
  absl::StatusOr<TerminalPair> pair = OpenTerminalPair();
  ASSERT_TRUE(pair.ok()) << pair.status();
  ASSERT_TRUE(SetTerminalSize(pair->controller.get(), {132, 43}).ok());
  const absl::StatusOr<TerminalSize> size = GetTerminalSize(pair->terminal.get());
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->columns, 132);
  EXPECT_EQ(size->rows, 43);
}

TEST(TerminalTest, RawModeEndsWithItsScope) {
  absl::StatusOr<TerminalPair> pair = OpenTerminalPair();
  ASSERT_TRUE(pair.ok()) << pair.status();
  char buffer[16];
  {
    absl::StatusOr<RawMode> raw = RawMode::Enter(pair->terminal.get());
    ASSERT_TRUE(raw.ok()) << raw.status();
    ASSERT_EQ(write(pair->terminal.get(), "a\n", 2), 2);
    ASSERT_EQ(read(pair->controller.get(), buffer, sizeof buffer), 2);
  }
  ASSERT_EQ(write(pair->terminal.get(), "a\n", 2), 2);
  ASSERT_EQ(read(pair->controller.get(), buffer, sizeof buffer), 3);
  EXPECT_EQ(std::string(buffer, 3), "a\r\n");
}

TEST(TerminalTest, AFileIsNoTerminal) {
  UniqueFd fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(GetTerminalSize(fd.get()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SetTerminalSize(fd.get(), {1, 1}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RawMode::Enter(fd.get()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace crisp
