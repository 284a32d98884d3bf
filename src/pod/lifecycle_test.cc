// Pods and containers from their first to their last day, with everything real below.
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "pod/pod_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LifecycleTest : public PodTest {};

TEST_F(LifecycleTest, APodWithOneContainer) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  ASSERT_EQ(pod.size(), 64u);
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_READY);
  EXPECT_FALSE(PodStatus(pod).network().ip().empty());
  EXPECT_GT(PodStatus(pod).created_at(), 0);

  const std::string id = Create(pod, "main", {"sh", "-c", "echo hello; hostname; exit 3"});
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_CREATED);
  EXPECT_EQ(Status(id).started_at(), 0);
  ASSERT_TRUE(Start(id).ok());
  const v1::ContainerStatus status = Await(id, v1::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 3);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_GT(status.started_at(), 0);
  EXPECT_GE(status.finished_at(), status.started_at());
  EXPECT_EQ(status.log_path(), At("logs/main/0.log"));
  EXPECT_THAT(Log("main"), HasSubstr("stdout F hello\n"));
  EXPECT_THAT(Log("main"), HasSubstr("stdout F web\n"));

  EXPECT_TRUE(StopPod(pod).ok());
  EXPECT_TRUE(StopPod(pod).ok());
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_NOTREADY);
  EXPECT_TRUE(RemovePod(pod).ok());
  EXPECT_TRUE(RemovePod(pod).ok());
  ExpectNoTraces(before);
}

TEST_F(LifecycleTest, ARunningContainer) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_RUNNING);
  auto result = Exec(id, {"sh", "-c", "echo out; echo err >&2; exit 7"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout(), "out\n");
  EXPECT_EQ(result->stderr(), "err\n");
  EXPECT_EQ(result->exit_code(), 7);
  // PID 1 has no handler, so the stop signal does nothing.
  EXPECT_TRUE(Stop(id, 1).ok());
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(Status(id).exit_code(), 137);
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_TRUE(Remove(id).ok());
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(LifecycleTest, RemovingARunningContainerKillsIt) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  EXPECT_TRUE(Remove(id).ok());
  ExpectNoTraceOf(id);
}

TEST_F(LifecycleTest, RemovingAPodStopsEverything) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  Running(pod, "one", {"sleep", "1000"});
  Running(pod, "two", {"sleep", "1000"});
  Create(pod, "three", {"true"});
  EXPECT_TRUE(RemovePod(pod).ok());
  ExpectNoTraces(before);
}

TEST_F(LifecycleTest, AMissingProgramIsAStartError) {
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "main", {"/no/such/program"});
  absl::Status status = Start(id);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("/no/such/program"));
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(Status(id).exit_code(), 128);
  EXPECT_EQ(Status(id).reason(), "StartError");
  EXPECT_GT(Status(id).finished_at(), 0);
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(LifecycleTest, StartsOnce) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  EXPECT_EQ(Start(id).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LifecycleTest, UnknownIds) {
  EXPECT_TRUE(Stop("deadbeef", 0).ok());
  EXPECT_TRUE(Remove("deadbeef").ok());
  EXPECT_TRUE(StopPod("deadbeef").ok());
  EXPECT_TRUE(RemovePod("deadbeef").ok());
  EXPECT_EQ(Start("deadbeef").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Exec("deadbeef", {"true"}).status().code(), absl::StatusCode::kNotFound);
  v1::ContainerStatusRequest status;
  status.set_container_id("deadbeef");
  EXPECT_EQ(runtime_->ContainerStatus(status, Call{}).status().code(), absl::StatusCode::kNotFound);
  v1::PodSandboxStatusRequest pod;
  pod.set_pod_sandbox_id("deadbeef");
  EXPECT_EQ(runtime_->PodSandboxStatus(pod, Call{}).status().code(), absl::StatusCode::kNotFound);
  v1::ReopenContainerLogRequest reopen;
  reopen.set_container_id("deadbeef");
  EXPECT_EQ(runtime_->ReopenContainerLog(reopen, Call{}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Stop("", 0).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LifecycleTest, PrefixesOfIds) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  EXPECT_EQ(PodStatus(pod.substr(0, 12)).id(), pod);
  EXPECT_EQ(Status(id.substr(0, 12)).id(), id);
  EXPECT_TRUE(Exec(id.substr(0, 10), {"true"}).ok());
  v1::ContainerFilter filter;
  filter.set_id(id.substr(0, 8));
  filter.set_pod_sandbox_id(pod.substr(0, 8));
  EXPECT_THAT(Containers(filter), SizeIs(1));
  EXPECT_TRUE(Stop(id.substr(0, 9), 0).ok());
}

TEST_F(LifecycleTest, ARepeatedRunGetsTheFirstAnswer) {
  const std::string pod = RunPod("web");
  EXPECT_EQ(RunPod("web"), pod);
  v1::RunPodSandboxRequest other = PodRequest("web");
  other.mutable_config()->set_log_directory(At("logs"));
  (*other.mutable_config()->mutable_labels())["new"] = "label";
  absl::Status status = runtime_->RunPodSandbox(other, Call{}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr(pod));
  other.mutable_config()->mutable_metadata()->set_attempt(1);
  EXPECT_NE(RunPod(other), pod);
}

TEST_F(LifecycleTest, ARepeatedCreateGetsTheFirstAnswer) {
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "main", {"sleep", "1000"});
  EXPECT_EQ(Create(pod, "main", {"sleep", "1000"}), id);
  absl::Status status =
      runtime_->CreateContainer(ContainerRequest(pod, "main", {"true"}), Call{}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr(id));
}

TEST_F(LifecycleTest, EqualRunsSideBySideMakeOnePod) {
  std::vector<std::string> ids(6);
  std::vector<std::thread> threads;
  for (std::string& id : ids) {
    threads.emplace_back([&] { id = RunPod("web"); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& id : ids) EXPECT_EQ(id, ids[0]);
  EXPECT_THAT(Pods(), SizeIs(1));
}

TEST_F(LifecycleTest, ListsFilter) {
  const std::string one = RunPod("one");
  const std::string two = RunPod("two");
  EXPECT_TRUE(StopPod(two).ok());
  EXPECT_THAT(Pods(), SizeIs(2));
  v1::PodSandboxFilter filter;
  filter.mutable_state()->set_state(v1::SANDBOX_READY);
  EXPECT_THAT(Pods(filter), SizeIs(1));
  filter.Clear();
  (*filter.mutable_label_selector())["app"] = "two";
  const auto pods = Pods(filter);
  ASSERT_THAT(pods, SizeIs(1));
  EXPECT_EQ(pods[0].id(), two);
  filter.Clear();
  filter.set_id("feedbeef");
  EXPECT_THAT(Pods(filter), IsEmpty());
}

// Their parts have the same fields as the whole list.
TEST_F(LifecycleTest, StreamedListsTellTheSame) {
  const std::string pod = RunPod("one");
  RunPod("two");
  Create(pod, "main", {"sleep", "1000"});
  std::string pods, containers;
  const auto collect = [](std::string& bytes) {
    return [&bytes](const auto& part) { return part.AppendToString(&bytes); };
  };
  EXPECT_TRUE(runtime_->StreamPodSandboxes({}, collect(pods), Call{}).ok());
  EXPECT_TRUE(runtime_->StreamContainers({}, collect(containers), Call{}).ok());
  EXPECT_EQ(runtime_->ListPodSandbox({}, Call{})->SerializeAsString(), pods);
  EXPECT_EQ(runtime_->ListContainers({}, Call{})->SerializeAsString(), containers);
  v1::StreamContainersResponse part;
  EXPECT_TRUE(part.ParseFromString(containers));
  EXPECT_EQ(part.containers_size(), 1);
}

// Items are kept from list to list, but never longer than they are true.
TEST_F(LifecycleTest, ListsTellEveryChange) {
  const std::string pod = RunPod("web");
  EXPECT_EQ(Pods().at(0).state(), v1::SANDBOX_READY);
  const std::string id = Create(pod, "main", {"sleep", "1000"});
  EXPECT_EQ(Containers().at(0).state(), v1::CONTAINER_CREATED);
  EXPECT_TRUE(Start(id).ok());
  EXPECT_EQ(Containers().at(0).state(), v1::CONTAINER_RUNNING);
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_EQ(Containers().at(0).state(), v1::CONTAINER_EXITED);
  EXPECT_TRUE(StopPod(pod).ok());
  EXPECT_EQ(Pods().at(0).state(), v1::SANDBOX_NOTREADY);
}

TEST_F(LifecycleTest, AFailedRunLeavesNothing) {
  const auto before = Traces();
  v1::RunPodSandboxRequest request = PodRequest("web");
  (*request.mutable_config()->mutable_linux()->mutable_sysctls())["net.no.such.key"] = "1";
  EXPECT_FALSE(runtime_->RunPodSandbox(request, Call{}).ok());
  EXPECT_THAT(Pods(), IsEmpty());
  ExpectNoTraces(before);
}

TEST_F(LifecycleTest, AnExpiredRunLeavesNothing) {
  const auto before = Traces();
  Call call;
  call.deadline = absl::Now() + absl::Milliseconds(1);
  auto response = runtime_->RunPodSandbox(PodRequest("web"), call);
  if (response.ok()) {
    EXPECT_TRUE(RemovePod(response->pod_sandbox_id()).ok());
  } else {
    EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded) << response.status();
  }
  ExpectNoTraces(before);
}

TEST_F(LifecycleTest, AFailedCreateLeavesNothing) {
  const std::string pod = RunPod("web");
  const auto before = Traces();
  v1::CreateContainerRequest request = ContainerRequest(pod, "main", {"true"});
  request.mutable_config()->mutable_linux()->mutable_security_context()->set_run_as_username(
      "nobody-knows-me");
  EXPECT_FALSE(runtime_->CreateContainer(request, Call{}).ok());
  request = ContainerRequest(pod, "main", {"true"});
  request.mutable_config()->mutable_image()->set_image("no/such:image");
  EXPECT_EQ(runtime_->CreateContainer(request, Call{}).status().code(),
            absl::StatusCode::kNotFound);
  request = ContainerRequest(pod, "main", {"true"});
  request.mutable_config()->set_log_path("../../outside");
  EXPECT_EQ(runtime_->CreateContainer(request, Call{}).status().code(),
            absl::StatusCode::kInvalidArgument);
  ExpectNoTraces(before);
  Create(pod, "main", {"true"});  // the name is free
}

TEST_F(LifecycleTest, NoContainerInAStoppedPod) {
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "early", {"true"});
  EXPECT_TRUE(StopPod(pod).ok());
  EXPECT_EQ(
      runtime_->CreateContainer(ContainerRequest(pod, "late", {"true"}), Call{}).status().code(),
      absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Start(id).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LifecycleTest, VolumesOfTheImageAreFilled) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  EXPECT_EQ(Exec(id, {"cat", "/data/seed"})->stdout(), "of the image\n");
  EXPECT_EQ(Exec(id, {"sh", "-c", "echo mine > /data/seed && cat /data/seed"})->stdout(), "mine\n");
}

TEST_F(LifecycleTest, ContainersOfAPodShareShmAndIpc) {
  const std::string pod = RunPod("web");
  const std::string one = Running(pod, "one", {"sleep", "1000"});
  const std::string two = Running(pod, "two", {"sleep", "1000"});
  EXPECT_EQ(Exec(one, {"sh", "-c", "echo shared > /dev/shm/file"})->exit_code(), 0);
  EXPECT_EQ(Exec(two, {"cat", "/dev/shm/file"})->stdout(), "shared\n");
  EXPECT_EQ(Exec(one, {"readlink", "/proc/self/ns/ipc"})->stdout(),
            Exec(two, {"readlink", "/proc/self/ns/ipc"})->stdout());
  EXPECT_NE(Exec(one, {"readlink", "/proc/self/ns/pid"})->stdout(),
            Exec(two, {"readlink", "/proc/self/ns/pid"})->stdout());
  EXPECT_EQ(Exec(one, {"hostname"})->stdout(), "web\n");
  EXPECT_THAT(Exec(one, {"cat", "/etc/hosts"})->stdout(), HasSubstr("\tweb\n"));
}

TEST_F(LifecycleTest, APodMayShareItsPids) {
  v1::RunPodSandboxRequest request = PodRequest("web");
  request.mutable_config()
      ->mutable_linux()
      ->mutable_security_context()
      ->mutable_namespace_options()
      ->set_pid(v1::POD);
  const auto before = Traces();
  const std::string pod = RunPod(request);
  v1::CreateContainerRequest create = ContainerRequest(pod, "main", {"sleep", "1000"});
  create.mutable_config()
      ->mutable_linux()
      ->mutable_security_context()
      ->mutable_namespace_options()
      ->set_pid(v1::POD);
  const std::string id = Create(create);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(Exec(id, {"sh", "-c", "test $$ -ne 1 && ls /proc/1 >/dev/null"})->exit_code(), 0);
  EXPECT_EQ(Exec(id, {"sh", "-c", "sleep 2000 >/dev/null 2>&1 &"})->exit_code(), 0);
  // The kill reaches what the container started, though its PID namespace lives on.
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_TRUE(RemovePod(pod).ok());
  ExpectNoTraces(before);
}

TEST_F(LifecycleTest, AContainerMayJoinATarget) {
  const std::string pod = RunPod("web");
  const std::string target = Running(pod, "target", {"sleep", "1000"});
  v1::CreateContainerRequest create = ContainerRequest(pod, "debug", {"sleep", "1000"});
  v1::NamespaceOption& spaces = *create.mutable_config()
                                     ->mutable_linux()
                                     ->mutable_security_context()
                                     ->mutable_namespace_options();
  spaces.set_pid(v1::TARGET);
  spaces.set_target_id(target);
  const std::string id = Create(create);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(Exec(id, {"readlink", "/proc/self/ns/pid"})->stdout(),
            Exec(target, {"readlink", "/proc/self/ns/pid"})->stdout());
  create.mutable_config()->mutable_metadata()->set_name("late");
  const std::string late = Create(create);
  EXPECT_TRUE(Stop(target, 0).ok());
  EXPECT_EQ(Start(late).code(), absl::StatusCode::kFailedPrecondition);
  spaces.set_target_id("deadbeef");
  create.mutable_config()->mutable_metadata()->set_name("never");
  EXPECT_EQ(runtime_->CreateContainer(create, Call{}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(LifecycleTest, HostNamespaces) {
  v1::RunPodSandboxRequest request = PodRequest("host");
  v1::NamespaceOption& spaces = *request.mutable_config()
                                     ->mutable_linux()
                                     ->mutable_security_context()
                                     ->mutable_namespace_options();
  request.mutable_config()->clear_hostname();
  spaces.set_network(v1::NODE);
  spaces.set_ipc(v1::NODE);
  spaces.set_pid(v1::NODE);
  const std::string pod = RunPod(request);
  EXPECT_TRUE(PodStatus(pod).network().ip().empty());
  v1::CreateContainerRequest create = ContainerRequest(pod, "main", {"sleep", "1000"});
  *create.mutable_config()
       ->mutable_linux()
       ->mutable_security_context()
       ->mutable_namespace_options() = spaces;
  const std::string id = Create(create);
  ASSERT_TRUE(Start(id).ok());
  for (const char* kind : {"net", "ipc", "pid", "uts"}) {
    EXPECT_EQ(Exec(id, {"readlink", Cat("/proc/self/ns/", kind)})->stdout(),
              Cat(std::filesystem::read_symlink(Cat("/proc/self/ns/", kind)).string(), "\n"));
  }
  EXPECT_TRUE(Exec(id, {"sh", "-c", "sleep 2000 >/dev/null 2>&1 &"}).ok());
  EXPECT_TRUE(Stop(id, 0).ok());
}

TEST_F(LifecycleTest, VerboseStatusTellsTheSpec) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  EXPECT_TRUE(runtime_->ContainerStatus(request, Call{})->info().empty());
  request.set_verbose(true);
  auto response = runtime_->ContainerStatus(request, Call{});
  auto info = ParseJson(response->info().at("info"), "info");
  ASSERT_TRUE(info.ok());
  EXPECT_GT(JsonInt(*info, "pid"), 0);
  EXPECT_EQ(JsonString(*info, "sandboxID"), pod);
  EXPECT_TRUE((*info)["runtimeSpec"].contains("process"));
  EXPECT_TRUE((*info)["config"].contains("metadata"));
}

TEST_F(LifecycleTest, TheImageMayGoWhileItsContainerRuns) {
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "main", {"sleep", "1000"});
  ASSERT_TRUE(images_->Remove(kTestImage).ok());
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(Exec(id, {"cat", "/etc/passwd"})->exit_code(), 0);
}

TEST_F(LifecycleTest, LogsAreReopened) {
  const std::string pod = RunPod("web");
  const std::string id =
      Running(pod, "main", {"sh", "-c", "while :; do echo line; usleep 1000; done"});
  std::filesystem::rename(At("logs/main/0.log"), At("logs/main/0.log.old"));
  v1::ReopenContainerLogRequest request;
  request.set_container_id(id);
  absl::Status status = runtime_->ReopenContainerLog(request, Call{}).status();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(PathExists(At("logs/main/0.log")));
  EXPECT_TRUE(Stop(id, 0).ok());
  std::filesystem::remove(At("logs/main/0.log"));
  EXPECT_EQ(runtime_->ReopenContainerLog(request, Call{}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(PathExists(At("logs/main/0.log")));
}

}  // namespace
}  // namespace crisp
