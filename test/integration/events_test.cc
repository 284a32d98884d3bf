// GetContainerEvents: every subscriber gets every event, in order and with the pod's state; one
// that is slow is cut; nothing of it holds up the runtime or the daemon's end.
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "grpcpp/client_context.h"
#include "test/integration/crisp_session.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::SizeIs;

// A subscription with a thread that reads it.
class Listener {
 public:
  explicit Listener(CriClient& client)
      : reader_(client.runtime().GetContainerEvents(&context_, v1::GetEventsRequest())) {
    reader_->WaitForInitialMetadata();  // subscribed from here on
    thread_ = std::thread([this] {
      v1::ContainerEventResponse event;
      while (reader_->Read(&event)) {
        absl::MutexLock lock(&mutex_);
        events_.push_back(event);
      }
      status_ = reader_->Finish();
    });
  }
  ~Listener() {
    context_.TryCancel();
    if (thread_.joinable()) thread_.join();
  }
  std::vector<v1::ContainerEventResponse> events() {
    absl::MutexLock lock(&mutex_);
    return events_;
  }
  // Each as "TYPE id".
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    for (const auto& event : events()) lines.push_back(LineOf(event));
    return lines;
  }
  static std::string LineOf(const v1::ContainerEventResponse& event) {
    return Cat(v1::ContainerEventType_Name(event.container_event_type()), " ",
               event.container_id());
  }
  bool AwaitCount(size_t count) {
    return WaitUntil([&] { return events().size() >= count; });
  }
  // Waits until the server ends it.
  grpc::Status AwaitEnd() {
    thread_.join();
    return status_;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::ContainerEventResponse>> reader_;
  absl::Mutex mutex_;
  std::vector<v1::ContainerEventResponse> events_;
  grpc::Status status_;
  std::thread thread_;
};

class Events : public NodeTest {};

TEST_F(Events, AWholeLifeInOrderForEverySubscriber) {
  Listener first(cri());
  Listener second(cri());
  const Pod pod = RunPod("life");
  const std::string id = Start(pod, ContainerConfig("main", Shell("exit 3")));
  WaitExited(id);
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  const std::vector<std::string> expected = {
      Cat("CONTAINER_CREATED_EVENT ", pod.id), Cat("CONTAINER_STARTED_EVENT ", pod.id),
      Cat("CONTAINER_CREATED_EVENT ", id),     Cat("CONTAINER_STARTED_EVENT ", id),
      Cat("CONTAINER_STOPPED_EVENT ", id),     Cat("CONTAINER_DELETED_EVENT ", id),
      Cat("CONTAINER_STOPPED_EVENT ", pod.id), Cat("CONTAINER_DELETED_EVENT ", pod.id)};
  for (Listener* listener : {&first, &second}) {
    EXPECT_TRUE(listener->AwaitCount(8));
    EXPECT_THAT(listener->Lines(), ElementsAreArray(expected));
  }
  const auto events = first.events();
  ASSERT_THAT(events, SizeIs(8));
  int64_t last = 0;
  for (const auto& event : events) {
    EXPECT_GE(event.created_at(), last);
    last = event.created_at();
    EXPECT_EQ(event.pod_sandbox_status().id(), pod.id);
    EXPECT_EQ(event.pod_sandbox_status().metadata().name(), "life");
  }
  EXPECT_EQ(events[1].pod_sandbox_status().state(), v1::SANDBOX_READY);
  ASSERT_THAT(events[4].containers_statuses(), SizeIs(1));
  EXPECT_EQ(events[4].containers_statuses(0).state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(events[4].containers_statuses(0).exit_code(), 3);
  EXPECT_EQ(events[6].pod_sandbox_status().state(), v1::SANDBOX_NOTREADY);
}

TEST_F(Events, EachEventHasTheStatusesOfAllContainers) {
  const Pod pod = RunPod("two");
  const std::string a = StartIdle(pod, "a");
  Listener listener(cri());
  const std::string b = StartIdle(pod, "b");
  ASSERT_TRUE(listener.AwaitCount(2));
  EXPECT_THAT(listener.Lines(),
              ElementsAre(Cat("CONTAINER_CREATED_EVENT ", b), Cat("CONTAINER_STARTED_EVENT ", b)));
  EXPECT_THAT(listener.events()[1].containers_statuses(), SizeIs(2));
}

// What ended while there was no daemon is told to those who subscribe after its start.
TEST_F(Events, ExitsFoundByTheRecovery) {
  const Pod pod = RunPod("meantime");
  const std::string id = Start(pod, ContainerConfig("main", Shell("sleep 1; exit 7")));
  daemon().Kill();
  ASSERT_TRUE(WaitUntil([&] {
    return PathExists(Cat(daemon().state(), "/pods/", pod.id, "/containers/", id, "/exit"));
  }));
  ASSERT_THAT(daemon().Start(), IsOk());
  Listener listener(cri());
  Listener another(cri());
  for (Listener* one : {&listener, &another}) {
    ASSERT_TRUE(one->AwaitCount(1));
    EXPECT_THAT(one->Lines(), ElementsAre(Cat("CONTAINER_STOPPED_EVENT ", id)));
    EXPECT_EQ(one->events()[0].containers_statuses(0).exit_code(), 7);
  }
}

TEST_F(Events, ADeadMonitorsPodIsToldToHaveStoppedOnce) {
  const Pod pod = RunPod("buried");
  const std::string id = StartIdle(pod);
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod.id);
  request.set_verbose(true);
  const auto status = Must(cri().Call(&CriClient::RuntimeStub::PodSandboxStatus, request));
  const Json info = Must(ParseJson(status.info().at("info"), "info"));
  Listener listener(cri());
  ASSERT_EQ(kill(info["monitorPid"].get<pid_t>(), SIGKILL), 0);
  ASSERT_TRUE(listener.AwaitCount(2));
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  ASSERT_TRUE(listener.AwaitCount(4));
  EXPECT_THAT(
      listener.Lines(),
      ElementsAre(Cat("CONTAINER_STOPPED_EVENT ", id), Cat("CONTAINER_STOPPED_EVENT ", pod.id),
                  Cat("CONTAINER_DELETED_EVENT ", id), Cat("CONTAINER_DELETED_EVENT ", pod.id)));
}

// `crisp events` prints a JSON object a line. The shell ends once two were read and it wrote a
// third.
TEST_F(Events, TheToolShowsThem) {
  const Pod pod = RunPod("shown");
  ProcessRequest request;
  request.argv = {"/bin/sh", "-c",
                  Cat(JoinPath(ProgramFolder(), "crisp"), " --endpoint ", daemon().endpoint(),
                      " events --output json | head -n 2")};
  request.environment = ToolEnvironment();
  absl::StatusOr<ProcessResult> result = absl::UnknownError("not yet");
  std::atomic<bool> done = false;
  std::thread tool([&] {
    result = RunProcess(request, Call().Within(absl::Seconds(60)));
    done = true;
  });
  v1::ContainerConfig config = ContainerConfig("main", {"true"});
  EXPECT_TRUE(WaitUntil([&] {
    EXPECT_THAT(cri().RemoveContainer(Create(pod, config)), IsOk());
    return done.load();
  }));
  tool.join();
  ASSERT_THAT(result, IsOk());
  const std::vector<std::string_view> lines = SplitWords(result->stdout_data, '\n');
  ASSERT_THAT(lines, SizeIs(2));
  for (const std::string_view line : lines) {
    const Json event = Must(ParseJson(line, "a line"));
    EXPECT_EQ(event["pod_sandbox_status"]["id"], pod.id);
  }
}

// A client that subscribes and never reads neither holds up the runtime nor the daemon's end.
TEST_F(Events, AStreamDoesNotHoldUpTheDaemonsEnd) {
  Listener listener(cri());
  grpc::ClientContext deaf_context;
  const auto deaf = cri().runtime().GetContainerEvents(&deaf_context, v1::GetEventsRequest());
  deaf->WaitForInitialMetadata();
  const Pod pod = RunPod("held");
  v1::ContainerConfig config = ContainerConfig("big", {"true"});
  (*config.mutable_annotations())["filling"] = std::string(200000, 'x');
  for (uint32_t attempt = 0; attempt < 20; ++attempt) {
    config.mutable_metadata()->set_attempt(attempt);
    EXPECT_THAT(cri().RemoveContainer(Create(pod, config)), IsOk());
  }
  ASSERT_TRUE(listener.AwaitCount(42));
  const absl::Time start = absl::Now();
  const int status = daemon().Stop();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));  // not for ever
  EXPECT_EQ(listener.AwaitEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  deaf_context.TryCancel();
  ASSERT_THAT(daemon().Start(), IsOk());
}

}  // namespace
}  // namespace crisp
