// RegistryProcess: one running docker-registry of Debian's, on a loopback port, killed in the end.
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "test/integration/test_folder.h"

namespace crisp {

class RegistryProcess {
 public:
  // Serves what lies in the folder `storage`; `http` is YAML for the members of "http" besides its
  // address, such as "tls: {...}". Waits until it listens.
  explicit RegistryProcess(const std::string& storage, const std::string& http = "");
  ~RegistryProcess();
  RegistryProcess(const RegistryProcess&) = delete;

  const std::string& address() const { return address_; }  // "127.0.0.1:port"
  pid_t pid() const { return pid_; }

 private:
  TestFolder folder_;  // of its configuration and log
  std::string address_;
  pid_t pid_ = -1;
};

// A loopback port that nobody listens on at the moment.
int FreePort();

}  // namespace crisp
