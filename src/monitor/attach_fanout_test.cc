// Attach clients with real pipes and a real loop: the container is this test.
#include "monitor/attach_fanout.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using Stream = AttachFanout::Stream;

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  UniqueFd read, write;
};

// What is there now, "<end>" behind it if nobody can write any more.
std::string Take(const UniqueFd& fd) {
  std::string text;
  char bytes[4096];
  while (true) {
    const ssize_t count = read(fd.get(), bytes, sizeof bytes);
    if (count == 0) return text + "<end>";
    if (count < 0) return text;
    text.append(bytes, count);
  }
}

class AttachFanoutTest : public ::testing::Test {
 protected:
  // A client's own ends of its pipes, and what it was told.
  struct Peer {
    UniqueFd in, out, err;
    bool ended = false;
    std::string why;
  };

  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    loop_ = *EventLoop::Create();
    buffer_ = *ReadBuffer::Create(*loop_);
    Open(false);
  }
  void Open(bool input_once, bool keep_early = false) {
    fanout_ = std::make_unique<AttachFanout>(*loop_, *buffer_, input_once, keep_early);
    Pipe input;
    stdin_ = std::move(input.read);
    fanout_->SetInput(std::move(input.write));
  }
  std::unique_ptr<Peer> Attach(const std::string& id, bool in = true, bool out = true,
                               bool err = true) {
    auto peer = std::make_unique<Peer>();
    AttachFanout::Client client;
    client.id = id;
    Pipe in_pipe, out_pipe, err_pipe;
    if (in) client.in = std::move(in_pipe.read), peer->in = std::move(in_pipe.write);
    if (out) client.out = std::move(out_pipe.write), peer->out = std::move(out_pipe.read);
    if (err) client.err = std::move(err_pipe.write), peer->err = std::move(err_pipe.read);
    client.ended = [peer = peer.get()](std::string_view why) {
      EXPECT_FALSE(peer->ended);
      peer->ended = true;
      peer->why = why;
    };
    status_ = fanout_->Add(std::move(client));
    return peer;
  }
  void Serve() {
    for (int i = 0; i < 4; ++i) loop_->RunOnce(absl::ZeroDuration());
  }
  static void Say(const UniqueFd& fd, std::string_view text) {
    EXPECT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<ReadBuffer> buffer_;
  std::unique_ptr<AttachFanout> fanout_;
  UniqueFd stdin_;
  absl::Status status_;
};

TEST_F(AttachFanoutTest, EveryClientGetsWhatComesFromNowOn) {
  fanout_->Write(Stream::kOut, "before");
  const auto first = Attach("first");
  fanout_->Write(Stream::kOut, "one ");
  const auto second = Attach("second", false, true, false);
  fanout_->Write(Stream::kOut, "two");
  fanout_->Write(Stream::kErr, "oops");
  EXPECT_EQ(Take(first->out), "one two");
  EXPECT_EQ(Take(first->err), "oops");
  EXPECT_EQ(Take(second->out), "two");
  fanout_->Write(Stream::kOut, " last");
  fanout_->End();
  EXPECT_EQ(Take(first->out), " last<end>");
  EXPECT_EQ(Take(first->err), "<end>");
  EXPECT_EQ(Take(second->out), " last<end>");
  EXPECT_TRUE(first->ended && second->ended);
  EXPECT_EQ(first->why, "");
  EXPECT_EQ(Take(stdin_), "<end>");
}

TEST_F(AttachFanoutTest, ASlowClientIsCutAndTheOthersAreNot) {
  const auto slow = Attach("slow");
  const auto quick = Attach("quick");
  const std::string block(60 << 10, 'x');
  size_t came = 0;
  for (int i = 0; i < 20; ++i) {
    fanout_->Write(Stream::kOut, block);
    came += Take(quick->out).size();
  }
  EXPECT_EQ(came, 20 * block.size());
  EXPECT_TRUE(slow->ended);
  EXPECT_THAT(slow->why, HasSubstr("slowly"));
  EXPECT_FALSE(quick->ended);
  EXPECT_THAT(Take(slow->out), testing::EndsWith("x<end>"));
}

TEST_F(AttachFanoutTest, InputOfAllClientsGoesToTheContainer) {
  const auto first = Attach("first"), second = Attach("second");
  Say(first->in, "a");
  Serve();
  Say(second->in, "b");
  Serve();
  Say(first->in, "c");
  first->in.reset();
  Serve();
  EXPECT_EQ(Take(stdin_), "abc");
  Say(second->in, "d");
  Serve();
  EXPECT_EQ(Take(stdin_), "d");
  fanout_->Write(Stream::kOut, "still");
  EXPECT_EQ(Take(first->out), "still");
}

TEST_F(AttachFanoutTest, TheFirstClientsEndOfInputIsTheContainersIfAskedFor) {
  Open(true);
  const auto first = Attach("first"), second = Attach("second"),
             third = Attach("third", true, false, false);
  Say(first->in, "all");
  first->in.reset();
  Serve();
  EXPECT_EQ(Take(stdin_), "all<end>");
  EXPECT_EQ(write(second->in.get(), "x", 1), -1);
  EXPECT_FALSE(first->ended || second->ended);
  EXPECT_TRUE(third->ended);
  // Later ones can only listen.
  const auto late = Attach("late");
  EXPECT_TRUE(status_.ok());
  EXPECT_EQ(write(late->in.get(), "x", 1), -1);
  Attach("deaf", true, false, false);
  EXPECT_EQ(status_.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(AttachFanoutTest, AContainerThatDoesNotReadHoldsItsClientsBack) {
  const auto first = Attach("first"), second = Attach("second");
  std::string sent;
  size_t stuck = 0;
  // All pipes fill up, and then nothing moves.
  for (int i = 0; stuck < 8; ++i) {
    const std::string block(4096, static_cast<char>('a' + i % 26));
    const ssize_t count = write(first->in.get(), block.data(), block.size());
    if (count > 0) sent += block.substr(0, count);
    stuck = count > 0 ? 0 : stuck + 1;
    Serve();
  }
  EXPECT_LT(sent.size(), size_t{1} << 20);
  first->in.reset();
  // No busy loop: with everything stuck, one round lasts until something else happens.
  bool fired = false;
  loop_->After(absl::Milliseconds(20), [&fired] { fired = true; });
  loop_->RunOnce(absl::InfiniteDuration());
  EXPECT_TRUE(fired);
  std::string came;
  for (int i = 0; i < 1000 && came.size() < sent.size(); ++i) {
    came += Take(stdin_);
    Serve();
  }
  EXPECT_EQ(came, sent);
  Say(second->in, "!");
  Serve();
  EXPECT_EQ(Take(stdin_), "!");
}

TEST_F(AttachFanoutTest, AContainerThatClosesItsInputClosesTheClients) {
  const auto client = Attach("client");
  stdin_.reset();
  Say(client->in, "x");
  Serve();
  EXPECT_EQ(write(client->in.get(), "x", 1), -1);
  EXPECT_FALSE(client->ended);
  fanout_->Write(Stream::kOut, "on");
  EXPECT_EQ(Take(client->out), "on");
}

TEST_F(AttachFanoutTest, AClientThatGoesIsForgotten) {
  const auto client = Attach("client");
  client->out.reset();
  Serve();
  EXPECT_FALSE(client->ended);
  client->err.reset();
  client->in.reset();
  Serve();
  EXPECT_TRUE(client->ended);
  EXPECT_EQ(client->why, "");
  const auto again = Attach("client");
  EXPECT_TRUE(status_.ok());
  again->out.reset();
  fanout_->Write(Stream::kOut, "to nobody");
  EXPECT_FALSE(again->ended);
}

TEST_F(AttachFanoutTest, Bounds) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 64; ++i) {
    peers.push_back(Attach(Cat(i)));
    ASSERT_TRUE(status_.ok()) << status_;
  }
  Attach("7");
  EXPECT_EQ(status_.code(), absl::StatusCode::kAlreadyExists);
  Attach("one more");
  EXPECT_EQ(status_.code(), absl::StatusCode::kResourceExhausted);
  // Gone with its clients attached: nothing is called any more.
  fanout_.reset();
  EXPECT_FALSE(peers[0]->ended);
}

TEST_F(AttachFanoutTest, WhatComesBeforeTheOneSessionIsKeptForIt) {
  Open(true, true);
  fanout_->Write(Stream::kOut, "not this");
  fanout_->Write(Stream::kOut, std::string(20 << 10, 'x'));
  fanout_->Write(Stream::kErr, "oops ");
  fanout_->Write(Stream::kOut, "$ ");
  const auto writer = Attach("writer", true, false, false);
  const auto first = Attach("first");
  const auto second = Attach("second");
  fanout_->Write(Stream::kOut, "now");
  EXPECT_EQ(Take(first->out), Cat(std::string((16 << 10) - 2, 'x'), "$ now"));
  EXPECT_EQ(Take(first->err), "oops ");
  EXPECT_EQ(Take(second->out), "now");
}

}  // namespace
}  // namespace crisp
