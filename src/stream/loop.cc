#include "stream/loop.h"

#include <fcntl.h>
#include <signal.h>

#include <chrono>
#include <optional>
#include <thread>

#include "base/log.h"
#include "stream/asio.h"

namespace crisp::stream {

namespace asio = boost::asio;
using boost::system::error_code;

struct Loop::Parts {
  asio::io_context context{1};  // one thread: Asio needs no locks among handlers
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::thread thread;
};

Loop::Loop() : parts_(std::make_unique<Parts>()) {}

Loop::~Loop() { Stop(); }

void Loop::Start() {
  parts_->work.emplace(parts_->context.get_executor());
  parts_->thread = std::thread([this] {
    // Whoever writes to a pipe without a reader shall get EPIPE.
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::pthread_setname_np(::pthread_self(), "stream");
    for (;;) {
      try {
        parts_->context.run();
        return;
      } catch (const std::exception& error) {
        LOG_ERROR("streaming: a session failed unexpectedly: {}", error.what());
      }
    }
  });
}

void Loop::Post(absl::AnyInvocable<void()> task) {
  asio::post(parts_->context, [task = std::move(task)]() mutable { task(); });
}

void Loop::Stop() {
  if (!parts_->thread.joinable()) return;
  parts_->context.stop();
  parts_->thread.join();
}

asio::io_context& Loop::context() { return parts_->context; }

struct Alarm::State {
  explicit State(Loop& loop) : timer(loop.context()) {}
  asio::steady_timer timer;
  uint64_t set = 0;  // counts; a callback of an earlier one stays silent
};

Alarm::Alarm(Loop& loop) : state_(std::make_shared<State>(loop)) {}

Alarm::~Alarm() { Cancel(); }

void Alarm::Set(absl::Duration after, std::function<void()> fire) {
  const uint64_t mine = ++state_->set;
  state_->timer.expires_after(absl::ToChronoNanoseconds(after));
  state_->timer.async_wait([state = state_, mine, fire = std::move(fire)](error_code error) {
    if (!error && state->set == mine) fire();
  });
}

void Alarm::Cancel() {
  ++state_->set;
  error_code ignored;
  state_->timer.cancel(ignored);
}

struct FdWatch::State {
  State(Loop& loop, int fd) : descriptor(loop.context()) {
    error_code error;
    descriptor.assign(fd, error);
    if (error) {
      LOG_WARN("streaming: descriptor {} cannot be watched: {}", fd, error.message());
      ::close(fd);
    }
    open = !error;
  }
  asio::posix::stream_descriptor descriptor;
  bool open;
};

FdWatch::FdWatch(Loop& loop, UniqueFd fd)
    : state_((::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK),
              std::make_shared<State>(loop, fd.release()))) {}

FdWatch::~FdWatch() { Close(); }

int FdWatch::fd() const { return state_->open ? state_->descriptor.native_handle() : -1; }

void FdWatch::WhenReadable(std::function<void()> ready) {
  if (!state_->open) return;
  state_->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                [state = state_, ready = std::move(ready)](error_code error) {
                                  if (!error && state->open) ready();
                                });
}

void FdWatch::WhenWritable(std::function<void()> ready) {
  if (!state_->open) return;
  state_->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                [state = state_, ready = std::move(ready)](error_code error) {
                                  if (!error && state->open) ready();
                                });
}

void FdWatch::Close() {
  if (!state_->open) return;
  state_->open = false;
  error_code ignored;
  state_->descriptor.close(ignored);
}

}  // namespace crisp::stream
