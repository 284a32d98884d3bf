#include "launch/seccomp_filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "launch/json_list.h"

namespace crisp {

absl::StatusOr<SeccompFilter> SeccompFilter::Read(const std::string& path,
                                                  const Json& linux_seccomp) {
  SeccompFilter filter;
  if (path.empty()) return filter;
  constexpr size_t kMaxBytes = BPF_MAXINSNS * sizeof(struct sock_filter);
  absl::StatusOr<std::string> program = ReadFile(path, kMaxBytes);
  if (!program.ok()) return Annotate(program.status(), "seccomp filter");
  if (program->empty() || program->size() % sizeof(struct sock_filter) != 0) {
    return absl::DataLossError(Cat("seccomp filter ", path, " is damaged: ", program->size(),
                                   " bytes are no whole number of instructions"));
  }
  filter.program_ = *std::move(program);
  for (const std::string& flag : StringList(linux_seccomp, "flags")) {
    if (flag == "SECCOMP_FILTER_FLAG_LOG") {
      filter.flags_ |= SECCOMP_FILTER_FLAG_LOG;
    } else if (flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      filter.flags_ |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (flag != "SECCOMP_FILTER_FLAG_TSYNC") {  // there is one thread only
      return absl::UnimplementedError(Cat("seccomp flag ", flag, " is not supported"));
    }
  }
  return filter;
}

absl::Status SeccompFilter::Load() const {
  if (program_.empty()) return absl::OkStatus();
  struct sock_fprog program = {};
  program.len = static_cast<unsigned short>(program_.size() / sizeof(struct sock_filter));
  program.filter =
      reinterpret_cast<struct sock_filter*>(const_cast<char*>(program_.data()));  // only read
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags_, &program) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus("loading the seccomp filter");
}

}  // namespace crisp
