// runtime.v1.ImageService over ImageStore: translation alone. Calls arrive on gRPC's threads.
#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace crisp {

class ImageStore;

// The store is borrowed and outlives the service.
std::unique_ptr<grpc::Service> MakeImageService(ImageStore& images);

}  // namespace crisp
