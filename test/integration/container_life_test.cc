// Containers from CreateContainer to RemoveContainer: states, ends, stopping, names, what the
// process gets to see.
#include <sys/mount.h>
#include <sys/stat.h>

#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class ContainerLife : public NodeTest {};

TEST_F(ContainerLife, StatesAndTimes) {
  const Pod pod = RunPod("states");
  v1::ContainerConfig config = ContainerConfig("main", Shell("sleep 0.2"));
  (*config.mutable_labels())["io.kubernetes.container.name"] = "main";
  (*config.mutable_annotations())["io.kubernetes.container.hash"] = "abc";
  const std::string id = Create(pod, config);
  EXPECT_THAT(id, SizeIs(64));
  v1::ContainerStatus status = Must(cri().ContainerStatus(id));
  EXPECT_EQ(status.state(), v1::CONTAINER_CREATED);
  EXPECT_GT(status.created_at(), 0);
  EXPECT_EQ(status.started_at(), 0);
  EXPECT_EQ(status.finished_at(), 0);
  EXPECT_EQ(status.image().image(), kBusybox);
  EXPECT_THAT(status.image_ref(), Not(IsEmpty()));
  EXPECT_EQ(status.log_path(), LogPath(pod, "main"));
  EXPECT_EQ(status.labels().at("io.kubernetes.container.name"), "main");
  EXPECT_EQ(status.annotations().at("io.kubernetes.container.hash"), "abc");

  EXPECT_THAT(cri().StartContainer(id), IsOk());
  status = WaitExited(id);
  EXPECT_EQ(status.exit_code(), 0);
  EXPECT_EQ(status.reason(), "Completed");
  EXPECT_GE(status.started_at(), status.created_at());
  EXPECT_GE(status.finished_at(), status.started_at() + 100'000'000);

  const auto list = Must(cri().ListContainers());
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0].pod_sandbox_id(), pod.id);
  EXPECT_EQ(list[0].state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(list[0].image_id(), Must(cri().ImageStatus(kBusybox))->id());
  EXPECT_EQ(status.image_id(), list[0].image_id());
}

TEST_F(ContainerLife, ExitCodesAndReasons) {
  const Pod pod = RunPod("exits");
  v1::ContainerStatus status = WaitExited(Start(pod, "three", Shell("exit 3")));
  EXPECT_EQ(status.exit_code(), 3);
  EXPECT_EQ(status.reason(), "Error");
  status = WaitExited(Start(pod, "signal", Shell("kill -SEGV $$")));
  // As process 1 of its namespace the shell ignores what it does not handle.
  EXPECT_THAT(status.exit_code(), AnyOf(0, 139));
  const std::string idle = Start(pod, "killed", {"sleep", "1000"});
  EXPECT_THAT(cri().StopContainer(idle, 0), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(idle)).exit_code(), 137);
}

TEST_F(ContainerLife, AMissingProgramIsAStartError) {
  const Pod pod = RunPod("missing");
  const std::string id = Create(pod, ContainerConfig("main", {"/no/such/program"}));
  EXPECT_THAT(cri().StartContainer(id).message(), HasSubstr("/no/such/program"));
  const v1::ContainerStatus status = Must(cri().ContainerStatus(id));
  EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_THAT(status.message(), HasSubstr("/no/such/program"));
  EXPECT_GT(status.finished_at(), 0);
  EXPECT_THAT(cri().StopContainer(id, 1), IsOk());
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
}

TEST_F(ContainerLife, StopsByTheSignalOfItsConfiguration) {
  const Pod pod = RunPod("signals");
  const char* script = "trap 'exit 11' TERM; trap 'exit 12' USR1; while :; do sleep 0.05; done";
  const std::string plain = Start(pod, "plain", Shell(script));
  v1::ContainerConfig config = ContainerConfig("usr1", Shell(script));
  config.set_stop_signal(v1::SIGNAL_SIGUSR1);
  const std::string usr1 = Start(pod, config);
  EXPECT_EQ(Must(cri().ContainerStatus(usr1)).stop_signal(), v1::SIGNAL_SIGUSR1);
  EXPECT_EQ(Must(cri().ContainerStatus(plain)).stop_signal(), v1::SIGNAL_SIGTERM);
  // The trap stands once the shell loops.
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_THAT(cri().StopContainer(plain, 20), IsOk());
  EXPECT_THAT(cri().StopContainer(usr1, 20), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(plain)).exit_code(), 11);
  EXPECT_EQ(Must(cri().ContainerStatus(usr1)).exit_code(), 12);
}

TEST_F(ContainerLife, StopsByTheSignalOfItsImage) {
  TestImage image = BusyboxImage();
  image.config["StopSignal"] = "SIGINT";
  registry().Push("stopsignal:latest", image);
  ASSERT_THAT(cri().Pull("registry.test/stopsignal:latest"), IsOk());
  const Pod pod = RunPod("image-signal");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("trap 'exit 13' INT; while :; do sleep 0.05; done"));
  config.mutable_image()->set_image("registry.test/stopsignal:latest");
  const std::string id = Start(pod, config);
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_THAT(cri().StopContainer(id, 20), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(id)).exit_code(), 13);
}

TEST_F(ContainerLife, IsKilledWhenItsGraceIsOver) {
  const Pod pod = RunPod("grace");
  const std::string id = Start(pod, "main", Shell("trap '' TERM; while :; do sleep 0.05; done"));
  EXPECT_THAT(cri().StopContainer(id, 1), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(id)).exit_code(), 137);
  EXPECT_THAT(cri().StopContainer(id, 1), IsOk());
}

TEST_F(ContainerLife, ACallerThatGivesUpDoesNotKill) {
  const Pod pod = RunPod("patience");
  const std::string id = Start(pod, "main", Shell("trap '' TERM; while :; do sleep 0.05; done"));
  cri().set_limit(absl::Milliseconds(400));
  EXPECT_THAT(cri().StopContainer(id, 1000), Fails(StatusCode::kDeadlineExceeded, ""));
  cri().set_limit(absl::Minutes(2));
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
  EXPECT_THAT(cri().StopContainer(id, 0), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_EXITED);
}

TEST_F(ContainerLife, RemoveKillsAndKeepsTheLog) {
  const Pod pod = RunPod("rm");
  const std::string id = Start(pod, "main", Shell("echo hello; sleep 1000"));
  ASSERT_TRUE(WaitUntil([&] { return LogText(LogPath(pod, "main")) == "hello\n"; }));
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
  EXPECT_THAT(cri().ContainerStatus(id), Fails(StatusCode::kNotFound, id));
  EXPECT_EQ(LogText(LogPath(pod, "main")), "hello\n");
}

TEST_F(ContainerLife, ARepeatedCreateGetsTheSameContainer) {
  const Pod pod = RunPod("names");
  v1::ContainerConfig config = ContainerConfig("main", {"sleep", "1000"});
  const std::string first = Create(pod, config);
  EXPECT_EQ(Create(pod, config), first);
  config.mutable_metadata()->set_attempt(1);
  EXPECT_NE(Create(pod, config), first);
  EXPECT_THAT(Must(cri().ListContainers()), SizeIs(2));
}

TEST_F(ContainerLife, StartsOnlyOnce) {
  const Pod pod = RunPod("twice");
  const std::string id = StartIdle(pod);
  EXPECT_THAT(cri().StartContainer(id), Fails(StatusCode::kFailedPrecondition, id));
  EXPECT_THAT(cri().StopContainer(id, 10), IsOk());
  EXPECT_THAT(cri().StartContainer(id), Fails(StatusCode::kFailedPrecondition, id));
}

TEST_F(ContainerLife, ListFilters) {
  const Pod one = RunPod("one");
  const Pod two = RunPod("two");
  const std::string running = StartIdle(one);
  const std::string created = Create(two, ContainerConfig("waiting", {"true"}));
  v1::ContainerFilter filter;
  filter.set_pod_sandbox_id(one.id);
  ASSERT_THAT(Must(cri().ListContainers(filter)), SizeIs(1));
  EXPECT_EQ(Must(cri().ListContainers(filter))[0].id(), running);
  filter.Clear();
  filter.mutable_state()->set_state(v1::CONTAINER_CREATED);
  ASSERT_THAT(Must(cri().ListContainers(filter)), SizeIs(1));
  EXPECT_EQ(Must(cri().ListContainers(filter))[0].id(), created);
  filter.set_pod_sandbox_id(one.id);
  EXPECT_THAT(Must(cri().ListContainers(filter)), IsEmpty());
}

TEST_F(ContainerLife, EnvironmentArgumentsAndFolder) {
  TestImage image = BusyboxImage();
  image.config = {{"Env", {"PATH=/bin", "FROM=image", "BOTH=image"}},
                  {"Entrypoint", {"echo", "entry"}},
                  {"Cmd", {"default"}},
                  {"WorkingDir", "/www"}};
  registry().Push("settings:latest", image);
  ASSERT_THAT(cri().Pull("registry.test/settings:latest"), IsOk());
  const Pod pod = RunPod("settings");
  const auto run = [&](const std::string& name, std::vector<std::string> command,
                       std::vector<std::string> arguments) {
    v1::ContainerConfig config = ContainerConfig(name, command);
    config.mutable_image()->set_image("registry.test/settings:latest");
    config.mutable_args()->Add(arguments.begin(), arguments.end());
    auto* env = config.add_envs();
    env->set_key("BOTH");
    env->set_value("ours");
    return RunToEnd(pod, config);
  };
  EXPECT_EQ(run("a", {}, {}), "entry default\n");
  EXPECT_EQ(run("b", {}, {"given"}), "entry given\n");
  EXPECT_EQ(run("c", {"echo", "command"}, {}), "command\n");
  EXPECT_EQ(run("d", {"echo", "command"}, {"given"}), "command given\n");
  EXPECT_EQ(run("e", {"sh", "-c", "echo $FROM $BOTH; pwd"}, {}), "image ours\n/www\n");

  v1::ContainerConfig config = ContainerConfig("folder", Shell("pwd"));
  config.set_working_dir("/made/for/this");
  EXPECT_EQ(RunToEnd(pod, config), "/made/for/this\n");
}

TEST_F(ContainerLife, MountsAreShownAndReported) {
  const std::string host = folder() / "volumes";
  ASSERT_TRUE(MakeFolders(host + "/data").ok());
  ASSERT_TRUE(ReplaceFile(host + "/data/file", "content\n").ok());
  ASSERT_EQ(symlink("data", (host + "/link").c_str()), 0);
  const Pod pod = RunPod("mounts");
  v1::ContainerConfig config = ContainerConfig(
      "main", Shell("cat /a/file /b/file /c; echo new > /a/new; ! echo no > /b/no; ls /made"));
  const auto add = [&](const std::string& container_path, const std::string& host_path,
                       bool readonly) {
    v1::Mount* mount = config.add_mounts();
    mount->set_container_path(container_path);
    mount->set_host_path(host_path);
    mount->set_readonly(readonly);
  };
  add("/a", host + "/data", false);
  add("/b", host + "/link", true);
  add("/c", host + "/data/file", true);
  add("/made", host + "/not/there/yet", false);
  const std::string text = RunToEnd(pod, config);
  EXPECT_THAT(text, HasSubstr("content\ncontent\ncontent\n"));
  EXPECT_EQ(ReadFile(host + "/data/new").value_or(""), "new\n");
  const auto list = Must(cri().ListContainers());
  ASSERT_THAT(list, SizeIs(1));
  const v1::ContainerStatus status = Must(cri().ContainerStatus(list[0].id()));
  ASSERT_EQ(status.mounts_size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(status.mounts(i).container_path(), config.mounts(i).container_path());
    EXPECT_EQ(status.mounts(i).host_path(), config.mounts(i).host_path());
    EXPECT_EQ(status.mounts(i).readonly(), config.mounts(i).readonly());
  }
}

// Kubernetes allows such a mountPath; it counts from the container's root.
TEST_F(ContainerLife, ARelativeContainerPathIsBelowTheRoot) {
  const std::string host = folder() / "volumes";
  ASSERT_TRUE(MakeFolders(host).ok());
  ASSERT_TRUE(ReplaceFile(host + "/file", "content\n").ok());
  v1::ContainerConfig config = ContainerConfig("main", Shell("cat /relative/file"));
  config.set_working_dir("/tmp");
  config.add_mounts()->set_container_path("relative");
  config.mutable_mounts(0)->set_host_path(host);
  EXPECT_EQ(RunToEnd(RunPod("relative"), config), "content\n");
  EXPECT_EQ(
      Must(cri().ContainerStatus(Must(cri().ListContainers())[0].id())).mounts(0).container_path(),
      "relative");
}

TEST_F(ContainerLife, MountsPropagate) {
  const std::string host = folder() / "volumes/shared";
  ASSERT_TRUE(MakeFolders(host + "/later").ok());
  ASSERT_EQ(mount(host.c_str(), host.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(mount(nullptr, host.c_str(), nullptr, MS_SHARED, nullptr), 0);
  const Pod pod = RunPod("propagation");
  const auto start = [&](const std::string& name, v1::MountPropagation propagation) {
    v1::ContainerConfig config =
        ContainerConfig(name, Shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"));
    v1::Mount* mount = config.add_mounts();
    mount->set_container_path("/shared");
    mount->set_host_path(host);
    mount->set_propagation(propagation);
    return Start(pod, config);
  };
  const std::string closed = start("private", v1::PROPAGATION_PRIVATE);
  const std::string open = start("slave", v1::PROPAGATION_HOST_TO_CONTAINER);
  ASSERT_EQ(mount("tmpfs", (host + "/later").c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_TRUE(ReplaceFile(host + "/later/file", "seen").ok());
  EXPECT_EQ(Exec(open, "cat /shared/later/file"), "seen");
  EXPECT_EQ(Exec(closed, "ls /shared/later"), "");
  EXPECT_EQ(umount2((host + "/later").c_str(), MNT_DETACH), 0);
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_EQ(umount2(host.c_str(), MNT_DETACH), 0);
}

TEST_F(ContainerLife, ReadOnlyRoot) {
  const Pod pod = RunPod("readonly");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("! touch /x && touch /dev/shm/y && echo fine"));
  config.mutable_linux()->mutable_security_context()->set_readonly_rootfs(true);
  EXPECT_THAT(RunToEnd(pod, config), HasSubstr("fine\n"));
}

TEST_F(ContainerLife, ImageVolumesStartWithTheImagesContent) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer()
                .Folder("data", 0750, 1000, 1000)
                .File("data/seed", "seed\n", 0640, 1000, 1000)
                .Tar());
  image.config["Volumes"] = {{"/data", nlohmann::json::object()}};
  registry().Push("volumes:latest", image);
  ASSERT_THAT(cri().Pull("registry.test/volumes:latest"), IsOk());
  const Pod pod = RunPod("volumes");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("cat /data/seed; stat -c '%u:%g %a' /data; grep -c ' /data ' "
                                    "/proc/mounts; echo x > /data/new"));
  config.mutable_image()->set_image("registry.test/volumes:latest");
  EXPECT_EQ(RunToEnd(pod, config), "seed\n1000:1000 750\n1\n");
}

TEST_F(ContainerLife, MemoryLimitKillsAndSaysSo) {
  const Pod pod = RunPod("oom");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("dd if=/dev/zero of=/dev/null bs=200M count=1"));
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(32 << 20);
  const std::string id = Start(pod, config);
  EXPECT_EQ(Must(cri().ContainerStatus(id)).resources().linux().memory_limit_in_bytes(), 32 << 20);
  const v1::ContainerStatus status = WaitExited(id);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "OOMKilled");
}

TEST_F(ContainerLife, LimitsAreInTheCgroup) {
  const Pod pod = RunPod("limits");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"));
  auto* resources = config.mutable_linux()->mutable_resources();
  resources->set_memory_limit_in_bytes(64 << 20);
  resources->set_cpu_shares(512);
  resources->set_oom_score_adj(500);
  const std::string id = Start(pod, config);
  EXPECT_EQ(Exec(id, "cat /proc/1/oom_score_adj"), "500");
  EXPECT_EQ(Exec(id,
                 "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max "
                 "2>/dev/null || true"),
            Cat(64 << 20));
}

TEST_F(ContainerLife, OutlivesItsImage) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("own", "own\n").Tar());
  registry().Push("gone:latest", image);
  ASSERT_THAT(cri().Pull("registry.test/gone:latest"), IsOk());
  const Pod pod = RunPod("image-gone");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"));
  config.mutable_image()->set_image("registry.test/gone:latest");
  const std::string id = Start(pod, config);
  EXPECT_THAT(cri().RemoveImage("registry.test/gone:latest"), IsOk());
  EXPECT_FALSE(Must(cri().ImageStatus("registry.test/gone:latest")).has_value());
  EXPECT_EQ(Exec(id, "cat /own"), "own");
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
  EXPECT_THAT(cri().StopContainer(id, 10), IsOk());
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
}

TEST_F(ContainerLife, WritesStayInItsOwnLayer) {
  const Pod pod = RunPod("layers");
  const std::string one = StartIdle(pod, "one");
  const std::string two = StartIdle(pod, "two");
  Exec(one, "echo changed > /www/index.html; rm /etc/group; mkdir /new");
  EXPECT_EQ(Exec(two, "cat /www/index.html; ls -d /etc/group /new 2>/dev/null || true"),
            "<p>a page</p>\n/etc/group");
}

TEST_F(ContainerLife, ATerminalIsAllStdout) {
  const Pod pod = RunPod("tty");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("test -t 0 && tty; echo err >&2; echo $TERM"));
  config.set_tty(true);
  const std::string text = RunToEnd(pod, config);
  EXPECT_THAT(text, HasSubstr("/dev/"));
  EXPECT_THAT(text, HasSubstr("xterm"));
  EXPECT_EQ(LogText(LogPath(pod, "main"), "stderr"), "");
}

TEST_F(ContainerLife, TargetPidNamespace) {
  const Pod pod = RunPod("target");
  const std::string main = StartIdle(pod, "main");
  v1::ContainerConfig config =
      ContainerConfig("debug", Shell("readlink /proc/self/ns/pid; sleep 1000"));
  auto* options = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_pid(v1::TARGET);
  options->set_target_id(main);
  const std::string debug = Start(pod, config);
  EXPECT_EQ(Exec(debug, "readlink /proc/self/ns/pid"), Exec(main, "readlink /proc/self/ns/pid"));
  EXPECT_THAT(Exec(main, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), HasSubstr("sleep 1000"));
}

TEST_F(ContainerLife, NothingIsLeftWhenItEnds) {
  const Pod pod = RunPod("tidy");
  WaitExited(Start(pod, "first", {"true"}));
  const NodeState before = State();
  for (int i = 0; i < 3; ++i) {
    const std::string id = Start(pod, Cat("c", i), {"true"});
    WaitExited(id);
    EXPECT_THAT(cri().RemoveContainer(id), IsOk());
  }
  EXPECT_THAT(NewSince(before), IsEmpty());
}

}  // namespace
}  // namespace crisp
