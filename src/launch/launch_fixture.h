// LaunchTest: runs real containers from the host's static busybox, in a temporary folder: by the
// native launcher, or, in a test with a parameter (OnEveryRuntime), by the OCI runtime it names.
// Needs root and tools/private-namespaces. For tests only.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/status.h"
#include "kernel/cgroup.h"
#include "kernel/mount.h"
#include "launch/launcher_choice.h"
#include "launch/native_launcher.h"
#include "launch/oci_cli_launcher.h"

namespace crisp {

struct Finished {
  absl::Status status;  // of the launch
  int code = -1;        // 128 + n after signal n
  std::string output;   // stdout and stderr
};

class LaunchTest : public testing::Test {
 protected:
  // The OCI runtime's program; empty: the native launcher.
  virtual std::string Runtime() const { return ""; }

  void SetUp() override {
    // What a helper leaves becomes a child of this process, as it does of the monitor.
    if (!Runtime().empty()) {
      ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    }
    char folder[] = "/tmp/crisp-launch-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    ::chmod(folder, 0755);
    id_ = RandomId().substr(0, 16);
    for (const char* name : {"upper", "work", "bundle/rootfs", "layer", "layer/bin", "layer/etc",
                             "layer/tmp", "layer/data", "layer/proc", "layer/sys", "layer/dev"}) {
      ASSERT_TRUE(MakeFolders(At(name)).ok());
    }
    ::chmod(At("layer/tmp").c_str(), 01777);
    absl::StatusOr<std::string> busybox = ReadFile("/bin/busybox", 64 << 20);
    ASSERT_TRUE(busybox.ok()) << busybox.status();
    ASSERT_TRUE(ReplaceFile(At("layer/bin/busybox"), *busybox, 0755).ok());
    for (const char* name :
         {"sh",   "cat",   "ls",    "id",   "mount", "echo",     "sleep",  "hostname", "pwd",
          "grep", "mkdir", "touch", "stat", "tty",   "readlink", "umount", "ps",       "true",
          "env",  "head",  "wc",    "kill", "chmod", "test",     "stty",   "ln"}) {
      ::symlink("busybox", At(Cat("layer/bin/", name)).c_str());
    }
    absl::StatusOr<CgroupTree> tree = CgroupTree::Detect();
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = *std::move(tree);
    native_ = std::make_unique<NativeLauncher>(*tree_);
    oci_ = std::make_unique<OciCliLauncher>(*tree_);
    launcher_ = std::make_unique<LauncherChoice>(*native_, *oci_);
    config_ = BaseConfig();
  }

  void TearDown() override {
    for (Launch& one : running_) {
      ::kill(one.pid, SIGKILL);
      int status = 0;
      ::waitpid(one.pid, &status, 0);
    }
    running_.clear();
    if (tree_.has_value()) {
      (void)Cgroup(*tree_, CgroupPath()).Remove();
      for (const std::string& folder : Cgroup(*tree_, FolderOf(CgroupPath())).Folders()) {
        (void)::rmdir(folder.c_str());
      }
    }
    (void)RemoveTree(folder_);
  }

  std::string At(std::string_view name) const { return JoinPath(folder_, name); }
  std::string CgroupPath() const { return Cat("/crisp-launch-test/", id_); }

  static Json Mount(const char* destination, const char* type, const char* source,
                    std::vector<std::string> options) {
    return {{"destination", destination}, {"type", type}, {"source", source}, {"options", options}};
  }

  Json BaseConfig() const {
    const std::vector<std::string> capabilities = {
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SYS_CHROOT"};
    return {
        {"ociVersion", "1.0.2"},
        {"hostname", "box"},
        {"root", {{"path", "rootfs"}}},
        {"process",
         {{"cwd", "/"},
          {"args", {"/bin/true"}},
          {"env", {"PATH=/bin", "HOME=/"}},
          {"user", {{"uid", 0}, {"gid", 0}}},
          {"capabilities",
           {{"bounding", capabilities},
            {"effective", capabilities},
            {"permitted", capabilities}}}}},
        {"mounts",
         {Mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
          Mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
          Mount("/dev/pts", "devpts", "devpts",
                {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
          Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
          Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
          Mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "ro"})}},
        {"linux",
         {{"cgroupsPath", CgroupPath()},
          {"namespaces",
           {{{"type", "mount"}},
            {{"type", "pid"}},
            {{"type", "ipc"}},
            {{"type", "uts"}},
            {{"type", "cgroup"}}}},
          {"maskedPaths",
           {"/proc/kcore", "/proc/keys", "/proc/acpi", "/proc/scsi", "/sys/firmware",
            "/proc/timer_list", "/proc/absent"}},
          {"readonlyPaths", {"/proc/sys", "/proc/bus", "/proc/irq"}},
          {"resources", Json::object()}}},
    };
  }

  void Shell(const std::string& script) { config_["process"]["args"] = {"/bin/sh", "-c", script}; }

  StartRequest Request(ProcessIo io) {
    (void)ReplaceFile(At("bundle/config.json"), config_.dump());
    StartRequest request;
    request.container_id = id_;
    request.bundle = At("bundle");
    request.rootfs = {.lower = {At("layer")},
                      .upper = At("upper"),
                      .work = At("work"),
                      .options = {},
                      .present = true};
    request.io = io;
    request.seccomp_bpf = seccomp_;
    request.runtime.path = Runtime();
    return request;
  }

  // Blocks until the launch has succeeded or failed; then launch.pid is the process that came of
  // it.
  static Outcome Wait(Launch& launch) {
    for (;;) {
      std::optional<Outcome> outcome = ReadOutcome(launch);
      if (outcome.has_value()) {
        if (outcome->pid > 0) {
          const pid_t helper = std::exchange(launch.pid, outcome->pid);
          launch.pidfd = std::move(outcome->pidfd);
          outcome->hold.reset();
          Reap(helper);
        }
        return std::move(*outcome);
      }
      struct pollfd poll_fd = {launch.outcome.get(), POLLIN, 0};
      ::poll(&poll_fd, 1, -1);
    }
  }

  static int Reap(pid_t pid) {
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // What an OCI runtime keeps of a container goes with its bundle.
  void Forget() { EXPECT_TRUE(RemoveTree(At("bundle/oci")).ok()); }

  static std::string Drain(int fd) {
    std::string text;
    char buffer[4096];
    for (;;) {
      const ssize_t size = ::read(fd, buffer, sizeof buffer);
      if (size > 0) {
        text.append(buffer, static_cast<size_t>(size));
      } else if (size == 0 || errno != EINTR) {
        return text;
      }
    }
  }

  template <typename Begin>
  Finished Finish(Begin begin) {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) return {absl::InternalError("pipe"), -1, ""};
    UniqueFd read_end(pipe[0]), write_end(pipe[1]);
    absl::StatusOr<Launch> launch = begin(ProcessIo{-1, write_end.get(), write_end.get(), false});
    write_end.reset();
    if (!launch.ok()) return {launch.status(), -1, ""};
    Finished finished;
    finished.status = Wait(*launch).status;
    finished.output = Drain(read_end.get());
    finished.code = Reap(launch->pid);
    return finished;
  }

  // Starts config_ and waits for its end.
  Finished Run() {
    const Finished finished = Finish([&](ProcessIo io) { return launcher_->Start(Request(io)); });
    Forget();
    return finished;
  }

  // Starts config_ and leaves it running; its first line of output has been seen.
  void StartRunning(const std::string& script) {
    Shell(script);
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    UniqueFd read_end(pipe[0]), write_end(pipe[1]);
    absl::StatusOr<Launch> launch = launcher_->Start(Request({-1, write_end.get(), -1, false}));
    ASSERT_TRUE(launch.ok()) << launch.status();
    running_.push_back(std::move(*launch));
    const Outcome outcome = Wait(running_.back());
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    char byte;
    while (::read(read_end.get(), &byte, 1) == 1 && byte != '\n') {
    }
    output_ = std::move(read_end);
  }

  ExecRequest ExecOf(const Json& process, ProcessIo io) {
    ExecRequest request;
    request.container_id = id_;
    request.bundle = At("bundle");
    request.runtime.path = Runtime();
    request.exec_id = "e1";
    request.container_pidfd = running_.back().pidfd.get();
    request.cgroup_path = CgroupPath();
    request.process_json = process.dump();
    request.io = io;
    request.seccomp_bpf = seccomp_;
    return request;
  }

  Finished Exec(const Json& process) {
    Finished finished = Finish([&](ProcessIo io) { return launcher_->Exec(ExecOf(process, io)); });
    (void)Cgroup(*tree_, CgroupPath()).ForExec("e1").Remove();
    return finished;
  }

  Json ExecProcess(std::vector<std::string> args) const {
    Json process = config_["process"];
    process["args"] = args;
    return process;
  }

  Json& AddMount(Json mount) {
    config_["mounts"].push_back(std::move(mount));
    return config_["mounts"].back();
  }

  std::string folder_, id_, seccomp_;
  std::optional<CgroupTree> tree_;
  std::unique_ptr<Launcher> native_, oci_, launcher_;
  Json config_;
  std::vector<Launch> running_;
  UniqueFd output_;
};

// The same fixture for every launcher: its parameter is a runtime's program, "" is native.
template <typename Fixture>
class OnEveryRuntime : public Fixture, public testing::WithParamInterface<const char*> {
 protected:
  std::string Runtime() const override { return GetParam(); }
};

inline auto EveryRuntime() { return testing::Values("", "/usr/bin/crun", "/usr/sbin/runc"); }
inline std::string RuntimeName(const testing::TestParamInfo<const char*>& info) {
  return *info.param == '\0' ? "native" : BaseName(info.param);
}

}  // namespace crisp
