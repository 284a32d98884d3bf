#include "base/status.h"

#include <cstring>

namespace crisp {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EINVAL:
      return absl::StatusCode::kInvalidArgument;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status Errno(int error, std::string_view what) {
  char buffer[128];
  return absl::Status(CodeOf(error), Cat(what, ": ", strerror_r(error, buffer, sizeof buffer)));
}

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  return absl::Status(status.code(), Cat(prefix, ": ", status.message()));
}

absl::Status WithCode(absl::StatusCode code, const absl::Status& status) {
  return status.ok() ? status : absl::Status(code, status.message());
}

}  // namespace crisp
