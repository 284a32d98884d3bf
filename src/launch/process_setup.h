// ProcessSetup: turns the forked child, which stands in its namespaces and its root, into the
// program of an OCI "process" object: limits, working directory, stdio, user, capabilities,
// seccomp, execve. The order is what makes it safe; see Run. Used in the forked child alone.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "launch/launcher.h"
#include "launch/outcome_channel.h"
#include "launch/seccomp_filter.h"

namespace crisp {

class ProcessSetup {
 public:
  ProcessSetup(const Json& process, const ProcessIo& io, std::string container_id,
               OutcomeChannel& outcome)
      : process_(process), io_(io), container_id_(std::move(container_id)), outcome_(outcome) {}

  // While /dev can still be changed: makes the terminal if one is asked for, and opens /dev/null
  // where a stream is missing. console: also mounts the terminal on /dev/console.
  absl::Status PrepareStreams(int root_fd, bool console);

  // Something to be done as the user, with the capabilities and in the root of the program, right
  // before it.
  void BeforeProgram(std::function<absl::Status()> step) { before_program_ = std::move(step); }

  // In the root ("/" is the container's). proc_fd: the host's procfs, for the labels of security
  // modules. Returns only if it failed.
  absl::Status Run(int root_fd, int proc_fd, const SeccompFilter& filter, bool make_cwd);

 private:
  absl::Status SetLimits() const;
  absl::Status PlaceStreams();
  absl::Status EnterCwd(int root_fd, bool make);
  absl::Status CheckCwd() const;
  absl::Status BecomeUser() const;
  absl::StatusOr<std::string> FindProgram(const std::string& name) const;
  absl::Status ProgramError(int error, const std::string& name) const;

  const Json& process_;
  const ProcessIo io_;
  const std::string container_id_;
  OutcomeChannel& outcome_;
  UniqueFd null_;
  UniqueFd terminal_;
  bool cwd_pending_ = false;
  std::function<absl::Status()> before_program_;
};

}  // namespace crisp
