// What the daemon may hand on, with and without CAP_SYS_RESOURCE. Many machines where the tests run
// (CI in a container) lack that capability, so its presence is told to the code under test; what
// the kernel then makes of the value is launch/'s matter.
#include "oci/daemon_limits.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "base/text.h"
#include "gmock/gmock.h"
#include "kernel/capability.h"
#include "oci/spec_fixture.h"

namespace crisp {
namespace {

using ::testing::Contains;
using ::testing::IsSupersetOf;

std::set<std::string> AllCapabilities() {
  return {CapabilityNames().begin(), CapabilityNames().end()};
}

// In a process of its own, for what cannot be undone; true if `body` says so there.
bool InChild(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int OwnOomScore() { return std::atoi(ReadFile("/proc/self/oom_score_adj")->c_str()); }

TEST(DaemonLimits, WithSysResourceEveryOomScoreIsAllowed) {
  const DaemonLimits limits = DaemonLimits::ProbeWith({"CAP_SYS_RESOURCE"});
  EXPECT_EQ(limits.min_oom_score_adj, -1000);
  EXPECT_EQ(limits.bounding_capabilities, std::set<std::string>{"CAP_SYS_RESOURCE"});
}

TEST(DaemonLimits, WithoutItTheDaemonsOwnScoreIsTheLowest) {
  EXPECT_EQ(DaemonLimits::ProbeWith({}).min_oom_score_adj, OwnOomScore());
  EXPECT_TRUE(InChild([] {
    const int higher = std::min(1000, OwnOomScore() + 300);
    if (!WriteExisting("/proc/self/oom_score_adj", Cat(higher)).ok()) return false;
    return DaemonLimits::ProbeWith({"CAP_CHOWN"}).min_oom_score_adj == higher;
  }));
}

TEST(DaemonLimits, TheBoundingSetIsThisProcesss) {
  const DaemonLimits limits = DaemonLimits::Probe();
  EXPECT_THAT(AllCapabilities(), IsSupersetOf(limits.bounding_capabilities));
  EXPECT_THAT(limits.bounding_capabilities, Contains("CAP_CHOWN"));
  EXPECT_TRUE(InChild([] {
    if (prctl(PR_CAPBSET_DROP, CapabilityNumber("CAP_SYS_RESOURCE"), 0, 0, 0) != 0) return false;
    if (prctl(PR_CAPBSET_DROP, CapabilityNumber("CAP_CHOWN"), 0, 0, 0) != 0) return false;
    const DaemonLimits fewer = DaemonLimits::Probe();
    return !fewer.bounding_capabilities.contains("CAP_CHOWN") &&
           !fewer.bounding_capabilities.contains("CAP_SYS_RESOURCE") &&
           fewer.min_oom_score_adj == OwnOomScore();
  }));
}

class LimitsInSpec : public SpecFixture {
 protected:
  int64_t OomScoreWith(const std::set<std::string>& capabilities) {
    limits_ = DaemonLimits::ProbeWith(capabilities);
    return Config()["process"]["oomScoreAdj"];
  }
};

// kubelet asks for -997 for a guaranteed pod.
TEST_F(LimitsInSpec, AGuaranteedPodsScore) {
  container_.mutable_linux()->mutable_resources()->set_oom_score_adj(-997);
  EXPECT_EQ(OomScoreWith(AllCapabilities()), -997);
  std::set<std::string> without = AllCapabilities();
  without.erase("CAP_SYS_RESOURCE");
  EXPECT_EQ(OomScoreWith(without), OwnOomScore());
}

TEST_F(LimitsInSpec, NoContainerGetsWhatTheDaemonLacks) {
  Context()->mutable_capabilities()->add_add_capabilities("ALL");
  limits_ = DaemonLimits::ProbeWith({"CAP_CHOWN", "CAP_SYS_RESOURCE"});
  EXPECT_EQ(Config()["process"]["capabilities"]["bounding"],
            Json::parse(R"(["CAP_CHOWN", "CAP_SYS_RESOURCE"])"));
  limits_ = DaemonLimits::ProbeWith({"CAP_CHOWN"});
  EXPECT_EQ(Config()["process"]["capabilities"]["bounding"], Json::parse(R"(["CAP_CHOWN"])"));
}

}  // namespace
}  // namespace crisp
