#include "cli/update_arguments.h"

#include "gmock/gmock.h"

namespace crisp {
namespace {

TEST(UpdateArguments, Bytes) {
  EXPECT_EQ(ParseBytes("1048576").value(), 1 << 20);
  EXPECT_EQ(ParseBytes("64M").value(), 64 << 20);
  EXPECT_EQ(ParseBytes("64m").value(), 64 << 20);
  EXPECT_EQ(ParseBytes("64MiB").value(), 64 << 20);
  EXPECT_EQ(ParseBytes("1.5G").value(), 1536LL << 20);
  EXPECT_EQ(ParseBytes("max").value(), -1);
  for (const char* wrong : {"", "0", "-1", "M", "1X", "1.2.3", "64MM", "1e9", "9999999999999T"}) {
    EXPECT_EQ(ParseBytes(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(UpdateArguments, Cpus) {
  EXPECT_EQ(ParseCpus("1.5").value(), 150000);
  EXPECT_EQ(ParseCpus("0.01").value(), 1000);
  EXPECT_EQ(ParseCpus("max").value(), -1);
  for (const char* wrong : {"", "0", "0.001", "-1", "1c", "1e9"}) {
    EXPECT_EQ(ParseCpus(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

}  // namespace
}  // namespace crisp
