// Making room: version 2 lets only a cgroup without processes hand controllers to its children (the
// "no internal processes" rule), from which the host's true root alone is exempt. Where crispd runs
// in a cgroup namespace of its own (in a container, in a test), the root that it sees is no such
// one and holds crispd itself. Called once at start, before anything is made below the root.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernel/cgroup_tree.h"

namespace crisp {

// Where the root's processes go.
inline constexpr std::string_view kCgroupOfInit = "init";

// Lets the children of version 2's root have every controller; moves the root's processes, the
// caller's among them, into its child "init" if they stand in the way. Whether any was moved.
// FailedPrecondition if the controllers cannot be had even so. Nothing is done
// unless version 2 is alone.
absl::StatusOr<bool> MakeRoomInCgroupRoot(const CgroupTree& tree);

}  // namespace crisp
