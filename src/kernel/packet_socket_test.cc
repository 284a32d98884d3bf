#include "kernel/packet_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class PacketSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/packet_socket_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::string folder_;
};

TEST_F(PacketSocketTest, CarriesWholePacketsAndDescriptors) {
  const std::string path = folder_ + "/socket";
  absl::StatusOr<UniqueFd> listener = ListenForPackets(path);
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u & info.st_mode);
  EXPECT_EQ(AcceptPackets(listener->get()).status().code(), absl::StatusCode::kUnavailable);

  absl::StatusOr<UniqueFd> client = ConnectForPackets(path);
  ASSERT_TRUE(client.ok()) << client.status();
  absl::StatusOr<UniqueFd> server = AcceptPackets(listener->get());
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(ReceivePacket(server->get()).status().code(), absl::StatusCode::kUnavailable);

  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  const std::string large(kMaxPacketBytes, 'x');
  ASSERT_TRUE(SendPacket(client->get(), "small", std::array{write_end.get()}).ok());
  ASSERT_TRUE(SendPacket(client->get(), large).ok());
  write_end.reset();

  absl::StatusOr<ReceivedPacket> first = ReceivePacket(server->get());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->data, "small");
  ASSERT_EQ(first->descriptors.size(), 1u);
  EXPECT_NE(fcntl(first->descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(write(first->descriptors[0].get(), "z", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(read_end.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'z');

  absl::StatusOr<ReceivedPacket> second = ReceivePacket(server->get());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->data, large);
  EXPECT_TRUE(second->descriptors.empty());
}

TEST_F(PacketSocketTest, SaysThatThePeerHasGone) {
  auto pair = PacketSocketPair();
  ASSERT_TRUE(pair.ok());
  ASSERT_TRUE(SendPacket(pair->first.get(), "last words").ok());
  pair->first.reset();
  EXPECT_EQ(ReceivePacket(pair->second.get())->data, "last words");
  EXPECT_EQ(ReceivePacket(pair->second.get()).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(SendPacket(pair->second.get(), "x").code(), absl::StatusCode::kAborted);
}

TEST_F(PacketSocketTest, NeverWaitsForAPeerThatDoesNotRead) {
  auto pair = PacketSocketPair();
  ASSERT_TRUE(pair.ok());
  const std::string packet(kMaxPacketBytes, 'x');
  absl::Status status;
  for (int i = 0; i < 1000 && status.ok(); ++i) status = SendPacket(pair->first.get(), packet);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(PacketSocketTest, RefusesWhatIsTooLarge) {
  auto pair = PacketSocketPair();
  ASSERT_TRUE(pair.ok());
  const std::string packet(kMaxPacketBytes + 1, 'x');
  EXPECT_EQ(SendPacket(pair->first.get(), packet).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SendPacket(pair->first.get(), "").code(), absl::StatusCode::kInvalidArgument);
  // A peer that does not keep to the limit is told apart and does not disturb the next packet.
  ASSERT_GT(send(pair->first.get(), packet.data(), packet.size(), 0), 0);
  ASSERT_TRUE(SendPacket(pair->first.get(), "next").ok());
  EXPECT_EQ(ReceivePacket(pair->second.get()).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReceivePacket(pair->second.get())->data, "next");
}

TEST_F(PacketSocketTest, ReplacesAStaleSocketButNothingElse) {
  const std::string path = folder_ + "/socket";
  { ASSERT_TRUE(ListenForPackets(path).ok()); }
  EXPECT_EQ(ConnectForPackets(path).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(ListenForPackets(path).ok());
  EXPECT_EQ(ConnectForPackets(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
  const std::string file = folder_ + "/file";
  ASSERT_TRUE(ReplaceFile(file, "precious").ok());
  const absl::Status status = ListenForPackets(file).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr(file));
}

TEST_F(PacketSocketTest, TakesPathsLongerThanASocketAddress) {
  const std::string path = folder_ + "/" + std::string(120, 'd') + "/monitor.sock";
  ASSERT_TRUE(MakeFolders(FolderOf(path)).ok());
  absl::StatusOr<UniqueFd> listener = ListenForPackets(path);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(ConnectForPackets(path).ok());
}

}  // namespace
}  // namespace crisp
