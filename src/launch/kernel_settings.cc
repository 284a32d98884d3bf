#include "launch/kernel_settings.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/file.h"
#include "base/status.h"
#include "kernel/rooted_path.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

absl::Status WriteProc(int proc_fd, const std::string& path, const std::string& value) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenBeneathSameMount(proc_fd, path, O_WRONLY));
  struct statfs about = {};
  if (::fstatfs(file.get(), &about) != 0 || about.f_type != PROC_SUPER_MAGIC) {
    return absl::PermissionDeniedError(Cat("/proc/", path, " is not the kernel's"));
  }
  if (::write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size())) {
    return absl::OkStatus();
  }
  return ErrnoStatus("writing \"", value, "\" to /proc/", path);
}

// "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/forwarding" as sysctl(8) reads them: the first
// separator decides what separates.
absl::StatusOr<std::string> SysctlPath(std::string_view name) {
  std::string path(name);
  const size_t first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.') {
    for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  }
  for (const std::string_view part : Split(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::InvalidArgumentError(Cat("sysctl \"", name, "\": not a name"));
    }
  }
  return path;
}

bool StartsWith(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

// The namespace that the setting belongs to, or 0 if it is the whole machine's.
int NamespaceOf(std::string_view path) {
  for (const std::string_view one :
       {"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall",
        "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"}) {
    if (path == one) return CLONE_NEWIPC;
  }
  if (StartsWith(path, "fs/mqueue/")) return CLONE_NEWIPC;
  if (StartsWith(path, "net/")) return CLONE_NEWNET;
  if (path == "kernel/domainname" || path == "kernel/hostname") return CLONE_NEWUTS;
  return 0;
}

absl::Status CheckPrivate(const std::string& path, const NamespacePlan& namespaces) {
  const int flag = NamespaceOf(path);
  if (flag == 0) {
    return absl::InvalidArgumentError("it is the whole machine's, not a container's");
  }
  if (!namespaces.Has(flag)) {
    return absl::InvalidArgumentError("the container shares the host's namespace of this setting");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> OpenHostProc() {
  ASSIGN_OR_RETURN(UniqueFd proc, OpenFile("/proc", O_PATH | O_DIRECTORY));
  struct statfs about = {};
  if (::fstatfs(proc.get(), &about) != 0 || about.f_type != PROC_SUPER_MAGIC) {
    return absl::FailedPreconditionError("the host's /proc is no procfs");
  }
  return proc;
}

absl::Status WriteSysctls(int proc_fd, const Json& config, const NamespacePlan& namespaces) {
  const Json& sysctls = ObjectOf(ObjectOf(config, "linux"), "sysctl");
  for (const auto& [name, value] : sysctls.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(Cat("sysctl ", name, ": the value is no string"));
    }
    ASSIGN_OR_RETURN(const std::string path, SysctlPath(name));
    absl::Status written = CheckPrivate(path, namespaces);
    if (written.ok()) {
      written = WriteProc(proc_fd, Cat("sys/", path), value.get_ref<const std::string&>());
    }
    if (!written.ok()) return Annotate(written, Cat("sysctl ", name));
  }
  return absl::OkStatus();
}

absl::Status WriteOomScore(int proc_fd, const Json& process) {
  const std::string wanted = Cat(JsonInt(process, "oomScoreAdj"));
  // The host's number of this process; getpid() may give another namespace's.
  char number[16] = {};
  if (::readlinkat(proc_fd, "self", number, sizeof number - 1) <= 0) {
    return ErrnoStatus("reading /proc/self");
  }
  const std::string path = Cat(number, "/oom_score_adj");
  absl::StatusOr<UniqueFd> file = OpenBeneathSameMount(proc_fd, path, O_RDWR);
  if (!file.ok()) return Annotate(file.status(), "oom_score_adj");
  if (::write(file->get(), wanted.data(), wanted.size()) >= 0) return absl::OkStatus();
  // Without CAP_SYS_RESOURCE a process cannot go below what was set last by one that has it. The
  // present value is at least that.
  if (errno == EACCES || errno == EPERM) return absl::OkStatus();
  return ErrnoStatus("oom_score_adj ", wanted);
}

}  // namespace crisp
