#include "cri/reply.h"

#include "base/log.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kLongestMessage = 4096;

}  // namespace

Call CallOf(const grpc::ServerContext& context) {
  Call call;
  const auto deadline = context.deadline();
  if (deadline != std::chrono::system_clock::time_point::max())
    call.deadline = absl::FromChrono(deadline);
  call.cancelled = [&context] { return context.IsCancelled(); };
  return call;
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string message(FromAbsl(status.message()));
  if (message.size() > kLongestMessage) {
    message.resize(kLongestMessage);
    message += " [cut]";
  }
  // Both enumerations are the canonical codes, number by number.
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()), message);
}

}  // namespace crisp
