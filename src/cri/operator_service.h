// crisp.operate.v1.Operator (api/operator.proto): what the operator's tool needs beyond runtime.v1,
// on the same socket. Calls arrive on gRPC's threads.
#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace crisp {

class ImageStore;

// The store is borrowed and outlives the service.
std::unique_ptr<grpc::Service> MakeOperatorService(ImageStore& images);

}  // namespace crisp
