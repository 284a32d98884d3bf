// Error plumbing: absl::Status carries the gRPC code that the client shall see and a sentence that
// says what failed, on which object and why. The macros pass an error up; Errno() turns errno into
// a Status. Any thread.
#pragma once

#include <cerrno>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/text.h"

namespace crisp {

// The Status for a failed system call: "<what>: <strerror>". ENOENT becomes NotFound, EEXIST
// AlreadyExists, EACCES and EPERM PermissionDenied, ENOSPC, EDQUOT, EMFILE, ENFILE and ENOMEM
// ResourceExhausted, EINVAL InvalidArgument, ETIMEDOUT DeadlineExceeded, anything else Internal.
absl::Status Errno(int error, std::string_view what);

// Errno(errno, "part part ...") where the parts are joined as StrCat does; keeps errno while it
// joins.
template <typename... Parts>
absl::Status ErrnoStatus(const Parts&... parts) {
  const int error = errno;
  return Errno(error, Cat(parts...));
}

// The same error with "<prefix>: " before its words.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

// The same words under another code.
absl::Status WithCode(absl::StatusCode code, const absl::Status& status);

#define CRISP_CONCAT_INNER(a, b) a##b
#define CRISP_CONCAT(a, b) CRISP_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                           \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)

#define ASSIGN_OR_RETURN(target, expression) \
  CRISP_ASSIGN_OR_RETURN(CRISP_CONCAT(status_or_, __LINE__), target, expression)
#define CRISP_ASSIGN_OR_RETURN(result, target, expression) \
  auto result = (expression);                              \
  if (!result.ok()) return std::move(result).status();     \
  target = *std::move(result)

}  // namespace crisp
