// The files that a pod's containers share: hostname, hosts, resolv.conf, and /dev/shm (one tmpfs a
// pod). Any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "api/record.pb.h"
#include "pod/paths.h"

namespace crisp {

// The text of resolv.conf: of the pod's dns_config if it has one, else the host's. InvalidArgument
// for a word with white space or control characters in it.
absl::StatusOr<std::string> ResolvConfText(const ::runtime::v1::PodSandboxConfig& config);

// The host's hosts file with a line for the pod, if it has an address of its own.
std::string HostsText(std::string_view of_host, const record::Pod& pod);

// Writes the three files into the pod's folder, once its addresses are known. They belong to the
// pod's root.
absl::Status WritePodFiles(const Paths& paths, const record::Pod& pod);

// The pod's /dev/shm; it belongs to the pod's root.
absl::Status MountShm(const std::string& folder, uint64_t bytes, const record::Pod& pod);

// The SELinux context of what the pod's containers share; empty without SELinux.
std::string MountLabelOf(const record::Pod& pod);
// Ok if nothing is mounted there.
absl::Status UnmountShm(const std::string& folder);

// The host's name.
std::string NodeName();

}  // namespace crisp
