#include "kernel/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
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

TEST(TerminalTest, ItsNumbersAreItsNameForCriu) {
  absl::StatusOr<TerminalPair> pair = OpenTerminalPair();
  ASSERT_TRUE(pair.ok()) << pair.status();
  struct stat about = {};
  ASSERT_EQ(fstat(pair->terminal.get(), &about), 0);
  const absl::StatusOr<TerminalNumbers> numbers = NumbersOfTerminal(about.st_rdev, about.st_dev);
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  unsigned index = 0;
  ASSERT_EQ(ioctl(pair->controller.get(), TIOCGPTN, &index), 0);
  EXPECT_EQ(numbers->index(), index);
  EXPECT_EQ(NumbersOfTerminal(0x8803, 0x5c)->CriuName(), "tty[8803:5c]");
  EXPECT_EQ(NumbersOfTerminal(0x8803, 0x5c)->index(), 3u);
  // /dev/null.
  EXPECT_EQ(NumbersOfTerminal(0x103, 0x5c).status().code(), absl::StatusCode::kInvalidArgument);
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
