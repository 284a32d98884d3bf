// Settings that go through procfs: sysctls and oom_score_adj. They are written before the root is
// entered, below the host's /proc, whose type is checked and in which no mount or link is crossed,
// so that no file of a container can take their place (CVE-2025-52881). Used in the forked child
// alone.
#pragma once

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "launch/namespace_plan.h"

namespace crisp {

// The host's procfs, certainly that.
absl::StatusOr<UniqueFd> OpenHostProc();

// linux.sysctl, into the namespaces that this process is in by now. InvalidArgument for a setting
// that is the whole machine's or of a namespace that the container shares with the host.
absl::Status WriteSysctls(int proc_fd, const Json& config, const NamespacePlan& namespaces);

// Without process.oomScoreAdj it is 0, for the caller protects itself by a low one. A value below
// what this process may set is raised to the lowest that it may.
absl::Status WriteOomScore(int proc_fd, const Json& process);

}  // namespace crisp
