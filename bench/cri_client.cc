#include "bench/cri_client.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/text.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace crisp {

namespace v1 = runtime::v1;

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

CriClient::CriClient(std::string address) : address_(std::move(address)) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  // Clients in one process do not share a connection, and one that found nobody tries again soon.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  runtime_ = v1::RuntimeService::NewStub(channel_);
  images_ = v1::ImageService::NewStub(channel_);
}

absl::Status CriClient::WaitReady(absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (true) {
    grpc::ClientContext context;
    // A call that fails at once leaves nobody to drive the connection's handshake.
    context.set_wait_for_ready(true);
    context.set_deadline(absl::ToChronoTime(std::min(end, absl::Now() + absl::Seconds(2))));
    v1::VersionResponse answer;
    const grpc::Status status = runtime_->Version(&context, v1::VersionRequest(), &answer);
    if (status.ok()) return absl::OkStatus();
    if (absl::Now() >= end) {
      return absl::DeadlineExceededError(
          Cat(address_, " did not answer: ", status.error_message()));
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
}

absl::StatusOr<std::string> CriClient::RunPod(const v1::PodSandboxConfig& config,
                                              const std::string& handler) {
  v1::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  request.set_runtime_handler(handler);
  ASSIGN_OR_RETURN(auto response, Call(&RuntimeStub::RunPodSandbox, request));
  return response.pod_sandbox_id();
}

absl::Status CriClient::StopPod(const std::string& pod) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  return Call(&RuntimeStub::StopPodSandbox, request).status();
}

absl::Status CriClient::RemovePod(const std::string& pod) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  return Call(&RuntimeStub::RemovePodSandbox, request).status();
}

absl::StatusOr<v1::PodSandboxStatus> CriClient::PodStatus(const std::string& pod) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  ASSIGN_OR_RETURN(auto response, Call(&RuntimeStub::PodSandboxStatus, request));
  return std::move(*response.mutable_status());
}

absl::StatusOr<std::vector<v1::PodSandbox>> CriClient::ListPods(
    const v1::PodSandboxFilter& filter) {
  v1::ListPodSandboxRequest request;
  *request.mutable_filter() = filter;
  ASSIGN_OR_RETURN(auto response, Call(&RuntimeStub::ListPodSandbox, request));
  return std::vector<v1::PodSandbox>(response.items().begin(), response.items().end());
}

absl::StatusOr<std::string> CriClient::CreateContainer(const std::string& pod,
                                                       const v1::ContainerConfig& config,
                                                       const v1::PodSandboxConfig& pod_config) {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  ASSIGN_OR_RETURN(auto response, Call(&RuntimeStub::CreateContainer, request));
  return response.container_id();
}

absl::Status CriClient::StartContainer(const std::string& container) {
  v1::StartContainerRequest request;
  request.set_container_id(container);
  return Call(&RuntimeStub::StartContainer, request).status();
}

absl::Status CriClient::StopContainer(const std::string& container, int64_t grace_seconds) {
  v1::StopContainerRequest request;
  request.set_container_id(container);
  request.set_timeout(grace_seconds);
  return Call(&RuntimeStub::StopContainer, request).status();
}

absl::Status CriClient::RemoveContainer(const std::string& container) {
  v1::RemoveContainerRequest request;
  request.set_container_id(container);
  return Call(&RuntimeStub::RemoveContainer, request).status();
}

absl::StatusOr<v1::ContainerStatus> CriClient::ContainerStatus(const std::string& container) {
  v1::ContainerStatusRequest request;
  request.set_container_id(container);
  ASSIGN_OR_RETURN(auto response, Call(&RuntimeStub::ContainerStatus, request));
  return std::move(*response.mutable_status());
}

absl::StatusOr<std::vector<v1::Container>> CriClient::ListContainers(
    const v1::ContainerFilter& filter) {
  v1::ListContainersRequest request;
  *request.mutable_filter() = filter;
  ASSIGN_OR_RETURN(auto response, Call(&RuntimeStub::ListContainers, request));
  return std::vector<v1::Container>(response.containers().begin(), response.containers().end());
}

absl::StatusOr<v1::ExecSyncResponse> CriClient::ExecSync(const std::string& container,
                                                         const std::vector<std::string>& command,
                                                         int64_t timeout_seconds) {
  v1::ExecSyncRequest request;
  request.set_container_id(container);
  request.mutable_cmd()->Add(command.begin(), command.end());
  request.set_timeout(timeout_seconds);
  return Call(&RuntimeStub::ExecSync, request);
}

absl::Status CriClient::ReopenLog(const std::string& container) {
  v1::ReopenContainerLogRequest request;
  request.set_container_id(container);
  return Call(&RuntimeStub::ReopenContainerLog, request).status();
}

absl::StatusOr<std::string> CriClient::Pull(const std::string& reference) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  ASSIGN_OR_RETURN(auto response, Call(&ImageStub::PullImage, request));
  return response.image_ref();
}

absl::Status CriClient::RemoveImage(const std::string& reference) {
  v1::RemoveImageRequest request;
  request.mutable_image()->set_image(reference);
  return Call(&ImageStub::RemoveImage, request).status();
}

absl::StatusOr<std::optional<v1::Image>> CriClient::ImageStatus(const std::string& reference) {
  v1::ImageStatusRequest request;
  request.mutable_image()->set_image(reference);
  ASSIGN_OR_RETURN(auto response, Call(&ImageStub::ImageStatus, request));
  if (!response.has_image()) return std::optional<v1::Image>();
  return std::optional<v1::Image>(std::move(*response.mutable_image()));
}

absl::StatusOr<std::vector<v1::Image>> CriClient::ListImages() {
  ASSIGN_OR_RETURN(auto response, Call(&ImageStub::ListImages, v1::ListImagesRequest()));
  return std::vector<v1::Image>(response.images().begin(), response.images().end());
}

}  // namespace crisp
