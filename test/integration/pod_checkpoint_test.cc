// Checkpoints of a whole pod: its containers stand still together, and come back together.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/checkpoint_fixture.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class PodCheckpoint : public CheckpointTest {
 protected:
  std::string Output(const std::string& name) {
    const std::string path = folder() / ("volumes/" + name);
    EXPECT_THAT(MakeFolders(path), IsOk());
    return path;
  }
  static std::vector<std::string> In(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  v1::RestorePodRequest RestoreRequest(const std::string& path, const std::string& name,
                                       const std::vector<v1::ContainerConfig>& containers) const {
    v1::RestorePodRequest request;
    request.set_checkpoint_path(path);
    *request.mutable_config() = PodConfig(name);
    for (const v1::ContainerConfig& one : containers) *request.add_container_configs() = one;
    return request;
  }
};

TEST_F(PodCheckpoint, AWholePodComesBack) {
  const Pod pod = RunPod("one");
  const std::vector<v1::ContainerConfig> configs = {Counter("first"), Counter("second")};
  const std::string first = Start(pod, configs[0]), second = Start(pod, configs[1]);
  AwaitCount(pod, "first", 3);
  AwaitCount(pod, "second", 3);
  const std::string path = Output("pod");
  ASSERT_THAT(CapturePod(pod, {second, first}, path), IsOk());
  EXPECT_THAT(In(path), UnorderedElementsAre("first.tar", "second.tar", "pod.options", "pod.dump"));
  for (const char* name : {"first", "second"}) AwaitCount(pod, name, Count(pod, name) + 2);

  const v1::RestorePodRequest request = RestoreRequest(path, "two", configs);
  const auto restored = Must(cri().Call(&CriClient::RuntimeStub::RestorePod, request));
  ASSERT_EQ(restored.restored_containers_size(), 2);
  Pod other;
  other.id = restored.pod_sandbox_id();
  other.config = request.config();
  for (const v1::RestoredContainer& one : restored.restored_containers()) {
    EXPECT_EQ(Must(cri().ContainerStatus(one.container_id())).state(), v1::CONTAINER_CREATED);
    ASSERT_THAT(cri().StartContainer(one.container_id()), IsOk());
    AwaitCount(other, one.name(), 4);
    EXPECT_GE(FirstCount(other, one.name()), 4);
    EXPECT_EQ(Exec(one.container_id(), "cat /data"), "kept");
  }
  // Once more under this name it would be the same pod.
  EXPECT_THAT(cri().Call(&CriClient::RuntimeStub::RestorePod, request),
              Fails(StatusCode::kAlreadyExists, other.id));
}

// Where processes see each other, their numbers must be free in the new pod, and are.
TEST_F(PodCheckpoint, WithOneProcessNamespace) {
  v1::PodSandboxConfig config = PodConfig("shared");
  const auto share = [](v1::NamespaceOption& options) { options.set_pid(v1::POD); };
  share(*config.mutable_linux()->mutable_security_context()->mutable_namespace_options());
  // Counters that start no other process: it would take a number that the next one wants back.
  std::vector<v1::ContainerConfig> configs;
  for (const char* name : {"first", "second"}) {
    configs.push_back(ContainerConfig(
        name, Shell("mkfifo /wait; i=0; while :; do i=$((i+1)); echo $i; read -t 1 x <>/wait; "
                    "done")));
  }
  for (v1::ContainerConfig& one : configs) {
    share(*one.mutable_linux()->mutable_security_context()->mutable_namespace_options());
  }
  const Pod pod = RunPod(config);
  const std::string first = Start(pod, configs[0]), second = Start(pod, configs[1]);
  AwaitCount(pod, "first", 1);
  AwaitCount(pod, "second", 1);
  const std::string path = Output("pod");
  ASSERT_THAT(CapturePod(pod, {first, second}, path), IsOk());
  v1::RestorePodRequest request = RestoreRequest(path, "two", configs);
  share(*request.mutable_config()
             ->mutable_linux()
             ->mutable_security_context()
             ->mutable_namespace_options());
  const auto restored = Must(cri().Call(&CriClient::RuntimeStub::RestorePod, request));
  Pod other;
  other.id = restored.pod_sandbox_id();
  other.config = request.config();
  for (const v1::RestoredContainer& one : restored.restored_containers()) {
    ASSERT_THAT(cri().StartContainer(one.container_id()), IsOk());
    AwaitCount(other, one.name(), 2);
    EXPECT_GT(FirstCount(other, one.name()), 1);
  }
}

TEST_F(PodCheckpoint, AllStandStillTogetherAndGoOnWhateverFails) {
  const Pod pod = RunPod("one");
  const std::string first = Start(pod, Counter("first")), second = Start(pod, Counter("second"));
  AwaitCount(pod, "first", 1);
  AwaitCount(pod, "second", 1);
  const std::string path = Output("pod");
  SetDumps("hang");
  std::thread caller([&] {
    CriClient client(daemon().endpoint());
    client.set_limit(absl::Seconds(3));
    v1::CheckpointPodRequest request;
    request.set_pod_sandbox_id(pod.id);
    request.set_output_path(path);
    request.add_container_ids(first);
    request.add_container_ids(second);
    EXPECT_THAT(client.Call(&CriClient::RuntimeStub::CheckpointPod, request),
                Fails(StatusCode::kDeadlineExceeded, ""));
  });
  AwaitHang();
  const int counts[] = {Count(pod, "first"), Count(pod, "second")};
  usleep(500000);
  EXPECT_LE(Count(pod, "first"), counts[0] + 1);
  EXPECT_LE(Count(pod, "second"), counts[1] + 1);
  caller.join();
  AwaitCount(pod, "first", counts[0] + 3);
  AwaitCount(pod, "second", counts[1] + 3);
  SetDumps("fail");
  EXPECT_THAT(CapturePod(pod, {first, second}, path), Fails(StatusCode::kInternal, "CRIU"));
  AwaitCount(pod, "second", Count(pod, "second") + 2);
  EXPECT_THAT(In(path), IsEmpty());
}

TEST_F(PodCheckpoint, BadInput) {
  const Pod pod = RunPod("one"), stranger = RunPod("stranger");
  const std::string first = Start(pod, Counter("first"));
  const std::string other = StartIdle(stranger);
  const std::string path = Output("pod");
  const auto checkpoint = [&](const std::vector<std::string>& ids, const std::string& output) {
    return CapturePod(pod, ids, output);
  };
  EXPECT_THAT(checkpoint({}, path), Fails(StatusCode::kInvalidArgument, "container_ids is empty"));
  EXPECT_THAT(checkpoint({first, first}, path), Fails(StatusCode::kInvalidArgument, "twice"));
  EXPECT_THAT(checkpoint({other}, path), Fails(StatusCode::kInvalidArgument, "not of pod"));
  EXPECT_THAT(checkpoint({"none"}, path), Fails(StatusCode::kNotFound, "none"));
  EXPECT_THAT(checkpoint({first}, "pod"), Fails(StatusCode::kInvalidArgument, "absolute"));
  EXPECT_THAT(checkpoint({first}, path + "/no"), Fails(StatusCode::kNotFound, "not exist"));
  EXPECT_THAT(checkpoint({first}, folder() / "volumes"),
              Fails(StatusCode::kFailedPrecondition, "not empty"));
  v1::CheckpointPodRequest request;
  request.set_pod_sandbox_id(pod.id);
  request.set_output_path(path);
  request.add_container_ids(first);
  (*request.mutable_options())["leaveRunning"] = "true";
  EXPECT_THAT(cri().Call(&CriClient::RuntimeStub::CheckpointPod, request),
              Fails(StatusCode::kInvalidArgument, "leaveRunning"));
  ASSERT_THAT(checkpoint({first}, path), IsOk());

  const auto restore = [&](const v1::RestorePodRequest& wanted) {
    return cri().Call(&CriClient::RuntimeStub::RestorePod, wanted).status();
  };
  const size_t pods = Must(cri().ListPods()).size();
  EXPECT_THAT(restore(RestoreRequest("pod", "two", {Counter("first")})),
              Fails(StatusCode::kInvalidArgument, "absolute"));
  EXPECT_THAT(restore(RestoreRequest(folder() / "volumes", "two", {Counter("first")})),
              Fails(StatusCode::kNotFound, "no checkpoint of a pod"));
  EXPECT_THAT(restore(RestoreRequest(path, "two", {})),
              Fails(StatusCode::kInvalidArgument, "a container first, which is missing"));
  EXPECT_THAT(restore(RestoreRequest(path, "two", {Counter("first"), Counter("more")})),
              Fails(StatusCode::kInvalidArgument, "the checkpoint has 1"));
  EXPECT_THAT(restore(RestoreRequest(path, "two", {Counter("first"), Counter("first")})),
              Fails(StatusCode::kInvalidArgument, "twice"));
  v1::RestorePodRequest options = RestoreRequest(path, "two", {Counter("first")});
  (*options.mutable_options())["x"] = "y";
  EXPECT_THAT(restore(options), Fails(StatusCode::kInvalidArgument, "\"x\""));
  // What fails only after the pod was made takes it away again.
  ASSERT_THAT(RemoveFile(path + "/first.tar"), IsOk());
  EXPECT_THAT(restore(RestoreRequest(path, "two", {Counter("first")})),
              Fails(StatusCode::kNotFound, "first.tar"));
  EXPECT_EQ(Must(cri().ListPods()).size(), pods);
}

}  // namespace
}  // namespace crisp
