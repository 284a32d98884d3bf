#include "launch/exec_label.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "kernel/rooted_path.h"

namespace crisp {
namespace {

absl::Status Write(int fd, const std::string& text, std::string_view what) {
  const ssize_t written = ::write(fd, text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  if (written < 0 && errno == ENOENT) {
    return absl::FailedPreconditionError(Cat(what, ": it is not loaded on this host"));
  }
  return ErrnoStatus(what);
}

absl::Status NoModule(const absl::Status& status, std::string_view what, std::string_view module) {
  if (!absl::IsNotFound(status)) return Annotate(status, what);
  return absl::FailedPreconditionError(Cat(what, ": this kernel has no ", module));
}

absl::Status SetProfile(int attr_fd, const std::string& profile) {
  const std::string what = Cat("AppArmor profile \"", profile, "\"");
  // With several modules the old file belongs to one of them.
  absl::StatusOr<UniqueFd> file = OpenBeneathSameMount(attr_fd, "apparmor/exec", O_WRONLY);
  if (absl::IsNotFound(file.status())) file = OpenBeneathSameMount(attr_fd, "exec", O_WRONLY);
  if (!file.ok()) return NoModule(file.status(), what, "AppArmor");
  return Write(file->get(), Cat("exec ", profile), what);
}

absl::Status SetContext(int attr_fd, const std::string& label) {
  const std::string what = Cat("SELinux label \"", label, "\"");
  const absl::StatusOr<UniqueFd> file = OpenBeneathSameMount(attr_fd, "exec", O_WRONLY);
  if (!file.ok()) return NoModule(file.status(), what, "SELinux");
  return Write(file->get(), label, what);
}

}  // namespace

absl::Status WriteExecLabels(int attr_fd, const Json& process) {
  const std::string profile = JsonString(process, "apparmorProfile");
  if (!profile.empty()) RETURN_IF_ERROR(SetProfile(attr_fd, profile));
  const std::string label = JsonString(process, "selinuxLabel");
  return label.empty() ? absl::OkStatus() : SetContext(attr_fd, label);
}

absl::Status SetExecLabels(int proc_fd, const Json& process) {
  if (JsonString(process, "apparmorProfile").empty() &&
      JsonString(process, "selinuxLabel").empty()) {
    return absl::OkStatus();
  }
  char number[16] = {};
  if (::readlinkat(proc_fd, "self", number, sizeof number - 1) <= 0) {
    return ErrnoStatus("reading /proc/self");
  }
  ASSIGN_OR_RETURN(const UniqueFd attr,
                   OpenBeneathSameMount(proc_fd, Cat(number, "/attr"), O_PATH | O_DIRECTORY));
  struct statfs about = {};
  if (::fstatfs(attr.get(), &about) != 0 || about.f_type != PROC_SUPER_MAGIC) {
    return absl::PermissionDeniedError("/proc/self/attr is not the kernel's");
  }
  return WriteExecLabels(attr.get(), process);
}

}  // namespace crisp
