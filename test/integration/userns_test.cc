// Pods in user namespaces: NamespaceMode POD, and every namespace, volume and process that belongs
// to it.
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::StartsWith;

constexpr uint32_t kRoot = 300000;
constexpr uint32_t kLength = 65536;

class UserNamespaces : public NodeTest {
 protected:
  static v1::NamespaceOption* NamespacesIn(v1::PodSandboxConfig& config) {
    return config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  }
  template <typename Field>
  static void AddRange(Field* mapping) {
    mapping->set_host_id(kRoot);
    mapping->set_container_id(0);
    mapping->set_length(kLength);
  }
  v1::PodSandboxConfig Mapped(const std::string& name) const {
    v1::PodSandboxConfig config = PodConfig(name);
    v1::UserNamespace* userns = NamespacesIn(config)->mutable_userns_options();
    userns->set_mode(v1::POD);
    AddRange(userns->add_uids());
    AddRange(userns->add_gids());
    return config;
  }
  // A container that says the same as its pod, as kubelet does.
  v1::ContainerConfig In(const Pod& pod, const std::string& script) const {
    v1::ContainerConfig config = ContainerConfig("main", Shell(script));
    *config.mutable_linux()->mutable_security_context()->mutable_namespace_options() =
        pod.config.linux().security_context().namespace_options();
    return config;
  }
  static uint32_t OwnerOf(const std::string& path) {
    struct stat about = {};
    return ::lstat(path.c_str(), &about) == 0 ? about.st_uid : ~0u;
  }
};

TEST_F(UserNamespaces, StatusSaysThatThereAreSome) {
  const v1::StatusResponse status =
      Must(cri().Call(&CriClient::RuntimeStub::Status, v1::StatusRequest()));
  for (const v1::RuntimeHandler& handler : status.runtime_handlers()) {
    EXPECT_EQ(handler.features().user_namespaces(), handler.name() != "runsc") << handler.name();
  }
  EXPECT_TRUE(status.features().user_namespaces_host_network());
}

TEST_F(UserNamespaces, RootInsideIsAnotherOutside) {
  const Pod pod = RunPod(Mapped("mapped"));
  const std::string map = "         0     300000      65536\n";
  EXPECT_EQ(RunToEnd(pod, In(pod, "id -u; cat /proc/self/uid_map /proc/self/gid_map")),
            "0\n" + map + map);
}

TEST_F(UserNamespaces, ThePodsThingsBelongToItsRoot) {
  const Pod pod = RunPod(Mapped("owned"));
  const std::string id = Start(
      pod, In(pod, "touch /made /dev/shm/made; trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  EXPECT_EQ(Exec(id,
                 "stat -c %u /made /dev/shm /dev/shm/made /etc/hosts /etc/hostname "
                 "/etc/resolv.conf /bin /proc/1 | sort -u"),
            "0");
  EXPECT_EQ(Exec(id, "echo '10.0.0.1 other' >>/etc/hosts && grep -c other /etc/hosts"), "1");
  EXPECT_EQ(Exec(id, "cat /proc/self/uid_map"), "         0     300000      65536");
  EXPECT_EQ(Exec(id, "cat /proc/sys/net/ipv4/ping_group_range | tr '\\t' ' '"), "0 65535");
  EXPECT_EQ(Exec(id, "hostname"),
            pod.config.hostname().empty() ? Exec(id, "cat /etc/hostname") : pod.config.hostname());
  EXPECT_EQ(Exec(id, "ip addr show eth0 | grep -c 'inet '"), "1");
}

TEST_F(UserNamespaces, ContainersOfThePodShareTheirProcesses) {
  v1::PodSandboxConfig config = Mapped("shared");
  NamespacesIn(config)->set_pid(v1::POD);
  const Pod pod = RunPod(config);
  const std::string id = Start(pod, In(pod, "trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  EXPECT_EQ(Exec(id, "stat -c %u /proc/1; grep -c crisp-pod-init /proc/1/status"), "0\n1");
}

TEST_F(UserNamespaces, Volumes) {
  const std::string mapped = folder() / "volumes/mapped", plain = folder() / "volumes/plain";
  for (const std::string& path : {mapped, plain}) {
    ASSERT_THAT(MakeFolders(path), IsOk());
    ASSERT_THAT(ReplaceFile(JoinPath(path, "file"), "text\n", 0644), IsOk());
  }
  const Pod pod = RunPod(Mapped("volumes"));
  v1::ContainerConfig config =
      In(pod, "stat -c %u /mapped/file /plain/file; touch /mapped/new; ! touch /plain/new");
  v1::Mount* mount = config.add_mounts();
  mount->set_container_path("/mapped");
  mount->set_host_path(mapped);
  AddRange(mount->add_uidmappings());
  AddRange(mount->add_gidmappings());
  mount = config.add_mounts();
  mount->set_container_path("/plain");
  mount->set_host_path(plain);
  EXPECT_THAT(RunToEnd(pod, config), StartsWith("0\n65534\n"));
  EXPECT_EQ(OwnerOf(JoinPath(mapped, "new")), 0u);
}

// Programs of the configuration only join it: layers and volumes are mapped for them, and no folder
// on the way to a volume has to be open to others.
TEST_F(UserNamespaces, OciRuntimesJoinThem) {
  const std::string closed = folder() / "volumes/closed", volume = JoinPath(closed, "volume");
  for (const std::string handler : {"crun", "runc"}) {
    ASSERT_THAT(MakeFolders(volume), IsOk());
    ASSERT_EQ(::chmod(closed.c_str(), 0700), 0);
    const Pod pod = RunPod(Mapped(handler), handler);
    v1::ContainerConfig config = In(pod,
                                    "id -u; cat /proc/self/uid_map; stat -c %u /bin /volume; "
                                    "touch /volume/new; echo out >/dev/stdout; sleep 1000");
    v1::Mount* mount = config.add_mounts();
    mount->set_container_path("/volume");
    mount->set_host_path(volume);
    AddRange(mount->add_uidmappings());
    AddRange(mount->add_gidmappings());
    const std::string id = Start(pod, config);
    EXPECT_TRUE(
        WaitUntil([&] { return LogText(LogPath(pod, "main")).find("out") != std::string::npos; }));
    EXPECT_EQ(LogText(LogPath(pod, "main")), "0\n         0     300000      65536\n0\n0\nout\n")
        << handler;
    EXPECT_EQ(OwnerOf(JoinPath(volume, "new")), 0u) << handler;
    EXPECT_EQ(Exec(id, "id -u; echo err >/dev/stderr; cat /proc/1/uid_map"),
              "0\n         0     300000      65536");
    ASSERT_THAT(RemoveTree(volume), IsOk());
  }
}

TEST_F(UserNamespaces, AnotherUserAndADefaultSeccompProfile) {
  const Pod pod = RunPod(Mapped("user"));
  v1::ContainerConfig config = In(pod,
                                  "id -u; echo out >/dev/stdout; "
                                  "sed -n 's/^Seccomp:\\t*//p' /proc/self/status");
  auto* context = config.mutable_linux()->mutable_security_context();
  context->mutable_run_as_user()->set_value(1000);
  context->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(RunToEnd(pod, config), "1000\nout\n2\n");
}

TEST_F(UserNamespaces, WithTheHostsNamespaces) {
  v1::PodSandboxConfig pod_config = Mapped("hosts");
  NamespacesIn(pod_config)->set_network(v1::NODE);
  NamespacesIn(pod_config)->set_ipc(v1::NODE);
  NamespacesIn(pod_config)->set_pid(v1::NODE);
  const Pod pod = RunPod(pod_config);
  EXPECT_EQ(RunToEnd(pod, In(pod,
                             "id -u; ls /sys/class/net | grep -c lo; "
                             "touch /sys/x 2>&1 | grep -c 'Read-only'; "
                             "test -d /proc/1 && echo pids")),
            "0\n1\n1\npids\n");
}

TEST_F(UserNamespaces, Devices) {
  v1::PodSandboxConfig pod_config = Mapped("devices");
  const Pod pod = RunPod(pod_config);
  v1::ContainerConfig config = In(pod, "head -c 3 /dev/own-zero | wc -c; echo x >/dev/null");
  v1::Device* device = config.add_devices();
  device->set_host_path("/dev/zero");
  device->set_container_path("/dev/own-zero");
  device->set_permissions("rw");
  EXPECT_EQ(RunToEnd(pod, config), "3\n");
}

TEST_F(UserNamespaces, ARestartedDaemonKnowsThem) {
  const Pod pod = RunPod(Mapped("restart"));
  const std::string id = Start(pod, In(pod, "trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Exec(id, "id -u"), "0");
}

TEST_F(UserNamespaces, BadOnesAreRefused) {
  const auto run = [&](const v1::PodSandboxConfig& config) { return cri().RunPod(config); };
  v1::PodSandboxConfig config = Mapped("bad");
  AddRange(NamespacesIn(config)->mutable_userns_options()->add_uids());
  EXPECT_THAT(run(config), Fails(StatusCode::kInvalidArgument, "exactly one range"));
  config = Mapped("bad");
  NamespacesIn(config)->mutable_userns_options()->mutable_uids(0)->set_container_id(1);
  EXPECT_THAT(run(config), Fails(StatusCode::kInvalidArgument, "does not map"));
  for (const v1::NamespaceMode mode : {v1::CONTAINER, v1::TARGET}) {
    config = Mapped("bad");
    NamespacesIn(config)->mutable_userns_options()->set_mode(mode);
    EXPECT_THAT(run(config), Fails(StatusCode::kInvalidArgument, "only POD and NODE"));
  }
  const Pod pod = RunPod("plain");
  EXPECT_THAT(cri().CreateContainer(pod.id, In({pod.id, Mapped("x")}, "true"), pod.config),
              Fails(StatusCode::kInvalidArgument, "is not that of the pod"));
}

}  // namespace
}  // namespace crisp
