// ImageConfig: what an image says about the containers made from it, read from its (hostile) OCI or
// Docker configuration. Plain values; any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

struct ImageConfig {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;  // "NAME=value"
  std::string user;              // "", "name", "uid", "user:group"
  std::string working_dir;
  std::string stop_signal;           // as written; see oci/signal.h
  std::vector<std::string> volumes;  // paths in the image, sorted
  std::map<std::string, std::string> labels;
  // Contents of the image's /etc/passwd and /etc/group, for the user look-up; the caller fills
  // them.
  std::string passwd;
  std::string group;
};

// Reads the whole configuration document ({"config": {...}, "rootfs": ...}). Absent members are
// empty; a member of the wrong type, a NUL byte, or more than 1 MiB of texts is InvalidArgument.
absl::StatusOr<ImageConfig> ParseImageConfig(const Json& document);

}  // namespace crisp
