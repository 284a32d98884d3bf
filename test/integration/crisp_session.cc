#include "test/integration/crisp_session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/test_folder.h"

namespace crisp {
namespace {

constexpr int kPatienceMillis = 20000;

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  UniqueFd read, write;
};

}  // namespace

std::vector<std::string> ToolEnvironment() {
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin"};
  for (const char* name : {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
    if (const char* value = getenv(name)) environment.push_back(Cat(name, "=", value));
  }
  return environment;
}

CrispSession::CrispSession(const std::string& endpoint, const std::vector<std::string>& words,
                           Input input) {
  Start(endpoint, words, input);
}

void CrispSession::Start(const std::string& endpoint, const std::vector<std::string>& words,
                         Input input) {
  signal(SIGPIPE, SIG_IGN);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  Pipe in, out, err;
  if (input == Input::kTerminal) {
    auto pair = OpenTerminalPair();
    ASSERT_TRUE(pair.ok()) << pair.status();
    terminal_ = *std::move(pair);
    tcgetattr(terminal_.terminal.get(), &before_);
    Resize({100, 40});
    char path[64];
    ASSERT_EQ(ptsname_r(terminal_.controller.get(), path, sizeof path), 0);
    // A session's leader who opens a terminal gets it as its own.
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_addopen(&actions, 0, path, O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    posix_spawn_file_actions_adddup2(&actions, 0, 2);
    in_.reset(fcntl(terminal_.controller.get(), F_DUPFD_CLOEXEC, 0));
    out_.reset(fcntl(terminal_.controller.get(), F_DUPFD_CLOEXEC, 0));
  } else {
    posix_spawn_file_actions_adddup2(&actions, in.read.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, out.write.get(), 1);
    posix_spawn_file_actions_adddup2(&actions, err.write.get(), 2);
    in_ = std::move(in.write);
    out_ = std::move(out.read);
    err_ = std::move(err.read);
  }
  const std::string program = JoinPath(ProgramFolder(), "crisp");
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::vector<std::string> settings = ToolEnvironment();
  settings.push_back("CRISP_ENDPOINT=" + endpoint);
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);
  EXPECT_EQ(
      posix_spawn(&pid_, program.c_str(), &actions, &attributes, argv.data(), environment.data()),
      0);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
}

CrispSession::~CrispSession() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void CrispSession::Say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(in_.get(), text.data(), text.size());
    ASSERT_GT(count, 0) << strerror(errno);
    text.remove_prefix(count);
  }
}

std::string CrispSession::Read(const UniqueFd& fd, std::string_view until) {
  std::string text;
  char bytes[16384];
  while (until.empty() || text.find(until) == std::string::npos) {
    struct pollfd wait = {fd.get(), POLLIN, 0};
    if (poll(&wait, 1, kPatienceMillis) == 0) {
      ADD_FAILURE() << "no \"" << until << "\" came within 20 s after: " << text;
      return text;
    }
    const ssize_t count = read(fd.get(), bytes, sizeof bytes);
    if (count <= 0) {
      EXPECT_TRUE(until.empty()) << "ended before \"" << until << "\" came: " << text;
      return text;
    }
    text.append(bytes, count);
  }
  return text;
}

std::string CrispSession::ReadUntil(std::string_view text) { return Read(out_, text); }
std::string CrispSession::ReadErrors(std::string_view until) { return Read(err_, until); }

int CrispSession::Wait() {
  for (int i = 0; i < kPatienceMillis / 10; ++i) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    usleep(10'000);
  }
  ADD_FAILURE() << "crisp did not end within 20 s";
  return -1;
}

void CrispSession::Signal(int number) { EXPECT_EQ(kill(pid_, number), 0); }

void CrispSession::Resize(TerminalSize size) {
  EXPECT_TRUE(SetTerminalSize(terminal_.controller.get(), size).ok());
}

bool CrispSession::terminal_restored() const {
  struct termios now = {};
  return tcgetattr(terminal_.terminal.get(), &now) == 0 && now.c_lflag == before_.c_lflag &&
         now.c_iflag == before_.c_iflag && now.c_oflag == before_.c_oflag;
}

}  // namespace crisp
