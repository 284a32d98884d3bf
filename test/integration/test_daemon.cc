#include "test/integration/test_daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "base/status.h"
#include "bench/process_usage.h"
#include "kernel/mount.h"
#include "test/integration/test_registry.h"

namespace crisp {
namespace {

// With CRISP_TEST_HANDLER (crun, runc, runsc) every container of the suite is run by that program.
std::string Runtimes() {
  const char* handler = std::getenv("CRISP_TEST_HANDLER");
  std::string text = handler == nullptr ? "" : Cat("default_runtime = \"", handler, "\"\n");
  for (const char* path : {"/usr/bin/crun", "/usr/sbin/runc"}) {
    text += Cat("[[runtime]]\nname = \"", BaseName(path), "\"\npath = \"", path, "\"\n");
  }
  if (PathExists(CRISP_TEST_RUNSC)) {
    text += "[[runtime]]\nname = \"runsc\"\nkind = \"runsc\"\npath = \"" CRISP_TEST_RUNSC "\"\n";
  }
  return text;
}

}  // namespace

TestDaemon::TestDaemon(const TestFolder& folder, const std::string& extra_config)
    : folder_(folder) {
  const std::string config = folder_ / "crispd.toml";
  for (const std::string& path : {cni_conf_dir(), cni_bin_dir(), netns_dir()})
    (void)MakeFolders(path);
  (void)ReplaceFile(config,
                    Cat(Runtimes(), "[network]\nnetns_dir = \"", netns_dir(), "\"\n",  //
                        "[cni]\nconf_dir = \"", cni_conf_dir(), "\"\nbin_dirs = [\"", cni_bin_dir(),
                        "\"]\n", "cache_dir = \"", cni_cache_dir(), "\"\n",  //
                        "[[registry]]\nhost = \"", TestRegistry::kHost, "\"\nmirrors = [\"http://",
                        TestRegistry::Get().address(), "\"]\n", extra_config));
  argv_ = {JoinPath(ProgramFolder(), "crispd"),
           "--config",
           config,
           "--root",
           root(),
           "--state",
           state(),
           "--listen",
           endpoint(),
           "--log-level",
           "debug"};
}

TestDaemon::~TestDaemon() {
  if (running()) Kill();
  // Bound to itself by the daemon, which leaves it to the next one; the folder could not go.
  (void)Unmount(netns_dir());
  // Of a sanitizer build: daemon and monitors write their reports there.
  const std::string log = Log();
  for (const std::string_view mark : {"Sanitizer", "runtime error:"}) {
    const size_t found = log.find(mark);
    if (found == std::string::npos) continue;
    const size_t begin = found - std::min<size_t>(found, 200);
    ADD_FAILURE() << "a report of a sanitizer in crispd's log:\n" << log.substr(begin, 8000);
    return;
  }
}

absl::Status TestDaemon::Start() {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log_path().c_str(), O_CREAT | O_WRONLY | O_APPEND,
                                   0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  std::vector<char*> argv;
  for (std::string& word : argv_) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Errno(error, Cat("run ", argv_[0]));
  client_.reset();
  absl::Status status;
  const bool decided = WaitUntil(
      [&] {
        // A gRPC channel that found nobody would take seconds to look again.
        if (client_ == nullptr && ListenerOf(folder_ / "crispd.sock").ok())
          client_ = std::make_unique<CriClient>(endpoint());
        if (client_ != nullptr) status = client_->WaitReady(absl::Seconds(10));
        if (client_ != nullptr && status.ok()) return true;
        int ended = 0;
        if (waitpid(pid_, &ended, WNOHANG) != pid_) return false;
        pid_ = -1;
        status = absl::InternalError(Cat("crispd ended with status ", ended, "\n", LogTail()));
        return true;
      },
      absl::Seconds(60));
  if (!decided) return absl::DeadlineExceededError(Cat("crispd is not ready\n", LogTail()));
  return status;
}

int TestDaemon::Stop() {
  int status = 0;
  // A server that stops waits a while for its clients to go, and an idle one of gRPC's does not.
  client_.reset();
  kill(pid_, SIGTERM);
  if (!WaitUntil([&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) {
    Kill();
    return -1;
  }
  pid_ = -1;
  return status;
}

void TestDaemon::Kill() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string TestDaemon::Log() const {
  std::ifstream file(log_path());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string TestDaemon::LogTail() const {
  const std::string all = Log();
  return all.size() > 6000 ? all.substr(all.size() - 6000) : all;
}

}  // namespace crisp
