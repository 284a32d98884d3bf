#include "cri/event_stream.h"

#include "base/status.h"
#include "cri/reply.h"

namespace crisp {

absl::Status SendEvents(EventHub& hub, grpc::ServerContext& context,
                        grpc::ServerWriter<runtime::v1::ContainerEventResponse>& writer) {
  const std::shared_ptr<EventSubscription> subscription = hub.Subscribe();
  const Call call = CallOf(context);
  writer.SendInitialMetadata();
  while (true) {
    ASSIGN_OR_RETURN(const ContainerEvent event, subscription->Next(call));
    // A client that does not read holds this thread here, as long as it is connected.
    subscription->Sending([&context] { context.TryCancel(); });
    const bool sent = writer.Write(*event);
    subscription->Sent();
    if (!sent) return absl::CancelledError("the client has gone");
  }
}

}  // namespace crisp
