// mountinfo: whatever its lines say, a hierarchy lies below the asked folder.
#include <cstdint>
#include <cstdlib>

#include "kernel/cgroup_tree.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& hierarchy : crisp::ParseCgroupMounts(text, "/sys/fs/cgroup")) {
    if (!hierarchy.folder.starts_with("/sys/fs/cgroup")) std::abort();
    if (!hierarchy.v2 && hierarchy.controllers.empty()) std::abort();
  }
  return 0;
}
