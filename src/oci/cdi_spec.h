// A CDI specification file (Container Device Interface, cncf-tags/container-device-interface): the
// devices of one vendor and class, and what a container needs to use each. Foreign input: every
// field is checked here. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

struct CdiNode {
  std::string path;       // in the container
  std::string host_path;  // as path, if the file does not say
  std::string type;       // "c", "b", "u", "p"; empty: as the host's
  int64_t major = -1, minor = -1, mode = -1, uid = -1, gid = -1;  // -1: as the host's
  std::string permissions = "rwm";
};

// What is changed in a container's configuration ("containerEdits").
struct CdiEdits {
  std::vector<std::string> env;
  std::vector<CdiNode> nodes;
  std::vector<Json> mounts;                        // as OCI writes them
  std::map<std::string, std::vector<Json>> hooks;  // by OCI's name: "createContainer"
  std::vector<uint32_t> gids;
  void Add(const CdiEdits& more);
};

struct CdiSpec {
  std::string kind;                         // "vendor.com/class"
  CdiEdits edits;                           // for a container with any of the devices
  std::map<std::string, CdiEdits> devices;  // by name
};

// text is YAML, or JSON (of which YAML is a superset), by the file's name. InvalidArgument names
// the file and the field. Unimplemented for edits that crisp does not make: hooks other than
// createContainer and startContainer, network devices.
absl::StatusOr<CdiSpec> ParseCdiSpec(std::string_view text, const std::string& name);

// "vendor.com/class=name" in its parts, kind and name; false if it is none.
bool SplitCdiName(std::string_view qualified, std::string* kind, std::string* name);

}  // namespace crisp
