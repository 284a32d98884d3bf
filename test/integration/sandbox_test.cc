// Sandboxes: containers that gVisor's runsc runs, each with a kernel of its own. What crisp does
// otherwise for them than for those of the host's kernel, and that the rest is the same. NodeTest
// sees in the end that neither a sandbox nor a gofer is left.
#include <signal.h>
#include <sys/mount.h>

#include <thread>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/text.h"
#include "bench/process_usage.h"
#include "test/integration/crisp_session.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class Sandboxes : public NodeTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(PathExists(CRISP_TEST_RUNSC)) << "run test/tools/build runsc first";
    NodeTest::SetUp();
  }
  // "slow" takes a while for each exec.
  std::string ExtraConfig() override {
    const std::string program = folder() / "slow";
    EXPECT_THAT(ReplaceFile(program,
                            "#!/bin/sh\ncase \"$*\" in *' exec '*) sleep 2 ;; esac\n"
                            "exec " CRISP_TEST_RUNSC " \"$@\"\n",
                            0755),
                IsOk());
    return Cat("[[runtime]]\nname = \"slow\"\nkind = \"runsc\"\npath = \"", program, "\"\n");
  }

  Pod RunSandboxed(const std::string& name, const std::string& handler = "runsc") {
    return RunPod(PodConfig(name), handler);
  }
  // Of all processes in the container.
  std::string Commands(const std::string& container) {
    return Exec(container, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
  }
  bool Runs(const std::string& container, const std::string& command) {
    return WaitUntil([&] { return absl::StrContains(Commands(container), command); });
  }
  ::testing::AssertionResult Ends(const std::string& container, const std::string& command) {
    if (WaitUntil([&] { return !absl::StrContains(Commands(container), command); })) {
      return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << command << " still runs";
  }
};

TEST_F(Sandboxes, LiveTheSameLifeOnAKernelOfTheirOwn) {
  const Pod pod = RunSandboxed("life");
  const std::string id = Start(
      pod, "main", Shell("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"));
  EXPECT_THAT(Exec(id, "dmesg"), HasSubstr("gVisor"));
  EXPECT_EQ(Exec(id, "hostname"), "life");
  EXPECT_EQ(Must(cri().ExecSync(id, Shell("echo err >&2; exit 7"))).exit_code(), 7);
  EXPECT_THAT(cri().ExecSync(id, {"/bin/absent"}), Fails(StatusCode::kNotFound, "/bin/absent"));
  EXPECT_THAT(cri().StopContainer(id, 10), IsOk());
  EXPECT_EQ(WaitExited(id).exit_code(), 5);
  EXPECT_EQ(LogText(LogPath(pod, "main")), "up\nbye\n");

  const std::string deaf =
      Start(pod, "deaf", Shell("trap '' TERM; touch /deaf; while :; do sleep 0.1; done"));
  Exec(deaf, "until [ -e /deaf ]; do sleep 0.1; done");
  EXPECT_THAT(cri().StopContainer(deaf, 1), IsOk());
  EXPECT_EQ(WaitExited(deaf).exit_code(), 137);

  const std::string absent = Create(pod, ContainerConfig("absent", {"/bin/absent"}));
  EXPECT_THAT(cri().StartContainer(absent), Fails(StatusCode::kNotFound, "/bin/absent"));
  EXPECT_EQ(Must(cri().ContainerStatus(absent)).reason(), "StartError");
}

TEST_F(Sandboxes, TerminalsAndAttachedClients) {
  const Pod pod = RunSandboxed("terminals");
  v1::ContainerConfig config = ContainerConfig(
      "main", Shell("trap 'exit 0' TERM; while read x; do stty size; echo \"<$x>\"; done"));
  config.set_stdin(true);
  config.set_tty(true);
  Start(pod, config);
  CrispSession attached(daemon().endpoint(), {"attach", "-it", "main"},
                        CrispSession::Input::kTerminal);
  attached.Say("hello\n");
  EXPECT_THAT(attached.ReadUntil("<hello>\r\n"), HasSubstr("40 100\r\n"));
  attached.Resize({50, 20});
  attached.Say("again\n");
  EXPECT_THAT(attached.ReadUntil("<again>\r\n"), HasSubstr("20 50\r\n"));

  CrispSession exec(daemon().endpoint(),
                    {"exec", "-it", "main", "sh", "-c",
                     "read x; until stty size | grep '40 100'; do sleep 0.05; done; exit 7"},
                    CrispSession::Input::kTerminal);
  exec.Say("a\n");
  EXPECT_THAT(exec.ReadUntil("40 100\r\n"), HasSubstr("40 100\r\n"));
  EXPECT_EQ(exec.Wait(), 7);
}

TEST_F(Sandboxes, AnExecsEndIsItsEndInTheSandbox) {
  const std::string id = StartIdle(RunSandboxed("timeout"));
  std::thread other(
      [&] { EXPECT_EQ(Must(cri().ExecSync(id, Shell("sleep 5; exit 3"), 60)).exit_code(), 3); });
  EXPECT_THAT(cri().ExecSync(id, Shell("sleep 7654 & sleep 7656"), 1),
              Fails(StatusCode::kDeadlineExceeded, ""));
  EXPECT_TRUE(Ends(id, "sleep 765"));
  // Whose client leaves.
  {
    CrispSession exec(daemon().endpoint(), {"exec", "idle", "sleep", "7657"});
    EXPECT_TRUE(Runs(id, "sleep 7657"));
    exec.Signal(SIGKILL);
    exec.Wait();
  }
  EXPECT_TRUE(Ends(id, "sleep 7657"));
  // What an exec that ended left behind is nobody's to kill.
  EXPECT_EQ(Exec(id, "sleep 7658 >/dev/null 2>&1 & echo done"), "done");
  other.join();
  EXPECT_THAT(Commands(id), HasSubstr("sleep 7658"));
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
}

TEST_F(Sandboxes, AnExecIsKilledThatOnlyStarts) {
  const std::string id = StartIdle(RunSandboxed("early", "slow"));
  cri().set_limit(absl::Seconds(1));
  EXPECT_THAT(cri().ExecSync(id, {"sleep", "7659"}, 0), Fails(StatusCode::kDeadlineExceeded, ""));
  cri().set_limit(absl::Minutes(2));
  // This one starts later than the other.
  EXPECT_EQ(Exec(id, "echo on"), "on");
  EXPECT_TRUE(Ends(id, "sleep 7659"));
}

TEST_F(Sandboxes, ContainersOfAPodShareItsNetwork) {
  const Pod pod = RunSandboxed("network");
  const std::vector<std::string> server = {"httpd", "-f", "-p", "8080", "-h", "/www"};
  const std::string first = Start(pod, "server", server);
  const std::string client = StartIdle(pod);
  const std::string ask = "until wget -qO- http://127.0.0.1:8080/; do sleep 0.1; done 2>/dev/null";
  EXPECT_EQ(Exec(client, ask), "<p>a page</p>");
  EXPECT_THAT(cri().StopContainer(first, 0), IsOk());
  v1::ContainerConfig again = ContainerConfig("server", server);
  again.mutable_metadata()->set_attempt(1);
  Start(pod, again);
  EXPECT_EQ(Exec(client, ask), "<p>a page</p>");
}

TEST_F(Sandboxes, VolumesAreSharedAndSealed) {
  const std::string volume = folder() / "volumes/shared";
  ASSERT_THAT(MakeFolders(volume + "/below"), IsOk());
  ASSERT_EQ(mount("none", (volume + "/below").c_str(), "tmpfs", 0, nullptr), 0);
  const Pod pod = RunSandboxed("volumes");
  v1::ContainerConfig config = ContainerConfig(
      "main", Shell("trap 'exit 0' TERM; echo here >/open/file; while :; do sleep 0.1; done"));
  for (const char* path : {"/open", "/sealed"}) {
    v1::Mount* mount = config.add_mounts();
    mount->set_container_path(path);
    mount->set_host_path(volume);
    mount->set_readonly(path == std::string_view("/sealed"));
    mount->set_recursive_read_only(mount->readonly());
  }
  const std::string id = Start(pod, config);
  EXPECT_EQ(Exec(id, "until cat /sealed/file; do sleep 0.1; done 2>/dev/null"), "here");
  EXPECT_EQ(Must(ReadFile(volume + "/file")), "here\n");
  EXPECT_EQ(Exec(id, "touch /open/below/new && ls /sealed/below"), "new");
  EXPECT_THAT(Exec(id, "touch /sealed/x 2>&1 || touch /sealed/below/x 2>&1 || true"),
              HasSubstr("/sealed/below/x: Read-only file system"));
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
  ASSERT_EQ(umount((volume + "/below").c_str()), 0);
}

TEST_F(Sandboxes, LimitsAndFiguresAreTheHosts) {
  constexpr int64_t kMiB = 1 << 20;
  const Pod pod = RunSandboxed("limits");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(200 * kMiB);
  const std::string id = Start(pod, config);
  const auto limit = [&] {
    const std::string path = Cat("/crisp/", pod.id, "/", id);
    const auto v2 = ReadFile(Cat("/sys/fs/cgroup", path, "/memory.max"));
    const auto v1 = ReadFile(Cat("/sys/fs/cgroup/memory", path, "/memory.limit_in_bytes"));
    return v2.ok() ? *v2 : v1.ok() ? *v1 : v1.status().ToString();
  };
  EXPECT_EQ(limit(), Cat(200 * kMiB, "\n"));
  v1::UpdateContainerResourcesRequest update;
  update.set_container_id(id);
  update.mutable_linux()->set_memory_limit_in_bytes(240 * kMiB);
  EXPECT_THAT(cri().Call(&CriClient::RuntimeStub::UpdateContainerResources, update), IsOk());
  EXPECT_EQ(limit(), Cat(240 * kMiB, "\n"));
  v1::ContainerStatsRequest request;
  request.set_container_id(id);
  const v1::ContainerStats stats =
      Must(cri().Call(&CriClient::RuntimeStub::ContainerStats, request)).stats();
  EXPECT_GT(stats.cpu().usage_core_nano_seconds().value(), 0u);
  // The kernel of its own counts.
  EXPECT_GT(stats.memory().usage_bytes().value(), uint64_t{8} * kMiB);
}

TEST_F(Sandboxes, OutliveTheDaemon) {
  const Pod pod = RunSandboxed("restart");
  const std::string stays = StartIdle(pod, "stays");
  const std::string ends = Start(pod, "ends", Shell("sleep 0.5; echo last; exit 9"));
  CrispSession probe(daemon().endpoint(), {"exec", "stays", "sleep", "7662"});
  EXPECT_TRUE(Runs(stays, "sleep 7662"));
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_TRUE(Ends(stays, "sleep 7662"));
  EXPECT_EQ(Exec(stays, "echo here"), "here");
  EXPECT_THAT(cri().ExecSync(stays, {"sleep", "7660"}, 1),
              Fails(StatusCode::kDeadlineExceeded, ""));
  EXPECT_TRUE(Ends(stays, "sleep 7660"));
  EXPECT_EQ(WaitExited(ends).exit_code(), 9);
  EXPECT_EQ(LogText(LogPath(pod, "ends")), "last\n");
}

TEST_F(Sandboxes, ExecsEndWithTheirSandbox) {
  const std::string id = StartIdle(RunSandboxed("ends"));
  CrispSession exec(daemon().endpoint(), {"exec", "idle", "sleep", "7663"});
  EXPECT_TRUE(Runs(id, "sleep 7663"));
  EXPECT_THAT(cri().StopContainer(id, 0), IsOk());
  EXPECT_EQ(exec.Wait(), 137);
}

TEST_F(Sandboxes, EndWithTheirMonitor) {
  const Pod pod = RunSandboxed("monitor");
  const std::string id = StartIdle(pod);
  std::thread exec([&] { (void)cri().ExecSync(id, {"sleep", "7661"}, 60); });
  EXPECT_TRUE(Runs(id, "sleep 7661"));
  const std::vector<pid_t> monitors = ProcessesNamed("crisp-monitor");
  ASSERT_THAT(monitors, SizeIs(1));
  kill(monitors[0], SIGKILL);
  EXPECT_EQ(WaitExited(id).exit_code(), 255);
  exec.join();
  // Neither sandbox nor gofer, nor what waited for the exec.
  EXPECT_TRUE(
      WaitUntil([] { return ProcessesNamed("exe").empty() && ProcessesNamed("runsc").empty(); }));
}

TEST_F(Sandboxes, RemovalLeavesNothing) {
  const Pod pod = RunSandboxed("removed");
  const std::string id = StartIdle(pod);
  const std::string bundle = Cat(daemon().state(), "/pods/", pod.id, "/containers/", id);
  EXPECT_TRUE(PathExists(bundle + "/oci/state"));
  EXPECT_THAT(ProcessesNamed("exe"), Not(IsEmpty()));
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
  EXPECT_FALSE(PathExists(bundle));
  EXPECT_TRUE(
      WaitUntil([] { return ProcessesNamed("exe").empty() && ProcessesNamed("runsc").empty(); }));
}

TEST_F(Sandboxes, StatusTellsWhatTheyCannotDo) {
  const auto status = Must(cri().Call(&CriClient::RuntimeStub::Status, v1::StatusRequest()));
  bool listed = false;
  for (const v1::RuntimeHandler& handler : status.runtime_handlers()) {
    if (handler.name() != "runsc") continue;
    listed = true;
    EXPECT_TRUE(handler.features().recursive_read_only_mounts());
    EXPECT_FALSE(handler.features().user_namespaces());
  }
  EXPECT_TRUE(listed);
  v1::PodSandboxConfig config = PodConfig("mapped");
  v1::UserNamespace* user = config.mutable_linux()
                                ->mutable_security_context()
                                ->mutable_namespace_options()
                                ->mutable_userns_options();
  user->set_mode(v1::POD);
  for (v1::IDMapping* range : {user->add_uids(), user->add_gids()}) {
    range->set_host_id(300000);
    range->set_length(65536);
  }
  EXPECT_THAT(cri().RunPod(config, "runsc"),
              Fails(StatusCode::kFailedPrecondition, "a kernel of their own"));
  EXPECT_THAT(daemon().Log(), Not(HasSubstr("runsc")));
}

}  // namespace
}  // namespace crisp
