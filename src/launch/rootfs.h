// Rootfs: the container's root as an attached mount of the child's own mount namespace, and the
// move into it. Used in the forked child alone, which has cut its mounts off from the host's.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "kernel/mount.h"
#include "launch/launcher.h"

namespace crisp {

// Mounts made here reach nobody; what the host mounts still arrives (slave), and what it unmounts
// goes: the copy pins nothing.
absl::Status CutOffMounts();

// linux.mountLabel as the option of a new file system: all its files have this SELinux context.
// Ok if there is none.
absl::Status SetMountLabel(NewFilesystem& fs, const Json& config);

// Where the root is attached: over the bundle folder, which holds nothing that is needed any more;
// or at root.path, if that is the root, or if there are createContainer hooks, which read the
// bundle and look for the root there.
absl::StatusOr<std::string> RootTarget(const RootfsPlan& plan, const std::string& bundle,
                                       const Json& config);

// Mounts the plan's overlay at the folder `target`. Returns the root.
absl::StatusOr<UniqueFd> AttachOverlay(const RootfsPlan& plan, const std::string& target,
                                       const Json& config);

// Mounts the overlay (or binds config.json's root.path) at its target. Returns the root.
absl::StatusOr<UniqueFd> AttachRoot(const RootfsPlan& plan, const std::string& bundle,
                                    const Json& config);

// The same for a container in a user namespace, with the host's privileges: a detached mount, whose
// layers (not the upper folder) show their ids mapped. Covers the layers' folders in this process's
// mount namespace with their mapped selves.
absl::StatusOr<UniqueFd> TakeMappedRoot(const RootfsPlan& plan, const std::string& bundle,
                                        const Json& config, int user_namespace_fd);

// How it is done before Linux 6.7: all layers in one text of at most a page, kept short by paths
// relative to the folder of all, which becomes the working directory.
absl::Status MountOverlayByText(const RootfsPlan& plan, const std::string& target,
                                const std::string& mount_label = "");

// Makes root_fd "/" and drops everything else; sets linux.rootfsPropagation and root.readonly.
absl::Status EnterRoot(int root_fd, const Json& config);

}  // namespace crisp
