// Figures of pods and containers: what each stats and metrics call tells of what runs, of what does
// not (yet or any more), and across a restart of the daemon.
#include <dirent.h>

#include <set>

#include "absl/strings/match.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class Stats : public NodeTest {
 protected:
  using Stub = CriClient::RuntimeStub;

  v1::ContainerStats Of(const std::string& container) {
    v1::ContainerStatsRequest request;
    request.set_container_id(container);
    return Must(cri().Call(&Stub::ContainerStats, request)).stats();
  }
  v1::PodSandboxStats OfPod(const std::string& pod) {
    v1::PodSandboxStatsRequest request;
    request.set_pod_sandbox_id(pod);
    return Must(cri().Call(&Stub::PodSandboxStats, request)).stats();
  }
  std::vector<v1::ContainerStats> List(const v1::ContainerStatsFilter& filter = {}) {
    v1::ListContainerStatsRequest request;
    *request.mutable_filter() = filter;
    const auto list = Must(cri().Call(&Stub::ListContainerStats, request));
    return {list.stats().begin(), list.stats().end()};
  }
  v1::ListPodSandboxMetricsResponse Metrics() {
    return Must(cri().Call(&Stub::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest()));
  }
  // All items of a stream; its status must be ok.
  template <typename Response, typename Request>
  std::vector<Response> Read(std::unique_ptr<grpc::ClientReader<Response>> (Stub::*verb)(
      grpc::ClientContext*, const Request&)) {
    grpc::ClientContext context;
    const auto reader = (cri().runtime().*verb)(&context, Request());
    std::vector<Response> all;
    for (Response part; reader->Read(&part);) all.push_back(part);
    EXPECT_TRUE(reader->Finish().ok());
    return all;
  }
  size_t DescriptorsOfDaemon() {
    std::unique_ptr<DIR, int (*)(DIR*)> folder(
        opendir(Cat("/proc/", daemon().pid(), "/fd").c_str()), closedir);
    size_t count = 0;
    while (folder != nullptr && readdir(folder.get()) != nullptr) ++count;
    return count;
  }
};

TEST_F(Stats, OfARunningContainer) {
  const Pod pod = RunPod("figures");
  v1::ContainerConfig config =
      ContainerConfig("busy", Shell("dd if=/dev/zero of=/written bs=1M count=3 2>/dev/null; "
                                    "trap 'exit 0' TERM; while :; do :; done"));
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
  (*config.mutable_labels())["role"] = "busy";
  (*config.mutable_annotations())["note"] = "kept";
  const std::string id = Start(pod, config);
  v1::ContainerStats stats;
  // The rate needs two readings at least a second apart, the layer a walk in the background.
  EXPECT_TRUE(WaitUntil([&] {
    stats = Of(id);
    return stats.cpu().usage_nano_cores().value() > 0 && stats.has_writable_layer();
  }));
  EXPECT_EQ(stats.attributes().id(), id);
  EXPECT_EQ(stats.attributes().metadata().name(), "busy");
  EXPECT_EQ(stats.attributes().labels().at("role"), "busy");
  EXPECT_EQ(stats.attributes().annotations().at("note"), "kept");
  EXPECT_GT(stats.cpu().timestamp(), 0);
  EXPECT_GT(stats.cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_LE(stats.cpu().usage_nano_cores().value(), 2'000'000'000u);
  EXPECT_GT(stats.memory().usage_bytes().value(), 0u);
  EXPECT_LE(stats.memory().working_set_bytes().value(), stats.memory().usage_bytes().value());
  EXPECT_EQ(stats.memory().available_bytes().value() + stats.memory().working_set_bytes().value(),
            uint64_t{64} << 20);
  EXPECT_TRUE(stats.memory().has_rss_bytes());
  EXPECT_GT(stats.memory().page_faults().value(), 0u);
  EXPECT_THAT(stats.writable_layer().fs_id().mountpoint(), Not(IsEmpty()));
  EXPECT_TRUE(WaitUntil([&] {
    stats = Of(id);
    return stats.writable_layer().used_bytes().value() >= 3 << 20;
  }));
  EXPECT_GT(stats.writable_layer().inodes_used().value(), 1u);
  EXPECT_GT(stats.writable_layer().timestamp(), 0);
}

TEST_F(Stats, CreatedAndExitedOnesHaveZeros) {
  const Pod pod = RunPod("zeros");
  const std::string created = Create(pod, ContainerConfig("created", {"true"}));
  const std::string exited = Start(pod, ContainerConfig("exited", {"true"}));
  WaitExited(exited);
  const std::string running = StartIdle(pod);
  ASSERT_THAT(List(), SizeIs(3));
  for (const std::string& id : {created, exited}) {
    const v1::ContainerStats stats = Of(id);
    EXPECT_EQ(stats.attributes().id(), id);
    EXPECT_GT(stats.cpu().timestamp(), 0);
    EXPECT_EQ(stats.cpu().usage_core_nano_seconds().value(), 0u);
    EXPECT_EQ(stats.memory().working_set_bytes().value(), 0u);
  }
  EXPECT_GT(Of(running).cpu().usage_core_nano_seconds().value(), 0u);
}

TEST_F(Stats, Filters) {
  const Pod one = RunPod("one");
  const Pod two = RunPod("two");
  const std::string a = StartIdle(one, "a");
  v1::ContainerConfig config = ContainerConfig("b", Shell("while :; do sleep 0.05; done"));
  (*config.mutable_labels())["role"] = "second";
  const std::string b = Start(two, config);
  v1::ContainerStatsFilter filter;
  filter.set_pod_sandbox_id(one.id);
  ASSERT_THAT(List(filter), SizeIs(1));
  EXPECT_EQ(List(filter)[0].attributes().id(), a);
  filter.Clear();
  filter.set_id(b.substr(0, 12));
  ASSERT_THAT(List(filter), SizeIs(1));
  filter.set_pod_sandbox_id(one.id);
  EXPECT_THAT(List(filter), IsEmpty());
  filter.Clear();
  (*filter.mutable_label_selector())["role"] = "second";
  ASSERT_THAT(List(filter), SizeIs(1));
  EXPECT_EQ(List(filter)[0].attributes().id(), b);
  filter.Clear();
  filter.set_id("0123456789");
  EXPECT_THAT(List(filter), IsEmpty());
  v1::ContainerStatsRequest unknown;
  unknown.set_container_id("nothing");
  EXPECT_THAT(cri().Call(&Stub::ContainerStats, unknown), Fails(StatusCode::kNotFound, "nothing"));
  v1::PodSandboxStatsRequest no_pod;
  no_pod.set_pod_sandbox_id("nothing");
  EXPECT_THAT(cri().Call(&Stub::PodSandboxStats, no_pod), Fails(StatusCode::kNotFound, "nothing"));
}

TEST_F(Stats, OfAPod) {
  const Pod pod = RunPod("whole");
  EXPECT_EQ(OfPod(pod.id).linux().process().process_count().value(), 0u);
  const std::string id = StartIdle(pod);
  // Traffic of its own: somebody asks the gateway for something, whether it answers or not.
  (void)cri().ExecSync(
      id, Shell("ping -c 2 -W 1 $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')"), 20);
  const v1::PodSandboxStats stats = OfPod(pod.id);
  EXPECT_EQ(stats.attributes().id(), pod.id);
  EXPECT_EQ(stats.attributes().metadata().name(), "whole");
  EXPECT_GT(stats.linux().cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_GT(stats.linux().memory().usage_bytes().value(), 0u);
  EXPECT_GE(stats.linux().process().process_count().value(), 1u);
  ASSERT_THAT(stats.linux().containers(), SizeIs(1));
  EXPECT_EQ(stats.linux().containers(0).attributes().id(), id);
  ASSERT_TRUE(stats.linux().has_network());
  EXPECT_EQ(stats.linux().network().default_interface().name(), "eth0");
  EXPECT_GT(stats.linux().network().default_interface().tx_bytes().value(), 0u);
  EXPECT_THAT(stats.linux().network().interfaces(), IsEmpty());
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_EQ(OfPod(pod.id).linux().cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_FALSE(OfPod(pod.id).linux().has_network());
}

TEST_F(Stats, AHostNetworkPodHasNoNetworkOfItsOwn) {
  v1::PodSandboxConfig config = PodConfig("host");
  config.clear_hostname();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
      v1::NODE);
  const Pod pod = RunPod(config);
  v1::ContainerConfig container = ContainerConfig("main", Shell("while :; do sleep 0.05; done"));
  container.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
      v1::NODE);
  Start(pod, container);
  const v1::PodSandboxStats stats = OfPod(pod.id);
  EXPECT_GE(stats.linux().process().process_count().value(), 1u);
  EXPECT_FALSE(stats.linux().has_network());
}

TEST_F(Stats, MetricsAreWhatTheirDescriptorsSay) {
  const Pod pod = RunPod("metrics");
  const std::string id = StartIdle(pod, "main");
  Create(pod, ContainerConfig("created", {"true"}));
  std::map<std::string, int> labels;
  const auto described =
      Must(cri().Call(&Stub::ListMetricDescriptors, v1::ListMetricDescriptorsRequest()));
  for (const v1::MetricDescriptor& one : described.descriptors()) {
    EXPECT_TRUE(labels.emplace(one.name(), one.label_keys_size()).second) << one.name();
    EXPECT_THAT(one.help(), Not(IsEmpty())) << one.name();
  }
  const v1::ListPodSandboxMetricsResponse metrics = Metrics();
  ASSERT_THAT(metrics.pod_metrics(), SizeIs(1));
  const v1::PodSandboxMetrics& of_pod = metrics.pod_metrics(0);
  EXPECT_EQ(of_pod.pod_sandbox_id(), pod.id);
  ASSERT_THAT(of_pod.container_metrics(), SizeIs(1));
  EXPECT_EQ(of_pod.container_metrics(0).container_id(), id);
  std::set<std::string> names;
  const auto check = [&](const v1::Metric& metric, const std::string& container) {
    names.insert(metric.name());
    ASSERT_TRUE(labels.contains(metric.name())) << metric.name();
    ASSERT_EQ(metric.label_values_size(), labels[metric.name()]) << metric.name();
    EXPECT_EQ(metric.label_values(0), "metrics");
    EXPECT_EQ(metric.label_values(1), "test");
    EXPECT_EQ(metric.label_values(2), container);
    EXPECT_TRUE(metric.has_value()) << metric.name();
  };
  for (const v1::Metric& metric : of_pod.metrics()) check(metric, "POD");
  for (const v1::Metric& metric : of_pod.container_metrics(0).metrics()) check(metric, "main");
  for (const char* name :
       {"container_cpu_usage_seconds_total", "container_memory_usage_bytes",
        "container_memory_working_set_bytes", "container_network_receive_bytes_total",
        "container_network_transmit_errors_total", "container_fs_limit_bytes",
        "container_oom_events_total", "container_processes", "container_threads",
        "container_sockets", "container_file_descriptors", "container_ulimits_soft",
        "container_last_seen", "container_start_time_seconds", "container_spec_cpu_period"}) {
    EXPECT_THAT(names, Contains(name));
  }
}

TEST_F(Stats, StreamsTellWhatListsTell) {
  for (const char* name : {"first", "second"}) StartIdle(RunPod(name));
  size_t containers = 0, pods = 0, metrics = 0;
  for (const auto& part : Read(&Stub::StreamContainerStats)) {
    EXPECT_GT(part.container_stats_size(), 0);
    containers += static_cast<size_t>(part.container_stats_size());
  }
  for (const auto& part : Read(&Stub::StreamPodSandboxStats)) {
    pods += static_cast<size_t>(part.pod_sandbox_stats_size());
  }
  for (const auto& part : Read(&Stub::StreamPodSandboxMetrics)) {
    metrics += static_cast<size_t>(part.pod_sandbox_metrics_size());
  }
  EXPECT_EQ(containers, 2u);
  EXPECT_EQ(pods, 2u);
  EXPECT_EQ(metrics, 2u);
}

TEST_F(Stats, NothingIsHeldOfWhatHasEnded) {
  RunPod("warm-up");
  Metrics();
  RemoveAllPods();
  const size_t before = DescriptorsOfDaemon();
  for (int round = 0; round < 3; ++round) {
    const Pod pod = RunPod(Cat("round-", round));
    StartIdle(pod);
    OfPod(pod.id);
    EXPECT_THAT(Metrics().pod_metrics(), SizeIs(1));
    RemoveAllPods();
  }
  EXPECT_TRUE(WaitUntil([&] { return DescriptorsOfDaemon() <= before + 2; }))
      << before << " before, " << DescriptorsOfDaemon() << " after";
}

TEST_F(Stats, GoOnAfterARestart) {
  const Pod pod = RunPod("restart");
  const std::string id = StartIdle(pod);
  const uint64_t used = Of(id).cpu().usage_core_nano_seconds().value();
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_GE(Of(id).cpu().usage_core_nano_seconds().value(), used);
  EXPECT_TRUE(OfPod(pod.id).linux().has_network());
}

}  // namespace
}  // namespace crisp
