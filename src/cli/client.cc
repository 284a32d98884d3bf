#include "cli/client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "absl/time/clock.h"
#include "api/cri.grpc.pb.h"
#include "api/operator.grpc.pb.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr int kLargestMessage = 64 << 20;  // more than any daemon's limit

absl::Status FromGrpc(const grpc::Status& status, const std::string& endpoint) {
  if (status.ok()) return absl::OkStatus();
  // gRPC's own words for "nobody listens" say neither where nor what to do.
  const std::string& words = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      (words.find("connect") != std::string::npos || words.find("socket") != std::string::npos)) {
    return absl::UnavailableError(
        Cat("no daemon answers at ", endpoint, " (", words,
            "). Is crispd running, and may you open its socket (root may)? Name another one with "
            "--endpoint or CRISP_ENDPOINT"));
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), ToAbsl(words));
}

template <typename Response, typename Stub, typename Request>
absl::StatusOr<Response> Unary(
    Stub& stub, grpc::Status (Stub::*verb)(grpc::ClientContext*, const Request&, Response*),
    const Request& request, absl::Duration limit, const std::string& endpoint) {
  grpc::ClientContext context;
  if (limit != absl::InfiniteDuration())
    context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
  Response response;
  const absl::Status status = FromGrpc((stub.*verb)(&context, request, &response), endpoint);
  if (!status.ok()) return status;
  return response;
}

}  // namespace

struct Client::Stubs {
  std::shared_ptr<grpc::Channel> channel;
  cri::RuntimeService::Stub runtime;
  cri::ImageService::Stub image;
  operate::v1::Operator::Stub operate;
};

Client::Client(std::string endpoint, absl::Duration timeout)
    : endpoint_(endpoint.starts_with("/") ? "unix://" + endpoint : std::move(endpoint)),
      timeout_(timeout) {}

Client::~Client() = default;

Client::Stubs& Client::Connect() {
  if (stubs_ == nullptr) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kLargestMessage);
    arguments.SetMaxSendMessageSize(kLargestMessage);
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    auto channel =
        grpc::CreateCustomChannel(endpoint_, grpc::InsecureChannelCredentials(), arguments);
    stubs_.reset(new Stubs{channel, cri::RuntimeService::Stub(channel),
                           cri::ImageService::Stub(channel), operate::v1::Operator::Stub(channel)});
  }
  return *stubs_;
}

#define CRISP_CALL_WITHIN(member, Stub, Verb, limit)                                             \
  absl::StatusOr<cri::Verb##Response> Client::Call(const cri::Verb##Request& request) {          \
    return Unary<cri::Verb##Response>(Connect().member, &Stub::Verb, request, limit, endpoint_); \
  }
#define CRISP_RUNTIME_CALL(Verb) \
  CRISP_CALL_WITHIN(runtime, cri::RuntimeService::Stub, Verb, timeout_)
#define CRISP_IMAGE_CALL(Verb) CRISP_CALL_WITHIN(image, cri::ImageService::Stub, Verb, timeout_)

CRISP_RUNTIME_CALL(Version)
CRISP_RUNTIME_CALL(Status)
CRISP_RUNTIME_CALL(RunPodSandbox)
CRISP_RUNTIME_CALL(StopPodSandbox)
CRISP_RUNTIME_CALL(RemovePodSandbox)
CRISP_RUNTIME_CALL(PodSandboxStatus)
CRISP_RUNTIME_CALL(ListPodSandbox)
CRISP_RUNTIME_CALL(CreateContainer)
CRISP_RUNTIME_CALL(StartContainer)
CRISP_CALL_WITHIN(runtime, cri::RuntimeService::Stub, StopContainer,
                  timeout_ + absl::Seconds(std::max<int64_t>(request.timeout(), 0)))
CRISP_RUNTIME_CALL(RemoveContainer)
CRISP_RUNTIME_CALL(ContainerStatus)
CRISP_RUNTIME_CALL(ListContainers)
CRISP_RUNTIME_CALL(ListPodSandboxStats)
CRISP_RUNTIME_CALL(UpdateContainerResources)
CRISP_CALL_WITHIN(runtime, cri::RuntimeService::Stub, ExecSync,
                  request.timeout() > 0 ? timeout_ + absl::Seconds(request.timeout())
                                        : absl::InfiniteDuration())
CRISP_RUNTIME_CALL(Exec)
CRISP_RUNTIME_CALL(Attach)
CRISP_RUNTIME_CALL(PortForward)
CRISP_IMAGE_CALL(ListImages)
CRISP_IMAGE_CALL(ImageStatus)
CRISP_IMAGE_CALL(RemoveImage)
CRISP_IMAGE_CALL(ImageFsInfo)

namespace {

absl::Status ReadProgress(grpc::ClientReader<operate::v1::PullProgress>& reader,
                          const Client::OnProgress& on_progress, const std::string& endpoint) {
  operate::v1::PullProgress message;
  while (reader.Read(&message)) on_progress(message);
  return FromGrpc(reader.Finish(), endpoint);
}

}  // namespace

absl::Status Client::Pull(const operate::v1::PullImageRequest& request,
                          const OnProgress& on_progress) {
  grpc::ClientContext context;
  return ReadProgress(*Connect().operate.PullImage(&context, request), on_progress, endpoint_);
}

absl::Status Client::Load(const operate::v1::LoadImageRequest& request,
                          const OnProgress& on_progress) {
  grpc::ClientContext context;
  return ReadProgress(*Connect().operate.LoadImage(&context, request), on_progress, endpoint_);
}

absl::Status Client::Events(const OnEvent& on_event) {
  grpc::ClientContext context;
  const auto reader = Connect().runtime.GetContainerEvents(&context, cri::GetEventsRequest());
  cri::ContainerEventResponse event;
  while (reader->Read(&event)) on_event(event);
  return FromGrpc(reader->Finish(), endpoint_);
}

}  // namespace crisp
