// Rootfs: the container's root as an attached mount of the child's own mount namespace, and the
// move into it. Used in the forked child alone, which has cut its mounts off from the host's.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "launch/launcher.h"

namespace crisp {

// Mounts made here reach nobody; what the host mounts still arrives (slave), and what it unmounts
// goes: the copy pins nothing.
absl::Status CutOffMounts();

// Mounts the overlay (or binds config.json's root.path) over the bundle folder, or root.path, which
// holds nothing that is needed any more. Returns the root.
absl::StatusOr<UniqueFd> AttachRoot(const RootfsPlan& plan, const std::string& bundle,
                                    const Json& config);

// How it is done before Linux 6.7: all layers in one text of at most a page, kept short by paths
// relative to the folder of all, which becomes the working directory.
absl::Status MountOverlayByText(const RootfsPlan& plan, const std::string& target);

// Makes root_fd "/" and drops everything else; sets linux.rootfsPropagation and root.readonly.
absl::Status EnterRoot(int root_fd, const Json& config);

}  // namespace crisp
