// The parts of the daemon that deal with the process and its surroundings: the lock of its folders,
// the service manager, the socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "api/operator.grpc.pb.h"
#include "base/file.h"
#include "base/text.h"
#include "daemon/notify.h"
#include "daemon/server.h"
#include "daemon/state_lock.h"

namespace crisp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-process-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }
  std::string folder_;
};

sockaddr_un Address(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

TEST_F(ProcessTest, ASecondDaemonIsToldWhoHoldsTheFolder) {
  auto first = StateLock::Take(folder_);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = StateLock::Take(folder_);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(second.status().ToString(),
              AllOf(HasSubstr(Cat("process ", ::getpid())), HasSubstr(folder_)));
  { StateLock gone = *std::move(first); }
  EXPECT_TRUE(StateLock::Take(folder_).ok());
}

TEST_F(ProcessTest, TellsTheServiceManager) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(NotifyServiceManager("READY=1").ok());
  const std::string path = folder_ + "/notify";
  UniqueFd listener(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = Address(path);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  ASSERT_TRUE(NotifyServiceManager("READY=1").ok());
  char buffer[64] = {};
  ASSERT_GT(::recv(listener.get(), buffer, sizeof(buffer), MSG_DONTWAIT), 0);
  EXPECT_STREQ(buffer, "READY=1");
  ::setenv("NOTIFY_SOCKET", (folder_ + "/nobody").c_str(), 1);
  EXPECT_FALSE(NotifyServiceManager("READY=1").ok());
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_F(ProcessTest, ReplacesAStaleSocketAndKeepsOthersOut) {
  const std::string path = folder_ + "/run/crispd.sock";
  ASSERT_TRUE(MakeFolders(folder_ + "/run").ok());
  {
    UniqueFd stale(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = Address(path);
    ASSERT_EQ(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  operate::v1::Operator::Service service;
  auto server = Server::Start({.socket_path = path}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 07777, 0660u);
  EXPECT_FALSE(PathExists(folder_ + "/run/.crispd.sock"));
  const auto second = Server::Start({.socket_path = path}, {&service});
  EXPECT_THAT(second.status().ToString(), HasSubstr("another program serves there"));
  (*server)->Stop(absl::ZeroDuration());
  EXPECT_FALSE(PathExists(path));
}

TEST_F(ProcessTest, LeavesAFileAloneThatIsNoSocket) {
  const std::string path = folder_ + "/precious";
  ASSERT_TRUE(ReplaceFile(path, "data").ok());
  EXPECT_THAT(Server::Start({.socket_path = path}, {}).status().ToString(),
              HasSubstr("no socket is there"));
  EXPECT_EQ(*ReadFile(path), "data");
}

}  // namespace
}  // namespace crisp
