#include "launch/runtime_log.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

TEST(RuntimeLogTest, TheLastErrorCounts) {
  EXPECT_EQ(LastRuntimeMessage(R"({"level":"warning","msg":"first"}
{"level":"error","msg":"the cause"}
{"level":"info","msg":"cleaning up"}
)"),
            "the cause");
  EXPECT_EQ(LastRuntimeMessage("{\"level\":\"info\",\"msg\":\"only\"}\n"), "only");
  EXPECT_EQ(LastRuntimeMessage(""), "");
}

TEST(RuntimeLogTest, WhatIsNoJsonIsTakenAsText) {
  EXPECT_EQ(LastRuntimeMessage("panic:\tbad\n"), "panic: bad");
  EXPECT_EQ(LastRuntimeMessage("{\"msg\":7,\"level\":\"error\"}"), "");
  EXPECT_EQ(LastRuntimeMessage(std::string(5000, 'x')).size(), 1024u);
}

TEST(RuntimeLogTest, AMissingProgramIsNotFound) {
  for (const char* message :
       {"executable file `absent` not found in $PATH: No such file or directory",
        "runc run failed: unable to start container process: exec: \"/x\": stat /x: no such file "
        "or "
        "directory",
        "running container: creating process: failed to load /x: no such file or directory",
        "error finding executable \"x\" in PATH [/bin]: no such file or directory"}) {
    EXPECT_TRUE(absl::IsNotFound(RuntimeFailure(message))) << message;
  }
  EXPECT_TRUE(absl::IsInternal(RuntimeFailure("mount `x` to `y`: No such file or directory")));
}

}  // namespace
}  // namespace crisp
