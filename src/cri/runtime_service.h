// runtime.v1.RuntimeService over PodRuntime: translation alone, no decisions. Verbs of a later
// release answer UNIMPLEMENTED through the generated base class. Calls arrive on gRPC's threads.
#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace crisp {

class NetworkChoice;
class PodRuntime;
class StreamUrls;

// All are borrowed and outlive the service.
std::unique_ptr<grpc::Service> MakeRuntimeService(PodRuntime& runtime,
                                                  const NetworkChoice& networks, StreamUrls& urls);

}  // namespace crisp
