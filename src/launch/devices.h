// Devices: the device nodes of a container and the usual links in its /dev. Used in the forked
// child alone, after its mounts are attached and before it leaves the host's root.
#pragma once

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/unique_fd.h"

namespace crisp {

// Null, zero, full, random, urandom, tty and linux.devices; where nodes may not be made, the host's
// are bound. Links fd, stdin, stdout, stderr, core and ptmx.
absl::Status MakeDevices(int root_fd, const Json& config);

// The container's /dev/null, and certainly that: a character device 1:3, by descriptor. What a path
// named a moment ago proves nothing (CVE-2025-31133). O_PATH.
absl::StatusOr<UniqueFd> OpenContainerNull(int root_fd);
// The same, opened for reading and writing.
absl::StatusOr<UniqueFd> OpenContainerNullForIo(int root_fd);

}  // namespace crisp
