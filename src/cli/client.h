// Client: the daemon's services as plain functions, so that no command sees gRPC. Connects when the
// first call is made. An error's words name the endpoint when nobody answers there. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/cri.pb.h"
#include "api/operator.pb.h"

namespace crisp {

namespace cri = ::runtime::v1;

class Client {
 public:
  // endpoint: "unix:///PATH" or "/PATH". timeout: for calls that are expected to be quick.
  Client(std::string endpoint, absl::Duration timeout);
  ~Client();

  absl::StatusOr<cri::VersionResponse> Call(const cri::VersionRequest& request);
  absl::StatusOr<cri::StatusResponse> Call(const cri::StatusRequest& request);
  absl::StatusOr<cri::RunPodSandboxResponse> Call(const cri::RunPodSandboxRequest& request);
  absl::StatusOr<cri::StopPodSandboxResponse> Call(const cri::StopPodSandboxRequest& request);
  absl::StatusOr<cri::RemovePodSandboxResponse> Call(const cri::RemovePodSandboxRequest& request);
  absl::StatusOr<cri::PodSandboxStatusResponse> Call(const cri::PodSandboxStatusRequest& request);
  absl::StatusOr<cri::ListPodSandboxResponse> Call(const cri::ListPodSandboxRequest& request);
  absl::StatusOr<cri::CreateContainerResponse> Call(const cri::CreateContainerRequest& request);
  absl::StatusOr<cri::StartContainerResponse> Call(const cri::StartContainerRequest& request);
  // Waits for the request's own timeout besides.
  absl::StatusOr<cri::StopContainerResponse> Call(const cri::StopContainerRequest& request);
  absl::StatusOr<cri::RemoveContainerResponse> Call(const cri::RemoveContainerRequest& request);
  absl::StatusOr<cri::ContainerStatusResponse> Call(const cri::ContainerStatusRequest& request);
  absl::StatusOr<cri::ListContainersResponse> Call(const cri::ListContainersRequest& request);
  absl::StatusOr<cri::ListPodSandboxStatsResponse> Call(
      const cri::ListPodSandboxStatsRequest& request);
  absl::StatusOr<cri::UpdateContainerResourcesResponse> Call(
      const cri::UpdateContainerResourcesRequest& request);
  // Without a limit of its own if the request has none.
  absl::StatusOr<cri::ExecSyncResponse> Call(const cri::ExecSyncRequest& request);
  absl::StatusOr<cri::ExecResponse> Call(const cri::ExecRequest& request);
  absl::StatusOr<cri::AttachResponse> Call(const cri::AttachRequest& request);
  absl::StatusOr<cri::PortForwardResponse> Call(const cri::PortForwardRequest& request);
  absl::StatusOr<cri::ListImagesResponse> Call(const cri::ListImagesRequest& request);
  absl::StatusOr<cri::ImageStatusResponse> Call(const cri::ImageStatusRequest& request);
  absl::StatusOr<cri::RemoveImageResponse> Call(const cri::RemoveImageRequest& request);
  absl::StatusOr<cri::ImageFsInfoResponse> Call(const cri::ImageFsInfoRequest& request);

  // Each message as it comes; no time limit, for transfers take what they take.
  using OnProgress = std::function<void(const operate::v1::PullProgress&)>;
  absl::Status Pull(const operate::v1::PullImageRequest& request, const OnProgress& on_progress);
  absl::Status Load(const operate::v1::LoadImageRequest& request, const OnProgress& on_progress);

  // Each event as it comes, until the daemon ends the stream; no time limit.
  using OnEvent = std::function<void(const cri::ContainerEventResponse&)>;
  absl::Status Events(const OnEvent& on_event);

  const std::string& endpoint() const { return endpoint_; }

 private:
  struct Stubs;
  Stubs& Connect();

  const std::string endpoint_;
  const absl::Duration timeout_;
  std::unique_ptr<Stubs> stubs_;
};

}  // namespace crisp
