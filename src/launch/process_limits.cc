#include "launch/process_limits.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

constexpr std::pair<std::string_view, int> kLimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

absl::Status SetLimit(const Json& json) {
  const std::string type = JsonString(json, "type");
  for (const auto& [name, number] : kLimits) {
    if (name != type) continue;
    // An unlimited value is 2^64 - 1, which JsonInt gives as -1: the same bits.
    struct rlimit limit = {static_cast<rlim_t>(JsonInt(json, "soft")),
                           static_cast<rlim_t>(JsonInt(json, "hard"))};
    const auto resource = static_cast<__rlimit_resource_t>(number);
    if (::setrlimit(resource, &limit) == 0) return absl::OkStatus();
    struct rlimit now = {};
    if (errno != EPERM || ::getrlimit(resource, &now) != 0) return ErrnoStatus("rlimit ", type);
    limit.rlim_max = std::min(limit.rlim_max, now.rlim_max);
    limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max);
    if (::setrlimit(resource, &limit) == 0) return absl::OkStatus();
    return ErrnoStatus("rlimit ", type);
  }
  return absl::InvalidArgumentError(Cat("unknown rlimit \"", type, "\""));
}

absl::Status SetIoPriority(const Json& process) {
  const Json& json = ObjectOf(process, "ioPriority");
  if (json.empty()) return absl::OkStatus();
  const std::string name = JsonString(json, "class");
  const int number = name == "IOPRIO_CLASS_RT"     ? 1
                     : name == "IOPRIO_CLASS_BE"   ? 2
                     : name == "IOPRIO_CLASS_IDLE" ? 3
                                                   : 0;
  if (number == 0) return absl::InvalidArgumentError(Cat("unknown ioPriority \"", name, "\""));
  constexpr int kWhoProcess = 1, kClassShift = 13;
  const int priority = number << kClassShift | static_cast<int>(JsonInt(json, "priority") & 7);
  if (::syscall(SYS_ioprio_set, kWhoProcess, 0, priority) == 0) return absl::OkStatus();
  return ErrnoStatus("ioPriority ", name);
}

}  // namespace

absl::Status SetProcessLimits(const Json& process) {
  for (const Json& limit : ArrayOf(process, "rlimits")) RETURN_IF_ERROR(SetLimit(limit));
  return SetIoPriority(process);
}

}  // namespace crisp
