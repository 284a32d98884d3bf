// Sessions of commands that do not go as they should: clients that leave, dawdle, babble or do not
// read, and what becomes of the others meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "stream/server_fixture.h"

namespace crisp::stream {
namespace {

const std::vector<std::string> kV4 = {"v4.channel.k8s.io"};

using ExecSessionTest = StreamServerTest;

TEST_F(ExecSessionTest, AClientThatGoesEndsTheSessionAndClosesTheInput) {
  {
    SpdyClient client(Exec("cat", true), kV4);
    for (const char* type : {"error", "stdin", "stdout", "stderr"}) client.OpenType(type);
    EXPECT_TRUE(backend_.WaitForAlive(1));
  }
  EXPECT_TRUE(backend_.WaitForAlive(0));
}

TEST_F(ExecSessionTest, AClientThatGoesWhileTheCommandStartsCancelsIt) {
  {
    SpdyClient client(
        *server_->ForExec({.container_id = "container", .cmd = {"wait-for-cancel"}, .out = true}),
        kV4);
    client.OpenType("error");
    client.OpenType("stdout");
  }
  // Stop() would wait for it, too; that it may be called at once is part of the test.
  server_->Stop();
}

TEST_F(ExecSessionTest, AResetStreamIsDiscardedAndTheCommandGoesOn) {
  SpdyClient client(Exec("head -c 1000000 /dev/zero; echo done >&2"), kV4);
  client.OpenType("error");
  const uint32_t out = client.OpenType("stdout");
  client.Reset(out);
  EXPECT_EQ(client.ReadAll(client.OpenType("stderr")), "done\n");
}

TEST_F(ExecSessionTest, StreamsThatNobodyAskedForAreRefused) {
  SpdyClient client(Exec("echo out"), kV4);
  const uint32_t in = client.OpenType("stdin"), odd = client.OpenType("odd");
  client.OpenType("error");
  const uint32_t again = client.OpenType("error");
  const uint32_t out = client.OpenType("stdout");
  client.OpenType("stderr");
  EXPECT_EQ(client.ReadAll(out), "out\n");
  for (uint32_t stream : {in, odd, again}) {
    EXPECT_TRUE(client.stream(stream).reset);
    EXPECT_EQ(client.stream(stream).reset_status, 3u);
  }
}

TEST_F(ExecSessionTest, StreamsThatDoNotComeInTimeEndTheSession) {
  Start({.creation_timeout = absl::Milliseconds(200)});
  SpdyClient client(Exec("echo out"), kV4);
  client.OpenType("error");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.go_away_status, 1u);
}

TEST_F(ExecSessionTest, AnIdleSessionIsCutAndABusyOneIsNot) {
  constexpr absl::Duration kIdle = absl::Milliseconds(1500);
  Start({.idle_timeout = kIdle});
  SpdyClient idle(Exec("cat", true), kV4), busy(Exec("cat", true), kV4);
  for (SpdyClient* client : {&idle, &busy}) {
    for (const char* type : {"error", "stdin", "stdout", "stderr"}) client->OpenType(type);
  }
  const absl::Time start = absl::Now();
  size_t sent = 0;
  for (absl::Time last = start; absl::Now() < start + 1.5 * kIdle; last = absl::Now()) {
    busy.Write(3, "x");
    const std::string echo = busy.ReadAtLeast(5, ++sent);
    if (absl::Now() > last + kIdle / 2) break;  // this machine is too slow to be called busy
    EXPECT_EQ(echo.size(), sent);
    absl::SleepFor(kIdle / 20);
  }
  EXPECT_TRUE(idle.ReadToEnd());
  EXPECT_EQ(idle.go_away_status, 1u);
}

TEST_F(ExecSessionTest, SpdyRubbishIsCutWithGoAway) {
  SpdyClient client(Exec("cat", true), kV4);
  client.WriteRaw("\xff\xfe this is no frame of any version of SPDY");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.go_away_status, 1u);
}

TEST_F(ExecSessionTest, SpdyPingsAreEchoedAndOtherFramesAreSuffered) {
  SpdyClient client(Exec("cat", true), kV4);
  for (const char* type : {"error", "stdin", "stdout", "stderr"}) client.OpenType(type);
  client.WriteRaw(Cat(SpdyControl(SpdyType::kSettings, 0, std::string(4, '\0')),
                      SpdyControl(SpdyType::kWindowUpdate, 0, std::string(8, '\0')), SpdyPing(2),
                      SpdyPing(5), SpdyDataHead(99, 1, false), "x", SpdyPing(7)));
  while (client.pings.size() < 2) ASSERT_TRUE(client.ReadOnce());
  EXPECT_THAT(client.pings, testing::ElementsAre(5, 7));
  EXPECT_EQ(client.stream(99).reset_status, 2u);
  client.Write(3, "still here\n");
  EXPECT_EQ(client.ReadAtLeast(5, 11), "still here\n");
}

TEST_F(ExecSessionTest, AClientThatDoesNotReadHoldsBackOnlyItself) {
  SpdyClient stuck(Exec("yes"), kV4);
  for (const char* type : {"error", "stdout", "stderr"}) stuck.OpenType(type);
  EXPECT_TRUE(backend_.WaitForAlive(1));
  for (int i = 0; i < 20; ++i) {
    WebSocketClient client(Exec("echo fine"), "v4.channel.k8s.io");
    EXPECT_EQ(client.ReadAll()[1], "fine\n");
  }
}

TEST_F(ExecSessionTest, ManySessionsAtOnce) {
  std::vector<std::unique_ptr<SpdyClient>> clients;
  for (int i = 0; i < 60; ++i) {
    clients.push_back(std::make_unique<SpdyClient>(Exec(Cat("cat; echo ", i), true), kV4));
    for (const char* type : {"error", "stdin", "stdout", "stderr"}) clients[i]->OpenType(type);
  }
  for (const auto& client : clients) client->Write(3, "x ", true);
  for (int i = 0; i < 60; ++i) EXPECT_EQ(clients[i]->ReadAll(5), Cat("x ", i, "\n"));
}

TEST_F(ExecSessionTest, StopCutsWhatRuns) {
  SpdyClient client(Exec("cat", true), kV4);
  for (const char* type : {"error", "stdin", "stdout", "stderr"}) client.OpenType(type);
  client.Write(3, "x");
  EXPECT_EQ(client.ReadAtLeast(5, 1), "x");
  server_->Stop();
  client.ReadToEnd();
  EXPECT_TRUE(backend_.WaitForAlive(0));
}

}  // namespace
}  // namespace crisp::stream
