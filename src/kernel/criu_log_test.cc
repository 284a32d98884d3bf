#include "kernel/criu_log.h"

#include <gmock/gmock.h>

namespace crisp {
namespace {

TEST(CriuLog, TellsTheErrorsWithoutTimesAndPlaces) {
  EXPECT_EQ(CriuErrors(
                "(00.001) Version: 4.1.1\n"
                "(00.049101) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for "
                "self: Operation not permitted\n"
                "(00.10)      1: Error (criu/files-reg.c:99): Can't open file /data/x\n"
                "(00.11) Error (criu/tun.c:1): tun: Unable to create tun: Operation not permitted\n"
                "(00.11) Warn  (criu/mount.c:1): nothing\n"
                "(00.12) Error (criu/cr-restore.c:1): Restoring FAILED.\n"),
            "Can't open file /data/x");
}

TEST(CriuLog, KeepsTheLastThree) {
  std::string log;
  for (const char* word : {"one", "two", "three", "four"}) {
    log += std::string("(00.1) Error (criu/a.c:1): ") + word + "\n";
  }
  EXPECT_EQ(CriuErrors(log), "two; three; four");
}

TEST(CriuLog, NothingIsNothing) {
  EXPECT_EQ(CriuErrors(""), "");
  EXPECT_EQ(CriuErrors("Error (\nError (x): \n"), "");
  EXPECT_EQ(CriuErrorsOf("/nothing/here"), "");
}

TEST(CriuLog, ControlCharactersDoNotPass) {
  EXPECT_EQ(CriuErrors("Error (a.c:1): file \x1b[31m"), "file ?[31m");
}

}  // namespace
}  // namespace crisp
