#include "base/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <thread>

#include "gtest/gtest.h"

namespace crisp {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  UniqueFd out, in;
};

TEST(EventLoopTest, CallsWhatIsReadyAndOnlyThat) {
  auto loop = *EventLoop::Create();
  Pipe written, silent;
  int calls = 0;
  ASSERT_TRUE(loop->Add(written.out.get(), EPOLLIN,
                        [&](uint32_t events) {
                          EXPECT_TRUE(events & EPOLLIN);
                          ++calls;
                          loop->Remove(written.out.get());
                        })
                  .ok());
  ASSERT_TRUE(loop->Add(silent.out.get(), EPOLLIN, [&](uint32_t) { FAIL(); }).ok());
  ASSERT_EQ(write(written.in.get(), "x", 1), 1);
  loop->RunOnce(absl::Seconds(10));
  loop->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(calls, 1);
}

// Two descriptors are ready in one round; the first to be served removes the other.
TEST(EventLoopTest, RemovedInTheSameRoundIsNotCalled) {
  auto loop = *EventLoop::Create();
  Pipe a, b;
  int calls = 0;
  const auto serve = [&](uint32_t) {
    ++calls;
    loop->Remove(a.out.get());
    loop->Remove(b.out.get());
  };
  ASSERT_TRUE(loop->Add(a.out.get(), EPOLLIN, serve).ok());
  ASSERT_TRUE(loop->Add(b.out.get(), EPOLLIN, serve).ok());
  ASSERT_EQ(write(a.in.get(), "x", 1), 1);
  ASSERT_EQ(write(b.in.get(), "x", 1), 1);
  loop->RunOnce(absl::Seconds(10));
  EXPECT_EQ(calls, 1);
}

TEST(EventLoopTest, TimersFireInOrderAndCanBeCancelled) {
  auto loop = *EventLoop::Create();
  std::string order;
  loop->After(absl::Milliseconds(20), [&] {
    order += 'b';
    loop->Stop();
  });
  loop->After(absl::Milliseconds(1), [&] { order += 'a'; });
  const auto cancelled = loop->After(absl::Milliseconds(2), [&] { order += 'x'; });
  loop->CancelTimer(cancelled);
  loop->Run();
  EXPECT_EQ(order, "ab");
}

TEST(EventLoopTest, PostRunsOnTheLoopsThread) {
  auto loop = *EventLoop::Create();
  std::thread::id ran_on;
  std::thread other([&] {
    loop->Post([&] {
      ran_on = std::this_thread::get_id();
      loop->Stop();
    });
  });
  loop->Run();
  other.join();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

}  // namespace
}  // namespace crisp
