// TestDaemon: a crispd of its own, from the folder of this program, with root, state and socket in
// the test's folder. Start, stop, kill and start again. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/cri_client.h"
#include "test/integration/test_folder.h"

namespace crisp {

class TestDaemon {
 public:
  // extra_config is TOML that follows what the tests need themselves.
  TestDaemon(const TestFolder& folder, const std::string& extra_config);
  TestDaemon(const TestDaemon&) = delete;
  // Kills it and its monitors. A test failure if a sanitizer had something to say of them.
  ~TestDaemon();

  // Starts it and waits until it answers.
  absl::Status Start();
  // SIGTERM and waits for the end; the status as waitpid gives it.
  int Stop();
  // SIGKILL: no last word.
  void Kill();
  bool running() const { return pid_ > 0; }

  pid_t pid() const { return pid_; }
  // From Start() until Stop(); a new one after each start.
  CriClient& cri() { return *client_; }
  std::string root() const { return folder_ / "root"; }
  std::string state() const { return folder_ / "state"; }
  std::string netns_dir() const { return folder_ / "netns"; }
  std::string cni_conf_dir() const { return folder_ / "cni/net.d"; }
  std::string cni_bin_dir() const { return folder_ / "cni/bin"; }
  std::string cni_cache_dir() const { return folder_ / "cni/cache"; }
  std::string endpoint() const { return "unix://" + (folder_ / "crispd.sock"); }
  std::string log_path() const { return folder_ / "crispd.log"; }
  // What it wrote to stderr, and the last part of it.
  std::string Log() const;
  std::string LogTail() const;

 private:
  const TestFolder& folder_;
  std::vector<std::string> argv_;
  std::unique_ptr<CriClient> client_;
  pid_t pid_ = -1;
};

}  // namespace crisp
