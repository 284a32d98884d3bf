#include "cri/runtime_service.h"

#include "api/cri.grpc.pb.h"
#include "cri/event_stream.h"
#include "cri/reply.h"
#include "cri/runtime_status.h"
#include "network/network_choice.h"
#include "pod/runtime.h"
#include "stream/stream_url.h"

namespace crisp {
namespace {

using grpc::ServerContext;

class RuntimeService final : public v1::RuntimeService::Service {
 public:
  RuntimeService(PodRuntime& runtime, const NetworkChoice& networks, StreamUrls& urls)
      : runtime_(runtime), networks_(networks), urls_(urls) {}

  grpc::Status Version(ServerContext*, const v1::VersionRequest*,
                       v1::VersionResponse* response) override {
    *response = VersionAnswer();
    return grpc::Status::OK;
  }

  grpc::Status Status(ServerContext*, const v1::StatusRequest* request,
                      v1::StatusResponse* response) override {
    RuntimeHealth health{.runtime = runtime_.Ready(),
                         .network = networks_.Ready(),
                         .handlers = HandlersOf(runtime_.Handlers()),
                         .user_namespaces = runtime_.Handlers().features().user_namespaces};
    if (request->verbose()) {
      health.facts = runtime_.Facts();
      health.facts["streamingCertificate"] = urls_.certificate_sha256();
    }
    *response = StatusAnswer(health, request->verbose());
    return grpc::Status::OK;
  }

  grpc::Status RuntimeConfig(ServerContext*, const v1::RuntimeConfigRequest*,
                             v1::RuntimeConfigResponse* response) override {
    response->mutable_linux()->set_cgroup_driver(runtime_.SystemdCgroups() ? v1::SYSTEMD
                                                                           : v1::CGROUPFS);
    return grpc::Status::OK;
  }

  grpc::Status RunPodSandbox(ServerContext* context, const v1::RunPodSandboxRequest* request,
                             v1::RunPodSandboxResponse* response) override {
    return Reply(runtime_.RunPodSandbox(*request, CallOf(*context)), response);
  }
  grpc::Status StopPodSandbox(ServerContext* context, const v1::StopPodSandboxRequest* request,
                              v1::StopPodSandboxResponse* response) override {
    return Reply(runtime_.StopPodSandbox(*request, CallOf(*context)), response);
  }
  grpc::Status RemovePodSandbox(ServerContext* context, const v1::RemovePodSandboxRequest* request,
                                v1::RemovePodSandboxResponse* response) override {
    return Reply(runtime_.RemovePodSandbox(*request, CallOf(*context)), response);
  }
  grpc::Status PodSandboxStatus(ServerContext* context, const v1::PodSandboxStatusRequest* request,
                                v1::PodSandboxStatusResponse* response) override {
    return Reply(runtime_.PodSandboxStatus(*request, CallOf(*context)), response);
  }
  grpc::Status ListPodSandbox(ServerContext* context, const v1::ListPodSandboxRequest* request,
                              v1::ListPodSandboxResponse* response) override {
    return Reply(runtime_.ListPodSandbox(*request, CallOf(*context)), response);
  }
  grpc::Status StreamPodSandboxes(
      ServerContext* context, const v1::StreamPodSandboxesRequest* request,
      grpc::ServerWriter<v1::StreamPodSandboxesResponse>* writer) override {
    const auto send = [&](const v1::StreamPodSandboxesResponse& part) {
      return writer->Write(part);
    };
    return ToGrpc(runtime_.StreamPodSandboxes(*request, send, CallOf(*context)));
  }

  grpc::Status CreateContainer(ServerContext* context, const v1::CreateContainerRequest* request,
                               v1::CreateContainerResponse* response) override {
    return Reply(runtime_.CreateContainer(*request, CallOf(*context)), response);
  }
  grpc::Status StartContainer(ServerContext* context, const v1::StartContainerRequest* request,
                              v1::StartContainerResponse* response) override {
    return Reply(runtime_.StartContainer(*request, CallOf(*context)), response);
  }
  grpc::Status StopContainer(ServerContext* context, const v1::StopContainerRequest* request,
                             v1::StopContainerResponse* response) override {
    return Reply(runtime_.StopContainer(*request, CallOf(*context)), response);
  }
  grpc::Status RemoveContainer(ServerContext* context, const v1::RemoveContainerRequest* request,
                               v1::RemoveContainerResponse* response) override {
    return Reply(runtime_.RemoveContainer(*request, CallOf(*context)), response);
  }
  grpc::Status ContainerStatus(ServerContext* context, const v1::ContainerStatusRequest* request,
                               v1::ContainerStatusResponse* response) override {
    return Reply(runtime_.ContainerStatus(*request, CallOf(*context)), response);
  }
  grpc::Status ListContainers(ServerContext* context, const v1::ListContainersRequest* request,
                              v1::ListContainersResponse* response) override {
    return Reply(runtime_.ListContainers(*request, CallOf(*context)), response);
  }
  grpc::Status StreamContainers(ServerContext* context, const v1::StreamContainersRequest* request,
                                grpc::ServerWriter<v1::StreamContainersResponse>* writer) override {
    const auto send = [&](const v1::StreamContainersResponse& part) { return writer->Write(part); };
    return ToGrpc(runtime_.StreamContainers(*request, send, CallOf(*context)));
  }

  grpc::Status CheckpointContainer(ServerContext* context,
                                   const v1::CheckpointContainerRequest* request,
                                   v1::CheckpointContainerResponse* response) override {
    return Reply(runtime_.CheckpointContainer(*request, CallOf(*context)), response);
  }
  grpc::Status CheckpointPod(ServerContext* context, const v1::CheckpointPodRequest* request,
                             v1::CheckpointPodResponse* response) override {
    return Reply(runtime_.CheckpointPod(*request, CallOf(*context)), response);
  }
  grpc::Status RestorePod(ServerContext* context, const v1::RestorePodRequest* request,
                          v1::RestorePodResponse* response) override {
    return Reply(runtime_.RestorePod(*request, CallOf(*context)), response);
  }

  grpc::Status UpdateContainerResources(ServerContext* context,
                                        const v1::UpdateContainerResourcesRequest* request,
                                        v1::UpdateContainerResourcesResponse* response) override {
    return Reply(runtime_.UpdateContainerResources(*request, CallOf(*context)), response);
  }
  grpc::Status UpdatePodSandboxResources(ServerContext* context,
                                         const v1::UpdatePodSandboxResourcesRequest* request,
                                         v1::UpdatePodSandboxResourcesResponse* response) override {
    return Reply(runtime_.UpdatePodSandboxResources(*request, CallOf(*context)), response);
  }
  grpc::Status UpdateRuntimeConfig(ServerContext* context,
                                   const v1::UpdateRuntimeConfigRequest* request,
                                   v1::UpdateRuntimeConfigResponse* response) override {
    return Reply(runtime_.UpdateRuntimeConfig(*request, CallOf(*context)), response);
  }

  grpc::Status ExecSync(ServerContext* context, const v1::ExecSyncRequest* request,
                        v1::ExecSyncResponse* response) override {
    return Reply(runtime_.ExecSync(*request, CallOf(*context)), response);
  }
  grpc::Status Exec(ServerContext* context, const v1::ExecRequest* request,
                    v1::ExecResponse* response) override {
    return Reply(runtime_.Exec(*request, urls_, CallOf(*context)), response);
  }
  grpc::Status Attach(ServerContext* context, const v1::AttachRequest* request,
                      v1::AttachResponse* response) override {
    return Reply(runtime_.Attach(*request, urls_, CallOf(*context)), response);
  }
  grpc::Status PortForward(ServerContext* context, const v1::PortForwardRequest* request,
                           v1::PortForwardResponse* response) override {
    return Reply(runtime_.PortForward(*request, urls_, CallOf(*context)), response);
  }
  grpc::Status ReopenContainerLog(ServerContext* context,
                                  const v1::ReopenContainerLogRequest* request,
                                  v1::ReopenContainerLogResponse* response) override {
    return Reply(runtime_.ReopenContainerLog(*request, CallOf(*context)), response);
  }

  grpc::Status ContainerStats(ServerContext* context, const v1::ContainerStatsRequest* request,
                              v1::ContainerStatsResponse* response) override {
    return Reply(runtime_.ContainerStats(*request, CallOf(*context)), response);
  }
  grpc::Status ListContainerStats(ServerContext* context,
                                  const v1::ListContainerStatsRequest* request,
                                  v1::ListContainerStatsResponse* response) override {
    return Reply(runtime_.ListContainerStats(*request, CallOf(*context)), response);
  }
  grpc::Status StreamContainerStats(
      ServerContext* context, const v1::StreamContainerStatsRequest* request,
      grpc::ServerWriter<v1::StreamContainerStatsResponse>* writer) override {
    const auto send = [&](const v1::StreamContainerStatsResponse& part) {
      return writer->Write(part);
    };
    return ToGrpc(runtime_.StreamContainerStats(*request, send, CallOf(*context)));
  }
  grpc::Status PodSandboxStats(ServerContext* context, const v1::PodSandboxStatsRequest* request,
                               v1::PodSandboxStatsResponse* response) override {
    return Reply(runtime_.PodSandboxStats(*request, CallOf(*context)), response);
  }
  grpc::Status ListPodSandboxStats(ServerContext* context,
                                   const v1::ListPodSandboxStatsRequest* request,
                                   v1::ListPodSandboxStatsResponse* response) override {
    return Reply(runtime_.ListPodSandboxStats(*request, CallOf(*context)), response);
  }
  grpc::Status StreamPodSandboxStats(
      ServerContext* context, const v1::StreamPodSandboxStatsRequest* request,
      grpc::ServerWriter<v1::StreamPodSandboxStatsResponse>* writer) override {
    const auto send = [&](const v1::StreamPodSandboxStatsResponse& part) {
      return writer->Write(part);
    };
    return ToGrpc(runtime_.StreamPodSandboxStats(*request, send, CallOf(*context)));
  }
  grpc::Status ListMetricDescriptors(ServerContext* context,
                                     const v1::ListMetricDescriptorsRequest* request,
                                     v1::ListMetricDescriptorsResponse* response) override {
    return Reply(runtime_.ListMetricDescriptors(*request, CallOf(*context)), response);
  }
  grpc::Status ListPodSandboxMetrics(ServerContext* context,
                                     const v1::ListPodSandboxMetricsRequest* request,
                                     v1::ListPodSandboxMetricsResponse* response) override {
    return Reply(runtime_.ListPodSandboxMetrics(*request, CallOf(*context)), response);
  }
  grpc::Status StreamPodSandboxMetrics(
      ServerContext* context, const v1::StreamPodSandboxMetricsRequest* request,
      grpc::ServerWriter<v1::StreamPodSandboxMetricsResponse>* writer) override {
    const auto send = [&](const v1::StreamPodSandboxMetricsResponse& part) {
      return writer->Write(part);
    };
    return ToGrpc(runtime_.StreamPodSandboxMetrics(*request, send, CallOf(*context)));
  }

  grpc::Status GetContainerEvents(ServerContext* context, const v1::GetEventsRequest*,
                                  grpc::ServerWriter<v1::ContainerEventResponse>* writer) override {
    return ToGrpc(SendEvents(runtime_.events(), *context, *writer));
  }

 private:
  PodRuntime& runtime_;
  const NetworkChoice& networks_;
  StreamUrls& urls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeRuntimeService(PodRuntime& runtime,
                                                  const NetworkChoice& networks, StreamUrls& urls) {
  return std::make_unique<RuntimeService>(runtime, networks, urls);
}

}  // namespace crisp
