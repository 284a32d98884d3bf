// The stream of GetContainerEvents: from the hub to one client, until either has gone. Holds the
// calling thread of the server meanwhile.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include "absl/status/status.h"
#include "api/cri.pb.h"
#include "pod/event_hub.h"

namespace crisp {

// The answer's headers go out once the client is subscribed: who has seen them misses nothing.
// Never ok: Cancelled when the client has gone, else why the hub ended the subscription.
absl::Status SendEvents(EventHub& hub, grpc::ServerContext& context,
                        grpc::ServerWriter<runtime::v1::ContainerEventResponse>& writer);

}  // namespace crisp
