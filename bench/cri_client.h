// CriClient: any CRI endpoint in short verbs, for the benchmark and the integration tests. One call
// is one unary RPC with a deadline of its own; errors are the server's, code and words. Any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/cri.grpc.pb.h"
#include "api/cri.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace crisp {

absl::Status FromGrpc(const grpc::Status& status);

class CriClient {
 public:
  template <typename Stub, typename Request, typename Response>
  using Verb = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);
  using RuntimeStub = runtime::v1::RuntimeService::Stub;
  using ImageStub = runtime::v1::ImageService::Stub;

  // The address as gRPC takes it, such as unix:///run/crisp/crispd.sock. Connects when first used.
  explicit CriClient(std::string address);

  const std::string& address() const { return address_; }
  RuntimeStub& runtime() { return *runtime_; }
  ImageStub& images() { return *images_; }

  // Until Version answers; DeadlineExceeded with the last error otherwise.
  absl::Status WaitReady(absl::Duration limit);

  // How long a verb may take from now on; the default is two minutes.
  void set_limit(absl::Duration limit) { limit_ = limit; }

  absl::StatusOr<std::string> RunPod(const runtime::v1::PodSandboxConfig& config,
                                     const std::string& handler = "");
  absl::Status StopPod(const std::string& pod);
  absl::Status RemovePod(const std::string& pod);
  absl::StatusOr<runtime::v1::PodSandboxStatus> PodStatus(const std::string& pod);
  absl::StatusOr<std::vector<runtime::v1::PodSandbox>> ListPods(
      const runtime::v1::PodSandboxFilter& filter = {});

  absl::StatusOr<std::string> CreateContainer(const std::string& pod,
                                              const runtime::v1::ContainerConfig& config,
                                              const runtime::v1::PodSandboxConfig& pod_config);
  absl::Status StartContainer(const std::string& container);
  absl::Status StopContainer(const std::string& container, int64_t grace_seconds);
  absl::Status RemoveContainer(const std::string& container);
  absl::StatusOr<runtime::v1::ContainerStatus> ContainerStatus(const std::string& container);
  absl::StatusOr<std::vector<runtime::v1::Container>> ListContainers(
      const runtime::v1::ContainerFilter& filter = {});
  absl::StatusOr<runtime::v1::ExecSyncResponse> ExecSync(const std::string& container,
                                                         const std::vector<std::string>& command,
                                                         int64_t timeout_seconds = 0);
  absl::Status ReopenLog(const std::string& container);

  // The image's id.
  absl::StatusOr<std::string> Pull(const std::string& reference);
  absl::Status RemoveImage(const std::string& reference);
  // nullopt: not on the node.
  absl::StatusOr<std::optional<runtime::v1::Image>> ImageStatus(const std::string& reference);
  absl::StatusOr<std::vector<runtime::v1::Image>> ListImages();

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Verb<RuntimeStub, Request, Response> verb, const Request& request) {
    return CallOn(*runtime_, verb, request);
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Verb<ImageStub, Request, Response> verb, const Request& request) {
    return CallOn(*images_, verb, request);
  }

 private:
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> CallOn(Stub& stub, Verb<Stub, Request, Response> verb,
                                  const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + limit_));
    Response response;
    const grpc::Status status = (stub.*verb)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  const std::string address_;
  absl::Duration limit_ = absl::Minutes(2);
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<RuntimeStub> runtime_;
  std::unique_ptr<ImageStub> images_;
};

}  // namespace crisp
