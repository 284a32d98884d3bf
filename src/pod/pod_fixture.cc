#include "pod/pod_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "gmock/gmock.h"
#include "image/image_table.h"
#include "kernel/mount.h"
#include "kernel/netlink.h"

namespace crisp {
namespace {

// A daemon keeps its bridge for the next one, but each test is another daemon, and there are more
// tests than names.
void RemoveBridges() {
  absl::StatusOr<Netlink> netlink = Netlink::Open();
  ASSERT_TRUE(netlink.ok()) << netlink.status();
  const auto links = netlink->Links();
  ASSERT_TRUE(links.ok()) << links.status();
  for (const Link& link : *links) {
    const bool ours = link.kind == "bridge" && link.alias.starts_with("crispd ");
    if (ours) EXPECT_TRUE(netlink->DeleteLink(link.index).ok()) << link.name;
  }
}

}  // namespace

void PodTest::SetUp() {
  (void)StartLog("warn");
  char pattern[] = "/tmp/crisp-pod-XXXXXX";
  ASSERT_NE(mkdtemp(pattern), nullptr);
  folder_ = pattern;
  chmod(pattern, 0755);
  OpenRuntime();
}

void PodTest::TearDown() {
  if (runtime_ != nullptr) {
    for (const v1::PodSandbox& pod : Pods()) EXPECT_TRUE(RemovePod(pod.id()).ok());
  }
  CloseRuntime();
  RemoveBridges();
  (void)Unmount(At("netns"));
  (void)RemoveTree(State());
  (void)RemoveTree(folder_);
}

std::string PodTest::At(std::string_view name) const { return JoinPath(folder_, name); }

void PodTest::OpenRuntime() {
  ASSERT_TRUE(MakeFolders(At("root")).ok());
  auto database = Database::Open(At("root/crisp.db"));
  ASSERT_TRUE(database.ok()) << database.status();
  database_ = *std::move(database);
  if (!PathExists(At("root/layers"))) MakeImage();
  auto images = ImageStore::Open(At("root"), *database_, {});
  ASSERT_TRUE(images.ok()) << images.status();
  images_ = *std::move(images);
  NetworkOptions network;
  network.mode = "bridge";
  network.cni_conf_dir = At("cni");
  network.cni_cache_dir = At("cni-cache");
  network.netns_dir = At("netns");
  auto networks = NetworkChoice::Open(network, *database_);
  ASSERT_TRUE(networks.ok()) << networks.status();
  networks_ = *std::move(networks);
  PodOptions options;
  options.root = At("root");
  options.state = State();
  options.netns_dir = At("netns");
  options.monitor_path =
      JoinPath(FolderOf(std::filesystem::read_symlink("/proc/self/exe").string()), "crisp-monitor");
  auto runtime = PodRuntime::Open(options, *database_, *images_, *networks_);
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  runtime_ = *std::move(runtime);
  ASSERT_TRUE(runtime_->Ready().ok()) << runtime_->Ready();
}

void PodTest::CloseRuntime() {
  runtime_.reset();
  networks_.reset();
  images_.reset();
  database_.reset();
}

void PodTest::EditPod(const std::string& id, const std::function<void(record::Pod&)>& change) {
  auto database = Database::Open(At("root/crisp.db"));
  ASSERT_TRUE(database.ok()) << database.status();
  auto store = RecordStore::Open(**database);
  auto loaded = (*store)->Load();
  for (record::Pod& pod : loaded->pods) {
    if (pod.id() != id) continue;
    change(pod);
    ASSERT_TRUE((*store)->Put(pod).ok());
  }
}

void PodTest::EditContainer(const std::string& id,
                            const std::function<void(record::Container&)>& change) {
  auto database = Database::Open(At("root/crisp.db"));
  ASSERT_TRUE(database.ok()) << database.status();
  auto store = RecordStore::Open(**database);
  auto loaded = (*store)->Load();
  for (record::Container& container : loaded->containers) {
    if (container.id() != id) continue;
    change(container);
    ASSERT_TRUE((*store)->Put(container).ok());
  }
}

// An image of one layer, as a pull leaves it.
void PodTest::MakeImage() {
  const std::string rootfs = At("root/layers/1");
  for (const char* name : {"bin", "etc", "tmp", "data", "root"}) {
    ASSERT_TRUE(MakeFolders(JoinPath(rootfs, name)).ok());
  }
  chmod(JoinPath(rootfs, "tmp").c_str(), 01777);
  absl::StatusOr<std::string> busybox = ReadFile("/bin/busybox", 64 << 20);
  ASSERT_TRUE(busybox.ok()) << busybox.status();
  ASSERT_TRUE(ReplaceFile(JoinPath(rootfs, "bin/busybox"), *busybox, 0755).ok());
  for (const char* name :
       {"sh",    "cat",      "ls",  "id",   "mount", "echo", "sleep", "hostname", "grep",
        "mkdir", "touch",    "env", "kill", "ps",    "head", "yes",   "dd",       "ip",
        "true",  "readlink", "wc",  "nc",   "false", "ping", "seq",   "usleep",   "stty"}) {
    (void)symlink("busybox", JoinPath(rootfs, Cat("bin/", name)).c_str());
  }
  const std::string passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n";
  const std::string group = "root:x:0:\nuser:x:1000:\n";
  ASSERT_TRUE(ReplaceFile(JoinPath(rootfs, "etc/passwd"), passwd).ok());
  ASSERT_TRUE(ReplaceFile(JoinPath(rootfs, "etc/group"), group).ok());
  ASSERT_TRUE(ReplaceFile(JoinPath(rootfs, "data/seed"), "of the image\n").ok());
  const Json config = {
      {"architecture", "amd64"},
      {"os", "linux"},
      {"config",
       {{"Cmd", {"/bin/sh"}}, {"Env", {"PATH=/bin"}}, {"Volumes", {{"/data", Json::object()}}}}}};
  absl::StatusOr<ImageTable> table = ImageTable::Open(*database_);
  ASSERT_TRUE(table.ok()) << table.status();
  const LayerRow layer = {.number = 1, .diff_id = Cat("sha256:", std::string(64, 'd')), .bytes = 1};
  ImageRow image;
  image.id = Cat("sha256:", std::string(64, 'a'));
  image.size = 1;
  image.config = JsonText(config);
  image.passwd = passwd;
  image.group = group;
  image.layers = {1};
  image.tags = {kTestImage};
  absl::Status status = table->Commit(image, {layer});
  ASSERT_TRUE(status.ok()) << status;
}

v1::RunPodSandboxRequest PodTest::PodRequest(const std::string& name) {
  v1::RunPodSandboxRequest request;
  v1::PodSandboxConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("default");
  config.mutable_metadata()->set_uid(Cat(name, "-uid"));
  config.set_hostname(name);
  (*config.mutable_labels())["app"] = name;
  v1::NamespaceOption& spaces =
      *config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  spaces.set_pid(v1::CONTAINER);
  return request;
}

v1::CreateContainerRequest PodTest::ContainerRequest(
    const std::string& pod, const std::string& name,
    const std::vector<std::string>& command) const {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  v1::ContainerConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(kTestImage);
  for (const std::string& word : command) config.add_command(word);
  config.set_log_path(Cat(name, "/0.log"));
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      v1::CONTAINER);
  return request;
}

std::string PodTest::RunPod(const v1::RunPodSandboxRequest& wanted) {
  v1::RunPodSandboxRequest request = wanted;
  if (request.config().log_directory().empty()) {
    request.mutable_config()->set_log_directory(At("logs"));
  }
  auto response = runtime_->RunPodSandbox(request, Call{});
  EXPECT_TRUE(response.ok()) << response.status();
  return response.ok() ? response->pod_sandbox_id() : "";
}

namespace {

template <typename Answer>
Answer AsReceived(const absl::StatusOr<Answer>& answer) {
  EXPECT_TRUE(answer.ok()) << answer.status();
  Answer got;
  EXPECT_TRUE(answer.ok() && got.ParseFromString(answer->SerializeAsString()));
  return got;
}

}  // namespace

std::vector<v1::PodSandbox> PodTest::Pods(const v1::PodSandboxFilter& filter) {
  v1::ListPodSandboxRequest request;
  *request.mutable_filter() = filter;
  const auto got = AsReceived(runtime_->ListPodSandbox(request, Call{}));
  return {got.items().begin(), got.items().end()};
}

std::vector<v1::Container> PodTest::Containers(const v1::ContainerFilter& filter) {
  v1::ListContainersRequest request;
  *request.mutable_filter() = filter;
  const auto got = AsReceived(runtime_->ListContainers(request, Call{}));
  return {got.containers().begin(), got.containers().end()};
}

std::string PodTest::Create(const v1::CreateContainerRequest& request) {
  auto response = runtime_->CreateContainer(request, Call{});
  EXPECT_TRUE(response.ok()) << response.status();
  return response.ok() ? response->container_id() : "";
}

std::string PodTest::Running(const std::string& pod, const std::string& name,
                             const std::vector<std::string>& command) {
  const std::string id = Create(pod, name, command);
  absl::Status status = Start(id);
  EXPECT_TRUE(status.ok()) << status;
  return id;
}

absl::Status PodTest::Start(const std::string& id) {
  v1::StartContainerRequest request;
  request.set_container_id(id);
  return runtime_->StartContainer(request, Call{}).status();
}

absl::Status PodTest::Stop(const std::string& id, int64_t timeout, const Call& call) {
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(timeout);
  return runtime_->StopContainer(request, call).status();
}

absl::Status PodTest::Remove(const std::string& id) {
  v1::RemoveContainerRequest request;
  request.set_container_id(id);
  return runtime_->RemoveContainer(request, Call{}).status();
}

absl::Status PodTest::StopPod(const std::string& id) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return runtime_->StopPodSandbox(request, Call{}).status();
}

absl::Status PodTest::RemovePod(const std::string& id) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return runtime_->RemovePodSandbox(request, Call{}).status();
}

absl::StatusOr<v1::ExecSyncResponse> PodTest::Exec(const std::string& id,
                                                   const std::vector<std::string>& command,
                                                   int64_t timeout) {
  v1::ExecSyncRequest request;
  request.set_container_id(id);
  for (const std::string& word : command) request.add_cmd(word);
  request.set_timeout(timeout);
  return runtime_->ExecSync(request, Call{});
}

v1::ContainerStatus PodTest::Status(const std::string& id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  auto response = runtime_->ContainerStatus(request, Call{});
  EXPECT_TRUE(response.ok()) << response.status();
  return response.ok() ? response->status() : v1::ContainerStatus();
}

v1::PodSandboxStatus PodTest::PodStatus(const std::string& id) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  auto response = runtime_->PodSandboxStatus(request, Call{});
  EXPECT_TRUE(response.ok()) << response.status();
  return response.ok() ? response->status() : v1::PodSandboxStatus();
}

Json PodTest::ContainerInfo(const std::string& id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  return *ParseJson(runtime_->ContainerStatus(request, Call{})->info().at("info"), "info");
}

Json PodTest::PodInfo(const std::string& id) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  request.set_verbose(true);
  return *ParseJson(runtime_->PodSandboxStatus(request, Call{})->info().at("info"), "info");
}

v1::ContainerStatus PodTest::Await(const std::string& id, v1::ContainerState state) {
  const absl::Time end = absl::Now() + absl::Seconds(120);
  v1::ContainerStatus status = Status(id);
  while (status.state() != state && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(5));
    status = Status(id);
  }
  EXPECT_EQ(status.state(), state) << status.DebugString();
  return status;
}

std::string PodTest::Log(const std::string& name) const {
  absl::StatusOr<std::string> text = ReadFile(At(Cat("logs/", name, "/0.log")));
  return text.ok() ? *text : Cat("no log: ", FromAbsl(text.status().message()));
}

// All below the folder; what vanishes meanwhile is not there.
void PodTest::ListTree(const std::string& folder, std::vector<std::string>& paths) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    paths.push_back(entry.path());
    if (entry.is_directory(error) && !entry.is_symlink(error)) ListTree(entry.path(), paths);
  }
}

std::vector<std::string> PodTest::Traces() const {
  std::vector<std::string> traces;
  const std::string mounts = ReadFile("/proc/self/mountinfo").value_or("");
  for (const std::string_view line : Split(mounts, '\n')) {
    if (line.find(BaseName(folder_)) != std::string_view::npos) {
      traces.push_back(Cat("mount ", line));
    }
  }
  std::vector<std::string> paths;
  for (const std::string& folder :
       {At("root/containers"), At("root/trash"), At("netns"), State()}) {
    ListTree(folder, paths);
  }
  for (const std::string& path : paths) traces.push_back(Cat("file ", path));
  paths.clear();
  std::error_code error;
  ListTree("/sys/fs/cgroup", paths);
  for (const std::string& path : paths) {
    if (path.find("/crisp/") != std::string::npos && std::filesystem::is_directory(path, error)) {
      traces.push_back(Cat("cgroup ", path));
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    absl::StatusOr<std::string> line = ReadFile(Cat(entry.path().string(), "/cmdline"), 1 << 16);
    if (line.ok() && line->starts_with("crisp-monitor")) traces.push_back(Cat("process ", *line));
  }
  std::sort(traces.begin(), traces.end());
  return traces;
}

void PodTest::ExpectNoTraces(const std::vector<std::string>& before) const {
  std::vector<std::string> now;
  for (int i = 0; i < 100; ++i) {
    now = Traces();
    if (now == before) return;
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_THAT(now, testing::ElementsAreArray(before));
}

void PodTest::ExpectNoTraceOf(const std::string& word) const {
  std::vector<std::string> found;
  for (int i = 0; i < 100; ++i) {
    found = Traces();
    std::erase_if(found, [&](const std::string& trace) { return trace.find(word) == trace.npos; });
    if (found.empty()) return;
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_THAT(found, testing::IsEmpty());
}

}  // namespace crisp
