// Between gRPC and the rest of crispd: a ServerContext becomes a Call, an absl::Status a
// grpc::Status. Included by the services alone, which are the only code that sees grpcpp besides
// daemon/server.cc and the operator's tool. Any thread.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <utility>

#include "absl/status/statusor.h"
#include "base/call.h"

namespace crisp {

// The caller's deadline and whether it has gone. Valid as long as the context is.
Call CallOf(const grpc::ServerContext& context);

// The same code and words. Words longer than 4 KiB are cut, for they travel in an HTTP/2 header
// that clients bound.
grpc::Status ToGrpc(const absl::Status& status);

// Hands a result on: into *response if there is one.
template <typename Response>
grpc::Status Reply(absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return ToGrpc(result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

}  // namespace crisp
