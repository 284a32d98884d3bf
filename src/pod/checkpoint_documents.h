// What a checkpoint's documents say of a container and its pod. Any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "api/record.pb.h"
#include "base/json.h"
#include "checkpoint/documents.h"

namespace crisp {

ConfigDump ConfigDumpOf(const record::Container& container, int64_t checkpointed_at);
// The container's state in words of our own.
Json StatusDumpJson(const record::Container& container);
// The same as containerd writes it.
Json ContainerdStatusJson(const record::Container& container);
// The pod's addresses, in Podman's form.
Json NetworkStatusJson(const record::Pod& pod);

// The container's log, under its own name, into the folder; ok if it has none.
absl::Status CopyLog(const record::Container& container, const std::string& folder);

}  // namespace crisp
