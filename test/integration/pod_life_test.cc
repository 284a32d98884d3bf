// Pods from RunPodSandbox to RemovePodSandbox: state, filters, repeated requests, what the
// containers of a pod share.
#include <unistd.h>

#include <filesystem>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class PodLife : public NodeTest {};

TEST_F(PodLife, StatusTellsWhatWasAskedFor) {
  v1::PodSandboxConfig config = PodConfig("web");
  config.mutable_metadata()->set_attempt(3);
  (*config.mutable_labels())["io.kubernetes.pod.name"] = "web";
  (*config.mutable_annotations())["kubernetes.io/config.seen"] =
      "2026-01-01 \"quoted\" \n and more";
  const absl::Time before = absl::Now();
  const Pod pod = RunPod(config);

  const v1::PodSandboxStatus status = Must(cri().PodStatus(pod.id));
  EXPECT_EQ(status.id(), pod.id);
  EXPECT_THAT(status.id(), SizeIs(64));
  EXPECT_EQ(status.metadata().name(), "web");
  EXPECT_EQ(status.metadata().namespace_(), "test");
  EXPECT_EQ(status.metadata().uid(), "uid-web");
  EXPECT_EQ(status.metadata().attempt(), 3u);
  EXPECT_EQ(status.state(), v1::SANDBOX_READY);
  EXPECT_GE(absl::FromUnixNanos(status.created_at()), before - absl::Seconds(1));
  EXPECT_LE(absl::FromUnixNanos(status.created_at()), absl::Now() + absl::Seconds(1));
  EXPECT_THAT(status.network().ip(), Not(IsEmpty()));
  EXPECT_EQ(status.linux().namespaces().options().pid(), v1::CONTAINER);
  EXPECT_EQ(status.linux().namespaces().options().network(), v1::POD);
  EXPECT_EQ(status.labels().at("io.kubernetes.pod.name"), "web");
  EXPECT_EQ(status.annotations().at("kubernetes.io/config.seen"),
            "2026-01-01 \"quoted\" \n and more");

  const std::vector<v1::PodSandbox> list = Must(cri().ListPods());
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0].id(), pod.id);
  EXPECT_EQ(list[0].metadata().attempt(), 3u);
  EXPECT_EQ(list[0].created_at(), status.created_at());
  EXPECT_EQ(list[0].labels().at("io.kubernetes.pod.name"), "web");
}

TEST_F(PodLife, VerboseStatusHoldsOneJsonObject) {
  const Pod pod = RunPod("verbose");
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod.id);
  EXPECT_THAT(Must(cri().Call(&CriClient::RuntimeStub::PodSandboxStatus, request)).info(),
              IsEmpty());
  request.set_verbose(true);
  const auto answer = Must(cri().Call(&CriClient::RuntimeStub::PodSandboxStatus, request));
  ASSERT_TRUE(answer.info().contains("info"));
  const auto info = nlohmann::json::parse(answer.info().at("info"), nullptr, false);
  EXPECT_TRUE(info.is_object()) << answer.info().at("info");
}

TEST_F(PodLife, ListFiltersAreAnded) {
  v1::PodSandboxConfig config = PodConfig("a");
  (*config.mutable_labels())["app"] = "one";
  (*config.mutable_labels())["tier"] = "front";
  const Pod a = RunPod(config);
  config = PodConfig("b");
  (*config.mutable_labels())["app"] = "two";
  (*config.mutable_labels())["tier"] = "front";
  const Pod b = RunPod(config);
  EXPECT_THAT(cri().StopPod(b.id), IsOk());

  const auto ids = [&](const v1::PodSandboxFilter& filter) {
    std::set<std::string> found;
    for (const v1::PodSandbox& pod : Must(cri().ListPods(filter))) found.insert(pod.id());
    return found;
  };
  v1::PodSandboxFilter filter;
  EXPECT_THAT(ids(filter), SizeIs(2));
  (*filter.mutable_label_selector())["tier"] = "front";
  EXPECT_THAT(ids(filter), SizeIs(2));
  filter.mutable_state()->set_state(v1::SANDBOX_NOTREADY);
  EXPECT_THAT(ids(filter), ElementsAre(b.id));
  (*filter.mutable_label_selector())["app"] = "one";
  EXPECT_THAT(ids(filter), IsEmpty());
  filter.Clear();
  filter.set_id(a.id.substr(0, 20));
  EXPECT_THAT(ids(filter), ElementsAre(a.id));
  filter.set_id("0123");
  EXPECT_THAT(ids(filter), IsEmpty());
}

TEST_F(PodLife, AnIdMayBeShortened) {
  const Pod pod = RunPod("short");
  EXPECT_EQ(Must(cri().PodStatus(pod.id.substr(0, 12))).id(), pod.id);
  EXPECT_THAT(cri().StopPod(pod.id.substr(0, 12)), IsOk());
  EXPECT_EQ(Must(cri().PodStatus(pod.id)).state(), v1::SANDBOX_NOTREADY);
  EXPECT_THAT(cri().RemovePod(pod.id.substr(0, 12)), IsOk());
  EXPECT_THAT(cri().PodStatus(pod.id), Fails(StatusCode::kNotFound, pod.id));
}

TEST_F(PodLife, ARepeatedRequestGetsTheSamePod) {
  const Pod pod = RunPod("again");
  EXPECT_EQ(Must(cri().RunPod(pod.config)), pod.id);
  EXPECT_THAT(Must(cri().ListPods()), SizeIs(1));
}

TEST_F(PodLife, RequestsAtTheSameTimeMakeOnePod) {
  const v1::PodSandboxConfig config = PodConfig("once");
  std::vector<std::string> ids(8);
  std::vector<std::thread> callers;
  for (std::string& id : ids) callers.emplace_back([&] { id = Must(cri().RunPod(config)); });
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(std::set<std::string>(ids.begin(), ids.end()), SizeIs(1));
  EXPECT_THAT(Must(cri().ListPods()), SizeIs(1));
}

TEST_F(PodLife, AnotherAttemptIsAnotherPod) {
  const Pod first = RunPod("retried");
  EXPECT_THAT(cri().StopPod(first.id), IsOk());
  v1::PodSandboxConfig config = first.config;
  config.mutable_metadata()->set_attempt(1);
  const Pod second = RunPod(config);
  EXPECT_NE(first.id, second.id);
  EXPECT_THAT(Must(cri().ListPods()), SizeIs(2));
}

TEST_F(PodLife, StopKillsContainersAndMayBeRepeated) {
  const Pod pod = RunPod("stopped");
  const std::string container = Start(pod, "main", {"sleep", "1000"});
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_EQ(Must(cri().PodStatus(pod.id)).state(), v1::SANDBOX_NOTREADY);
  const v1::ContainerStatus status = Must(cri().ContainerStatus(container));
  EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 137);
}

TEST_F(PodLife, RemoveStopsFirstAndFreesTheName) {
  const Pod pod = RunPod("removed");
  const std::string container = Start(pod, "main", {"sleep", "1000"});
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_THAT(cri().ContainerStatus(container), Fails(StatusCode::kNotFound, container));
  EXPECT_THAT(Leftovers(), IsEmpty());
  EXPECT_NE(RunPod("removed").id, pod.id);
}

TEST_F(PodLife, ManyAtOnce) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([this, i] {
      const Pod pod = RunPod(Cat("burst-", i));
      const std::string container = StartIdle(pod);
      EXPECT_EQ(Exec(container, "hostname"), Cat("burst-", i));
      EXPECT_THAT(cri().StopContainer(container, 10), IsOk());
      EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(Must(cri().ListPods()), IsEmpty());
}

TEST_F(PodLife, HostnameHostsAndResolvConf) {
  v1::PodSandboxConfig config = PodConfig("named");
  config.mutable_dns_config()->add_servers("10.9.8.7");
  config.mutable_dns_config()->add_servers("10.9.8.6");
  config.mutable_dns_config()->add_searches("a.test");
  config.mutable_dns_config()->add_searches("b.test");
  config.mutable_dns_config()->add_options("ndots:5");
  const Pod pod = RunPod(config);
  const std::string container = StartIdle(pod);
  EXPECT_EQ(Exec(container, "hostname"), "named");
  EXPECT_EQ(Exec(container, "cat /etc/hostname"), "named");
  EXPECT_EQ(Exec(container, "echo $HOSTNAME"), "named");
  EXPECT_EQ(Exec(container, "cat /etc/resolv.conf"),
            "search a.test b.test\nnameserver 10.9.8.7\nnameserver 10.9.8.6\noptions ndots:5");
  EXPECT_THAT(Exec(container, "cat /etc/hosts"), HasSubstr("localhost"));
}

TEST_F(PodLife, EmptyDnsMakesAnEmptyFile) {
  v1::PodSandboxConfig config = PodConfig("nodns");
  config.mutable_dns_config();
  const std::string container = StartIdle(RunPod(config));
  EXPECT_EQ(Exec(container, "cat /etc/resolv.conf"), "");
}

TEST_F(PodLife, ContainersShareNetworkIpcAndMemoryFiles) {
  const Pod pod = RunPod("shared");
  const std::string one = StartIdle(pod, "one");
  const std::string two = StartIdle(pod, "two");
  for (const char* kind : {"net", "ipc", "uts"}) {
    const std::string script = Cat("readlink /proc/self/ns/", kind);
    EXPECT_EQ(Exec(one, script), Exec(two, script)) << kind;
  }
  for (const char* kind : {"pid", "mnt"}) {
    const std::string script = Cat("readlink /proc/self/ns/", kind);
    EXPECT_NE(Exec(one, script), Exec(two, script)) << kind;
  }
  Exec(one, "echo there > /dev/shm/file");
  EXPECT_EQ(Exec(two, "cat /dev/shm/file"), "there");
  EXPECT_EQ(Exec(two, "stat -c %a /dev/shm"), "1777");
}

TEST_F(PodLife, SharedPidNamespaceHasAnInitThatReaps) {
  v1::PodSandboxConfig config = PodConfig("pids");
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::POD);
  const Pod pod = RunPod(config);
  v1::ContainerConfig in_pod = ContainerConfig("one", {"sleep", "1234"});
  in_pod.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::POD);
  Start(pod, in_pod);
  in_pod.mutable_metadata()->set_name("two");
  in_pod.set_log_path("two.log");
  *in_pod.mutable_command()->Mutable(1) = "4321";
  const std::string two = Start(pod, in_pod);
  EXPECT_THAT(Exec(two, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), HasSubstr("sleep 1234"));
  // An orphan's end: its new parent is the pod's init.
  Exec(two, "(sleep 0.2 &) ; true");
  EXPECT_TRUE(WaitUntil([&] {
    return !absl::StrContains(Exec(two, "cat /proc/[0-9]*/stat 2>/dev/null || true"), ") Z ");
  }));
  // Init cannot be told to end from inside.
  Exec(two, "kill -TERM 1; kill -KILL 1; sleep 0.1");
  EXPECT_EQ(Must(cri().PodStatus(pod.id)).state(), v1::SANDBOX_READY);
}

TEST_F(PodLife, HostNamespaces) {
  v1::PodSandboxConfig config = PodConfig("host");
  config.set_hostname("");
  auto* options = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_network(v1::NODE);
  options->set_pid(v1::NODE);
  options->set_ipc(v1::NODE);
  const Pod pod = RunPod(config);
  EXPECT_THAT(Must(cri().PodStatus(pod.id)).network().ip(), IsEmpty());
  v1::ContainerConfig container =
      ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"));
  *container.mutable_linux()->mutable_security_context()->mutable_namespace_options() = *options;
  const std::string id = Start(pod, container);
  for (const char* kind : {"net", "pid", "ipc", "uts"}) {
    const std::string link = Cat("/proc/self/ns/", kind);
    char target[100] = {};
    ASSERT_GT(readlink(link.c_str(), target, sizeof(target) - 1), 0);
    EXPECT_EQ(Exec(id, "readlink " + link), target) << kind;
  }
}

TEST_F(PodLife, SysctlsActOnThePod) {
  v1::PodSandboxConfig config = PodConfig("sysctl");
  (*config.mutable_linux()->mutable_sysctls())["kernel.shm_rmid_forced"] = "1";
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_local_port_range"] = "2000 3000";
  const std::string container = StartIdle(RunPod(config));
  EXPECT_EQ(Exec(container, "cat /proc/sys/kernel/shm_rmid_forced"), "1");
  EXPECT_EQ(Exec(container, "cat /proc/sys/net/ipv4/ip_local_port_range"), "2000\t3000");
  EXPECT_EQ(Exec(container, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "0");
}

TEST_F(PodLife, StreamedListsHoldEveryItemOnce) {
  std::set<std::string> expected;
  for (int i = 0; i < 5; ++i) expected.insert(RunPod(Cat("s", i)).id);
  grpc::ClientContext context;
  auto reader = cri().runtime().StreamPodSandboxes(&context, v1::StreamPodSandboxesRequest());
  std::multiset<std::string> found;
  for (v1::StreamPodSandboxesResponse part; reader->Read(&part);) {
    EXPECT_GT(part.pod_sandboxes_size(), 0);
    for (const v1::PodSandbox& pod : part.pod_sandboxes()) found.insert(pod.id());
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(found, testing::ElementsAreArray(expected));
}

TEST_F(PodLife, TheFirstPodOfANewRootFindsTheSeccompFilterReady) {
  EXPECT_TRUE(WaitUntil([&] {
    std::error_code error;
    for (const auto& file :
         std::filesystem::directory_iterator(daemon().root() + "/seccomp", error))
      if (file.path().extension() == ".bpf") return true;
    return false;
  }));
}

}  // namespace
}  // namespace crisp
