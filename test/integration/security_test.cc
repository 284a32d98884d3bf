// What a container may do and what it may not: capabilities, seccomp, paths, users, and the known
// ways out.
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "bench/process_usage.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Security : public NodeTest {
 protected:
  static v1::LinuxContainerSecurityContext* ContextOf(v1::ContainerConfig& config) {
    return config.mutable_linux()->mutable_security_context();
  }
  // Output of a script in a container that `change` has changed.
  std::string RunWith(const std::function<void(v1::ContainerConfig&)>& change,
                      const std::string& script, int expected_exit = 0) {
    const Pod pod = RunPod(Cat("security-", next_++));
    v1::ContainerConfig config = ContainerConfig("main", Shell(script));
    change(config);
    return RunToEnd(pod, config, expected_exit);
  }
  // The set as a number, from /proc/self/status.
  uint64_t Capabilities(const std::function<void(v1::ContainerConfig&)>& change,
                        const std::string& set) {
    const std::string text =
        RunWith(change, Cat("sed -n 's/^", set, ":\\t*//p' /proc/self/status"));
    return std::stoull(text.empty() ? "0" : text, nullptr, 16);
  }

 private:
  int next_ = 0;
};

constexpr uint64_t kChown = 1u << 0, kKill = 1u << 5, kNetAdmin = 1u << 12, kSysAdmin = 1u << 21;

TEST_F(Security, DefaultCapabilitiesAreTheUsualFew) {
  const uint64_t effective = Capabilities([](auto&) {}, "CapEff");
  EXPECT_TRUE(effective & kChown);
  EXPECT_FALSE(effective & kSysAdmin);
  EXPECT_FALSE(effective & kNetAdmin);
  EXPECT_EQ(Capabilities([](auto&) {}, "CapInh"), 0u);
  EXPECT_EQ(Capabilities([](auto&) {}, "CapBnd"), effective);
}

TEST_F(Security, CapabilitiesAreAddedAndDropped) {
  EXPECT_TRUE(
      Capabilities(
          [](auto& c) { ContextOf(c)->mutable_capabilities()->add_add_capabilities("NET_ADMIN"); },
          "CapEff") &
      kNetAdmin);
  EXPECT_FALSE(
      Capabilities(
          [](auto& c) { ContextOf(c)->mutable_capabilities()->add_drop_capabilities("CHOWN"); },
          "CapEff") &
      kChown);
  EXPECT_EQ(Capabilities(
                [](auto& c) { ContextOf(c)->mutable_capabilities()->add_drop_capabilities("ALL"); },
                "CapBnd"),
            0u);
  EXPECT_EQ(Capabilities(
                [](auto& c) {
                  ContextOf(c)->mutable_capabilities()->add_drop_capabilities("ALL");
                  ContextOf(c)->mutable_capabilities()->add_add_capabilities("KILL");
                },
                "CapEff"),
            kKill);
}

TEST_F(Security, AnotherUserHasNoEffectiveCapabilities) {
  EXPECT_EQ(
      Capabilities([](auto& c) { ContextOf(c)->mutable_run_as_user()->set_value(1000); }, "CapEff"),
      0u);
  EXPECT_EQ(
      Capabilities([](auto& c) { ContextOf(c)->mutable_run_as_user()->set_value(1000); }, "CapPrm"),
      0u);
}

TEST_F(Security, AmbientCapabilitiesReachAnotherUser) {
  const auto ambient = [](auto& c) {
    ContextOf(c)->mutable_run_as_user()->set_value(1000);
    ContextOf(c)->mutable_capabilities()->add_add_ambient_capabilities("NET_ADMIN");
  };
  for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapAmb"}) {
    EXPECT_EQ(Capabilities(ambient, set), kNetAdmin) << set;
  }
  EXPECT_TRUE(Capabilities(ambient, "CapBnd") & kNetAdmin);
}

TEST_F(Security, SelinuxOptionsAreCheckedOnEveryHost) {
  const Pod pod = RunPod("labels");
  v1::ContainerConfig config = ContainerConfig("main", Shell("true"));
  ContextOf(config)->mutable_selinux_options()->set_level("wrong");
  EXPECT_THAT(cri().CreateContainer(pod.id, config, pod.config),
              Fails(absl::StatusCode::kInvalidArgument, "selinux_options.level"));
  ContextOf(config)->mutable_selinux_options()->set_level("s0:c1,c2");
  EXPECT_EQ(RunToEnd(pod, config), "");
}

TEST_F(Security, AnAppArmorProfileThatIsNotLoadedIsRefused) {
  const Pod pod = RunPod("profile");
  v1::ContainerConfig config = ContainerConfig("main", Shell("true"));
  ContextOf(config)->mutable_apparmor()->set_profile_type(v1::SecurityProfile::Localhost);
  ContextOf(config)->mutable_apparmor()->set_localhost_ref("crisp-no-such-profile");
  EXPECT_THAT(cri().CreateContainer(pod.id, config, pod.config),
              Fails(absl::StatusCode::kInvalidArgument, "crisp-no-such-profile"));
  ContextOf(config)->mutable_apparmor()->set_profile_type(v1::SecurityProfile::Unconfined);
  EXPECT_EQ(RunToEnd(pod, config), "");
}

TEST_F(Security, Users) {
  const auto ids = "echo $(id -u):$(id -g) $(id -G) $HOME";
  EXPECT_EQ(RunWith([](auto&) {}, ids), "0:0 0 /root\n");
  EXPECT_EQ(RunWith([](auto& c) { ContextOf(c)->mutable_run_as_user()->set_value(1000); }, ids),
            "1000:1000 1000 50000 /home/user\n");
  EXPECT_EQ(RunWith([](auto& c) { ContextOf(c)->set_run_as_username("www"); }, ids),
            "33:33 33 /www\n");
  EXPECT_EQ(RunWith([](auto& c) { ContextOf(c)->mutable_run_as_user()->set_value(4242); }, ids),
            "4242:0 0 /\n");
  EXPECT_EQ(RunWith(
                [](auto& c) {
                  ContextOf(c)->mutable_run_as_user()->set_value(1000);
                  ContextOf(c)->mutable_run_as_group()->set_value(2000);
                  ContextOf(c)->add_supplemental_groups(3000);
                  ContextOf(c)->set_supplemental_groups_policy(v1::Strict);
                },
                ids),
            "1000:2000 2000 3000 /home/user\n");
}

TEST_F(Security, NoNewPrivileges) {
  const char* script = "sed -n 's/^NoNewPrivs:\\t*//p' /proc/self/status";
  EXPECT_EQ(RunWith([](auto&) {}, script), "0\n");
  EXPECT_EQ(RunWith([](auto& c) { ContextOf(c)->set_no_new_privs(true); }, script), "1\n");
}

TEST_F(Security, Seccomp) {
  const char* mode = "sed -n 's/^Seccomp:\\t*//p' /proc/self/status";
  EXPECT_EQ(RunWith([](auto&) {}, mode), "0\n");  // none asked for: unconfined
  const auto default_profile = [](auto& c) {
    ContextOf(c)->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  };
  EXPECT_EQ(RunWith(default_profile, mode), "2\n");
  EXPECT_THAT(RunWith(
                  [&](auto& c) {
                    default_profile(c);
                    ContextOf(c)->mutable_capabilities()->add_add_capabilities("SYS_TIME");
                  },
                  "unshare -U true 2>&1; echo $?"),
              Not(HasSubstr("\n0\n")));
  const std::string profile = folder() / "volumes/profile.json";
  ASSERT_TRUE(MakeFolders(folder() / "volumes").ok());
  ASSERT_TRUE(ReplaceFile(profile, R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[)"
                                   R"({"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]})")
                  .ok());
  EXPECT_THAT(
      RunWith(
          [&](auto& c) {
            ContextOf(c)->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
            ContextOf(c)->mutable_seccomp()->set_localhost_ref(profile);
          },
          "mkdir /tmp/x 2>&1 || echo refused; touch /tmp/y && echo allowed"),
      HasSubstr("refused\nallowed"));
}

TEST_F(Security, MaskedAndReadOnlyPaths) {
  const std::string text = RunWith(
      [](auto& c) {
        ContextOf(c)->add_masked_paths("/proc/kcore");
        ContextOf(c)->add_masked_paths("/proc/scsi");
        ContextOf(c)->add_masked_paths("/www");
        ContextOf(c)->add_masked_paths("/no/such/path");
        ContextOf(c)->add_readonly_paths("/proc/sys");
        ContextOf(c)->add_readonly_paths("/home");
      },
      "head -c 1 /proc/kcore | wc -c; ls -A /www; touch /home/x 2>&1; echo 1 > "
      "/proc/sys/kernel/domainname; true");
  EXPECT_THAT(text, HasSubstr("0\n"));
  EXPECT_THAT(text, Not(HasSubstr("index.html")));
  EXPECT_THAT(text, HasSubstr("Read-only file system"));
}

TEST_F(Security, Privileged) {
  v1::PodSandboxConfig pod_config = PodConfig("privileged");
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const Pod pod = RunPod(pod_config);
  v1::ContainerConfig config = ContainerConfig(
      "main",
      Shell("mkdir /tmp/m && mount -t tmpfs none /tmp/m && echo mounted; "
            "[ -e /dev/null ] && echo devices; sed -n 's/^Seccomp:\\t*//p' /proc/self/status"));
  ContextOf(config)->set_privileged(true);
  ContextOf(config)->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(RunToEnd(pod, config), "mounted\ndevices\n0\n");
}

TEST_F(Security, SystemFoldersAreReadOnlyAndDevicesFew) {
  const std::string text =
      RunWith([](auto&) {},
              "ls /dev | tr '\\n' ' '; echo; touch /sys/x 2>&1; touch /sys/fs/cgroup/x 2>&1; true");
  EXPECT_THAT(text, HasSubstr("null"));
  EXPECT_THAT(text, HasSubstr("pts"));
  EXPECT_THAT(text, Not(HasSubstr("kmsg")));
  EXPECT_THAT(text, Not(HasSubstr("sda")));
  EXPECT_THAT(text, HasSubstr("Read-only file system"));
}

TEST_F(Security, DevicesAreGivenAndOthersRefused) {
  const Pod pod = RunPod("devices");
  v1::ContainerConfig config = ContainerConfig(
      "main",
      Shell(
          "head -c 3 /dev/given | wc -c; mknod /tmp/loop b 7 0 && head -c 1 /tmp/loop 2>&1; true"));
  auto* device = config.add_devices();
  device->set_host_path("/dev/zero");
  device->set_container_path("/dev/given");
  device->set_permissions("r");
  const std::string text = RunToEnd(pod, config);
  EXPECT_THAT(text, HasSubstr("3\n"));
  EXPECT_THAT(text, HasSubstr("ermitted"));
}

TEST_F(Security, NoDescriptorLeaksIn) {
  // Without a pipeline, whose pipes the shell itself would hold; and the shell must stay to be
  // looked at.
  EXPECT_EQ(RunWith([](auto&) {}, "ls /proc/1/fd; true"), "0\n1\n2\n");
}

// CVE-2019-5736: a program that starts as /proc/self/exe must not be the runtime's own.
TEST_F(Security, TheMonitorCannotBeOverwritten) {
  const std::string monitor = JoinPath(ProgramFolder(), "crisp-monitor");
  const std::string before = Sha256Digest(ReadFile(monitor, 256 << 20).value_or(""));
  const Pod pod = RunPod("overwrite");
  const auto created = cri().CreateContainer(
      pod.id, ContainerConfig("main", {"/proc/self/exe", "--version"}), pod.config);
  if (created.ok() && cri().StartContainer(*created).ok()) WaitExited(*created);
  const std::string id = StartIdle(pod);
  (void)cri().ExecSync(id, {"/proc/self/exe", "x"}, 5);
  // Whatever /proc shows of the monitor from within, no write to it gets through.
  (void)cri().ExecSync(id, Shell("for exe in /proc/[0-9]*/exe; do echo pwned > $exe; done"), 10);
  EXPECT_EQ(Sha256Digest(ReadFile(monitor, 256 << 20).value_or("")), before);
}

// CVE-2024-21626: a working folder that is a leaked descriptor of the host's.
TEST_F(Security, AWorkingFolderCannotBeOutside) {
  const Pod pod = RunPod("cwd");
  for (int fd = 3; fd < 16; ++fd) {
    v1::ContainerConfig config =
        ContainerConfig(Cat("fd", fd), Shell("cat ../../../../../../../etc/hostname "
                                             "../../etc/machine-id 2>/dev/null; pwd -P; true"));
    config.set_working_dir(Cat("/proc/self/fd/", fd));
    const auto created = cri().CreateContainer(pod.id, config, pod.config);
    if (!created.ok() || !cri().StartContainer(*created).ok()) continue;
    WaitExited(*created);
    // If it started at all, then inside its own root.
    const std::string text = LogText(LogPath(pod, Cat("fd", fd)));
    EXPECT_THAT(text, HasSubstr("/")) << fd;
    EXPECT_THAT(text, Not(HasSubstr("(unreachable)"))) << fd;
  }
}

// An image whose /dev, /proc, /etc or mount targets are links must not redirect mounts to the host.
TEST_F(Security, LinksInTheImageDoNotRedirectMounts) {
  const std::string outside = folder() / "volumes/outside";
  ASSERT_TRUE(MakeFolders(outside).ok());
  TestImage image;
  image.Add(TestLayer()
                .Folder("bin")
                .Folder("etc")
                .File("bin/busybox", ReadFile("/bin/busybox", 64 << 20).value_or(""), 0755)
                .Symlink("bin/sh", "busybox")
                .Symlink("volume", outside)
                .Symlink("etc/hosts", outside + "/hosts")
                .Symlink("up", "../../../../../../../.." + outside)
                .Tar());
  registry().Push("links:latest", image);
  ASSERT_THAT(cri().Pull("registry.test/links:latest"), IsOk());
  ASSERT_TRUE(MakeFolders(folder() / "volumes/data").ok());
  const Pod pod = RunPod("links");
  v1::ContainerConfig config = ContainerConfig("main", {"/bin/busybox", "true"});
  config.mutable_image()->set_image("registry.test/links:latest");
  for (const char* target : {"/volume", "/up/deeper"}) {
    v1::Mount* mount = config.add_mounts();
    mount->set_container_path(target);
    mount->set_host_path(folder() / "volumes/data");
  }
  const auto created = cri().CreateContainer(pod.id, config, pod.config);
  if (created.ok() && cri().StartContainer(*created).ok()) WaitExited(*created);
  std::error_code error;
  EXPECT_TRUE(std::filesystem::is_empty(outside, error)) << "something was made outside the root";
}

TEST_F(Security, DevAndProcAsLinksAreSafe) {
  for (const char* name : {"dev", "proc", "sys"}) {
    TestImage image;
    image.Add(TestLayer()
                  .Folder("bin")
                  .File("bin/busybox", ReadFile("/bin/busybox", 64 << 20).value_or(""), 0755)
                  .Symlink(name, "/tmp/x")
                  .Tar());
    const std::string reference = Cat("link-", name, ":latest");
    registry().Push(reference, image);
    ASSERT_THAT(cri().Pull("registry.test/" + reference), IsOk());
    const Pod pod = RunPod(Cat("link-", name));
    v1::ContainerConfig config = ContainerConfig("main", {"/bin/busybox", "true"});
    config.mutable_image()->set_image("registry.test/" + reference);
    const auto created = cri().CreateContainer(pod.id, config, pod.config);
    if (created.ok()) (void)cri().StartContainer(*created);
    EXPECT_FALSE(PathExists("/tmp/x"));
  }
}

TEST_F(Security, TheHostIsNotReachableThroughThePodsInit) {
  v1::PodSandboxConfig pod_config = PodConfig("init");
  pod_config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      v1::POD);
  const Pod pod = RunPod(pod_config);
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("ls /proc/1/root/ 2>&1; ls -l /proc/1/exe /proc/1/fd 2>&1; cat "
                                    "/proc/1/environ 2>&1; true"));
  ContextOf(config)->mutable_namespace_options()->set_pid(v1::POD);
  const std::string text = RunToEnd(pod, config);
  EXPECT_THAT(text, Not(HasSubstr("etc")));
  EXPECT_THAT(text, Not(HasSubstr("crisp-monitor")));
}

}  // namespace
}  // namespace crisp
