// CniWatch: keeps a CniNetwork's configuration as the folder says. A thread of its own watches the
// folder by inotify (it may come and go), waits until writers have been quiet for a moment, so that
// half-written files are not read, and asks the plugins for their STATUS now and then. The
// destructor stops the thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "network/cni_network.h"

namespace crisp {

class CniWatch {
 public:
  // Reads the folder before it returns.
  static absl::StatusOr<std::unique_ptr<CniWatch>> Start(const std::string& folder,
                                                         std::shared_ptr<CniNetwork> network);
  ~CniWatch();

  // True if the folder holds a configuration, valid or not.
  bool any_file() const { return any_file_; }

 private:
  CniWatch(std::string folder, std::shared_ptr<CniNetwork> network, UniqueFd inotify,
           UniqueFd stop);
  void Load();
  void Watch();
  void Run();
  bool Wait(absl::Duration limit, bool* changed);  // false: stop

  const std::string folder_;
  const std::shared_ptr<CniNetwork> network_;
  const UniqueFd inotify_;
  const UniqueFd stop_;
  std::atomic<bool> any_file_ = false;
  bool watching_ = false;
  std::string loaded_;  // what is in force, to tell a change
  std::thread thread_;
};

}  // namespace crisp
