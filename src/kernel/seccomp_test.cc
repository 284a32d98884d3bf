#include "kernel/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

// The wait status of a child that loads the filter and then runs `body`.
int RunUnder(const std::string& program, const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    sock_fprog filter = {static_cast<unsigned short>(program.size() / sizeof(sock_filter)),
                         reinterpret_cast<sock_filter*>(const_cast<char*>(program.data()))};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(101);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) _exit(102);
    // Not _exit: AddressSanitizer makes calls of its own before one that does not return.
    syscall(SYS_exit_group, body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

// errno of a system call, 0 if it succeeded.
int ErrorOf(long call, long a = 0, long b = 0) {
  return syscall(call, a, b, 0, 0, 0, 0) < 0 ? errno : 0;
}

Json Rule(const char* name, const char* action) { return {{"names", {name}}, {"action", action}}; }

TEST(Seccomp, RefusesOneCallAndAllowsTheRest) {
  Json rule = Rule("getppid", "SCMP_ACT_ERRNO");
  rule["errnoRet"] = 77;
  const auto program = CompileSeccomp({{"defaultAction", "SCMP_ACT_ALLOW"},
                                       {"syscalls", {rule, Rule("getpgid", "SCMP_ACT_ERRNO")}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(SYS_getppid); })), 77);
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(SYS_getpgid); })), EPERM);
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(SYS_getpid); })), 0);
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(900); })), ENOSYS);
}

TEST(Seccomp, AllowListRefusesTheRestAndNewerCallsDoNotExist) {
  const auto program =
      CompileSeccomp({{"defaultAction", "SCMP_ACT_ERRNO"},
                      {"architectures", {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}},
                      {"syscalls",
                       {{{"names", {"exit_group", "getpid", "clone3", "no_such_call"}},
                         {"action", "SCMP_ACT_ALLOW"}}}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(SYS_getpid); })), 0);
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(SYS_getuid); })), EPERM);
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(SYS_close_range); })), ENOSYS);
  EXPECT_EQ(WEXITSTATUS(RunUnder(*program, [] { return ErrorOf(900); })), ENOSYS);
}

TEST(Seccomp, KillsTheProcess) {
  const auto program = CompileSeccomp({{"defaultAction", "SCMP_ACT_ALLOW"},
                                       {"syscalls", {Rule("getppid", "SCMP_ACT_KILL_PROCESS")}}});
  ASSERT_TRUE(program.ok());
  const int status = RunUnder(*program, [] { return ErrorOf(SYS_getppid); });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

TEST(Seccomp, ComparesArguments) {
  Json equal = Rule("getpgid", "SCMP_ACT_ERRNO");
  equal["args"] = {{{"index", 0}, {"value", 4000000}, {"op", "SCMP_CMP_EQ"}}};
  Json masked = Rule("getpriority", "SCMP_ACT_ERRNO");
  masked["args"] = {
      {{"index", 0}, {"value", 0xf0}, {"valueTwo", 0x10}, {"op", "SCMP_CMP_MASKED_EQ"}}};
  Json both = Rule("getsid", "SCMP_ACT_ERRNO");
  both["args"] = {{{"index", 0}, {"value", 4000001}, {"op", "SCMP_CMP_EQ"}},
                  {{"index", 0}, {"value", 4000002}, {"op", "SCMP_CMP_EQ"}}};
  const auto program =
      CompileSeccomp({{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", {equal, masked, both}}});
  ASSERT_TRUE(program.ok()) << program.status();
  const auto error = [&](long call, long argument) {
    return WEXITSTATUS(RunUnder(*program, [=] { return ErrorOf(call, argument); }));
  };
  EXPECT_EQ(error(SYS_getpgid, 4000000), EPERM);
  EXPECT_EQ(error(SYS_getpgid, 0), 0);
  EXPECT_EQ(error(SYS_getpriority, 0x13), EPERM);
  EXPECT_EQ(error(SYS_getpriority, 0x23), EINVAL);
  EXPECT_EQ(error(SYS_getsid, 4000001), EPERM) << "conditions on one argument are alternatives";
  EXPECT_EQ(error(SYS_getsid, 4000002), EPERM);
}

TEST(Seccomp, RefusesWhatIsNoProfile) {
  const std::pair<Json, const char*> bad[] = {
      {Json::array(), "no JSON object"},
      {Json::object(), "no action"},
      {{{"defaultAction", "SCMP_ACT_DANCE"}}, "SCMP_ACT_DANCE"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", "x"}}, "syscalls"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", {1}}}, "no action"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", {{{"action", "SCMP_ACT_ERRNO"}}}}},
       "names"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"architectures", {"SCMP_ARCH_PDP11"}}}, "PDP11"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"},
        {"syscalls",
         {{{"names", {"read"}},
           {"action", "SCMP_ACT_ERRNO"},
           {"args", {{{"index", 9}, {"op", "SCMP_CMP_EQ"}}}}}}}},
       "index"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"},
        {"syscalls",
         {{{"names", {"read"}},
           {"action", "SCMP_ACT_ERRNO"},
           {"args", {{{"index", 1}, {"op", "ALMOST"}}}}}}}},
       "ALMOST"},
      {{{"defaultAction", "SCMP_ACT_ERRNO"}, {"defaultErrnoRet", 5000}}, "5000"},
  };
  for (const auto& [profile, word] : bad) {
    const auto program = CompileSeccomp(profile);
    EXPECT_EQ(program.status().code(), absl::StatusCode::kInvalidArgument) << profile;
    EXPECT_THAT(std::string(program.status().message()), HasSubstr(word));
  }
}

}  // namespace
}  // namespace crisp
