#include "oci/seccomp_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <set>
#include <thread>

#include "base/text.h"
#include "gmock/gmock.h"
#include "kernel/seccomp.h"
#include "oci/spec_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

const SeccompHost kHost = {"amd64", 6, 1};

Json Profile(Json rule) {
  return {{"defaultAction", "SCMP_ACT_ERRNO"}, {"syscalls", Json::array({std::move(rule)})}};
}

size_t RulesLeft(const Json& rule, const std::set<std::string>& capabilities = {}) {
  const auto resolved = ResolveSeccompProfile(Profile(rule), capabilities, kHost);
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  return resolved.ok() ? (*resolved)["syscalls"].size() : 99;
}

TEST(SeccompProfile, ConditionsOfRules) {
  Json rule = {{"names", {"read"}}, {"action", "SCMP_ACT_ALLOW"}};
  EXPECT_EQ(RulesLeft(rule), 1u);
  const auto with = [&](const char* condition) {
    Json copy = rule;
    copy.merge_patch(Json::parse(condition));
    return copy;
  };
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"caps": ["CAP_BPF"]}})")), 0u);
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"caps": ["CAP_BPF"]}})"), {"CAP_BPF"}), 1u);
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"caps": ["CAP_BPF", "CAP_KILL"]}})"), {"CAP_BPF"}), 0u);
  EXPECT_EQ(RulesLeft(with(R"({"excludes": {"caps": ["CAP_BPF", "CAP_KILL"]}})"), {"CAP_BPF"}), 0u);
  EXPECT_EQ(RulesLeft(with(R"({"excludes": {"caps": ["CAP_BPF"]}})")), 1u);
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"arches": ["arm64"]}})")), 0u);
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"arches": ["arm64", "amd64"]}})")), 1u);
  EXPECT_EQ(RulesLeft(with(R"({"excludes": {"arches": ["amd64"]}})")), 0u);
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"minKernel": "4.8"}})")), 1u);
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"minKernel": "6.1"}})")), 1u);
  EXPECT_EQ(RulesLeft(with(R"({"includes": {"minKernel": "6.2"}})")), 0u);
  EXPECT_EQ(RulesLeft(with(R"({"excludes": {"minKernel": "6.1"}})")), 0u);
  EXPECT_EQ(RulesLeft({{"name", "read"}, {"action", "SCMP_ACT_ALLOW"}}), 1u) << "older form";
}

TEST(SeccompProfile, ArchitecturesOfThisHost) {
  Json profile = Profile({{"names", {"read"}}, {"action", "SCMP_ACT_ALLOW"}});
  profile["archMap"] = Json::parse(R"([
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}])");
  EXPECT_EQ((*ResolveSeccompProfile(profile, {}, kHost))["architectures"],
            Json({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}));
  EXPECT_EQ((*ResolveSeccompProfile(profile, {}, {"arm64", 6, 1}))["architectures"],
            Json({"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}));
  profile["architectures"] = {"SCMP_ARCH_X86_64"};
  EXPECT_FALSE(ResolveSeccompProfile(profile, {}, kHost).ok());
}

TEST(SeccompProfile, BadOnesAreRefused) {
  for (const char* bad :
       {"[]", "{}", R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}})",
        R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [5]})",
        R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]})",
        R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"]}]})"}) {
    EXPECT_EQ(ResolveSeccompProfile(Json::parse(bad), {}, kHost).status().code(),
              absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

// The default profile, really loaded.
class DefaultProfile : public SpecFixture {
 protected:
  std::string Compile(const std::set<std::string>& capabilities) {
    const auto filter = cache_->Get(DefaultSeccompProfile(), "default", capabilities);
    EXPECT_TRUE(filter.ok()) << filter.status();
    return *ReadFile((*filter)->bpf_path);
  }
  // What `body` gives under the filter: an errno, 0 for success.
  static int Under(const std::string& program, const std::function<int()>& body) {
    const pid_t child = fork();
    if (child == 0) {
      sock_fprog filter = {static_cast<unsigned short>(program.size() / sizeof(sock_filter)),
                           reinterpret_cast<sock_filter*>(const_cast<char*>(program.data()))};
      if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(201);
      if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) _exit(202);
      _exit(body());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 203;
  }
  static int Call(long number, long a = 0, long b = 0, long c = 0) {
    return syscall(number, a, b, c, 0, 0, 0) < 0 ? errno : 0;
  }
};

TEST_F(DefaultProfile, OrdinaryProgramsRun) {
  const std::string program = Compile({"CAP_CHOWN"});
  EXPECT_EQ(Under(program, [] { return Call(SYS_getpid); }), 0);
  EXPECT_EQ(Under(program, [] { return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0; }), 0);
  EXPECT_EQ(Under(program,
                  [] {
                    const pid_t child = fork();
                    if (child == 0) {
                      execl("/bin/sh", "sh", "-c", "cat /proc/self/status | grep -q Seccomp",
                            nullptr);
                      _exit(99);
                    }
                    int status = 0;
                    waitpid(child, &status, 0);
                    return WEXITSTATUS(status);
                  }),
            0);
}

TEST_F(DefaultProfile, HostWideCallsAreRefused) {
  const std::string program = Compile({"CAP_CHOWN"});
  for (const long call : {SYS_mount, SYS_unshare, SYS_setns, SYS_keyctl, SYS_init_module,
                          SYS_reboot, SYS_bpf, SYS_io_uring_setup, SYS_swapon, SYS_kexec_load,
                          SYS_chroot, SYS_open_by_handle_at, SYS_clock_settime, SYS_userfaultfd}) {
    EXPECT_EQ(Under(program, [=] { return Call(call); }), EPERM) << call;
  }
  EXPECT_EQ(Under(program, [] { return Call(SYS_clone3); }), ENOSYS);
  EXPECT_EQ(Under(program, [] { return Call(900); }), ENOSYS);
  EXPECT_EQ(Under(program, [] { return socket(40, SOCK_STREAM, 0) < 0 ? errno : 0; }), EPERM)
      << "AF_VSOCK reaches the hypervisor";
  EXPECT_EQ(Under(program, [] { return Call(SYS_clone, CLONE_NEWUSER | SIGCHLD); }), EPERM);
  EXPECT_EQ(Under(program, [] { return Call(SYS_personality, 0x0040000); }), EPERM);
  EXPECT_EQ(Under(program, [] { return Call(SYS_personality, 0xffffffff); }), 0);
}

TEST_F(DefaultProfile, CapabilitiesOpenWhatBelongsToThem) {
  const std::string admin = Compile({"CAP_SYS_ADMIN", "CAP_SYS_CHROOT"});
  EXPECT_EQ(Under(admin, [] { return Call(SYS_unshare, CLONE_NEWUTS); }), 0);
  EXPECT_NE(Under(admin, [] { return Call(SYS_clone3); }), ENOSYS);
  EXPECT_EQ(Under(admin, [] { return chroot("/") < 0 ? errno : 0; }), 0);
  EXPECT_EQ(Under(admin, [] { return Call(SYS_init_module); }), EPERM);
}

TEST_F(DefaultProfile, CacheKeepsOneFileAPolicy) {
  const auto first = cache_->Get(DefaultSeccompProfile(), "default", {"CAP_CHOWN"});
  const auto again = cache_->Get(DefaultSeccompProfile(), "default", {"CAP_CHOWN"});
  EXPECT_EQ(first->get(), again->get());
  const auto kill = cache_->Get(DefaultSeccompProfile(), "default", {"CAP_KILL"});
  EXPECT_EQ((*first)->bpf_path, (*kill)->bpf_path) << "a capability without rules changes nothing";
  const auto admin = cache_->Get(DefaultSeccompProfile(), "default", {"CAP_SYS_ADMIN"});
  EXPECT_NE((*first)->bpf_path, (*admin)->bpf_path);
  // A copy of the text elsewhere gives the same file.
  const std::string copy(DefaultSeccompProfile());
  EXPECT_EQ((*cache_->Get(copy, "copy", {"CAP_CHOWN"}))->bpf_path, (*first)->bpf_path);
  // Another daemon, or this one after a restart, finds it.
  auto other = SeccompCache::Open(JoinPath(folder_, "seccomp"));
  EXPECT_EQ((*(*other)->Get(copy, "copy", {"CAP_CHOWN"}))->bpf_path, (*first)->bpf_path);
  // A file that was lost or cut is made anew.
  ASSERT_TRUE(ReplaceFile((*first)->bpf_path, "cut").ok());
  EXPECT_GT(ReadFile((*cache_->Get(copy, "copy", {"CAP_CHOWN"}))->bpf_path)->size(), 100u);
  ASSERT_TRUE(RemoveTree(JoinPath(folder_, "seccomp")).ok());
  EXPECT_FALSE(cache_->Get(copy, "copy", {"CAP_CHOWN"}).ok());
}

TEST_F(DefaultProfile, IsReadyBeforeTheFirstContainer) {
  const std::string folder = JoinPath(folder_, "seccomp");
  const auto files = [&] {
    std::set<std::string> names;
    for (const auto& file : std::filesystem::directory_iterator(folder)) names.insert(file.path());
    return names;
  };
  EXPECT_TRUE(files().empty());
  ASSERT_TRUE(PrepareDefaultSeccomp(limits_, *cache_).ok());
  const std::set<std::string> ready = files();
  EXPECT_EQ(ready.size(), 1u);
  Context()->mutable_seccomp()->set_profile_type(runtime::v1::SecurityProfile::RuntimeDefault);
  EXPECT_THAT(ready, ::testing::Contains(Build()->seccomp_bpf_path));
  EXPECT_EQ(files(), ready);
}

TEST_F(DefaultProfile, EqualRequestsAtOnceCompileOnce) {
  std::vector<std::thread> callers;
  std::vector<std::shared_ptr<const SeccompCache::Filter>> filters(8);
  for (auto& filter : filters) {
    callers.emplace_back([&] {
      const auto got = cache_->Get(DefaultSeccompProfile(), "default", {"CAP_CHOWN"});
      if (got.ok()) filter = *got;
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& filter : filters) EXPECT_TRUE(filter != nullptr && filter == filters[0]);
}

TEST_F(DefaultProfile, LocalhostProfilesAreBounded) {
  EXPECT_FALSE(cache_->Get(std::string(2 << 20, ' '), "big", {}).ok());
  const auto bad = cache_->Get("{}", "/etc/bad.json", {});
  EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("/etc/bad.json"));
}

}  // namespace
}  // namespace crisp
