#include "cli/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crisp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class NamesTest : public testing::Test {
 protected:
  void Pod(const std::string& id, const std::string& name, const std::string& ns = "default") {
    cri::PodSandbox pod;
    pod.set_id(id);
    pod.mutable_metadata()->set_name(name);
    pod.mutable_metadata()->set_namespace_(ns);
    inventory_.pods.push_back(pod);
  }
  void Container(const std::string& id, const std::string& pod, const std::string& name,
                 cri::ContainerState state = cri::CONTAINER_RUNNING, uint32_t attempt = 0) {
    cri::Container container;
    container.set_id(id);
    container.set_pod_sandbox_id(pod);
    container.mutable_metadata()->set_name(name);
    container.mutable_metadata()->set_attempt(attempt);
    container.set_state(state);
    inventory_.containers.push_back(container);
  }
  // "pod ID", "container ID" or the error.
  std::string Named(std::string_view word) {
    const auto named = FindNamed(inventory_, word);
    if (!named.ok()) return named.status().ToString();
    return named->pod != nullptr ? "pod " + named->pod->id()
                                 : "container " + named->container->id();
  }
  std::string ContainerOf(std::string_view word) {
    const auto found = FindContainer(inventory_, word);
    return found.ok() ? (*found)->id() : found.status().ToString();
  }
  Inventory inventory_;
};

TEST_F(NamesTest, FindsByIdNameAndPrefix) {
  Pod("aa11", "web");
  Container("bb22", "aa11", "nginx");
  EXPECT_EQ(Named("aa11"), "pod aa11");
  EXPECT_EQ(Named("web"), "pod aa11");
  EXPECT_EQ(Named("default/web"), "pod aa11");
  EXPECT_EQ(Named("a"), "pod aa11");
  EXPECT_EQ(Named("nginx"), "container bb22");
  EXPECT_EQ(Named("web/nginx"), "container bb22");
  EXPECT_EQ(Named("bb"), "container bb22");
  EXPECT_THAT(Named("other"),
              AllOf(HasSubstr("NOT_FOUND"), HasSubstr("\"other\""), HasSubstr("crisp ps --all")));
  EXPECT_THAT(Named(""), HasSubstr("NOT_FOUND"));
}

TEST_F(NamesTest, AnExactIdWinsOverANameAndANameOverAPrefix) {
  Pod("abc", "x");
  Pod("abcd", "ab");
  EXPECT_EQ(Named("abc"), "pod abc");
  EXPECT_EQ(Named("ab"), "pod abcd");
  EXPECT_THAT(Named("a"), AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("default/x"),
                                HasSubstr("default/ab")));
}

TEST_F(NamesTest, PodAndContainerOfOneName) {
  Pod("aa11", "web");
  Container("bb22", "aa11", "web");
  EXPECT_EQ(Named("web"), "pod aa11");
  EXPECT_EQ(ContainerOf("web"), "bb22");
}

TEST_F(NamesTest, OneNameInTwoNamespacesNeedsTheNamespace) {
  Pod("aa11", "web", "one");
  Pod("bb22", "web", "two");
  EXPECT_THAT(Named("web"), HasSubstr("may mean any of these"));
  EXPECT_EQ(Named("two/web"), "pod bb22");
}

TEST_F(NamesTest, APodStandsForItsOnlyOrOnlyRunningContainer) {
  Pod("aa11", "web");
  EXPECT_THAT(ContainerOf("web"), HasSubstr("has no container"));
  Container("b1", "aa11", "init", cri::CONTAINER_EXITED);
  EXPECT_EQ(ContainerOf("web"), "b1");
  Container("b2", "aa11", "main");
  EXPECT_EQ(ContainerOf("web"), "b2");
  Container("b3", "aa11", "side");
  EXPECT_THAT(ContainerOf("web"), AllOf(HasSubstr("web/main"), HasSubstr("web/side")));
}

TEST_F(NamesTest, OfSeveralAttemptsTheLatestIsMeant) {
  Pod("aa11", "web");
  Container("b1", "aa11", "main", cri::CONTAINER_EXITED, 0);
  Container("b2", "aa11", "main", cri::CONTAINER_EXITED, 1);
  EXPECT_EQ(ContainerOf("main"), "b2");
  EXPECT_EQ(ContainerOf("web"), "b2");
  EXPECT_EQ(ContainerOf("b1"), "b1");
}

}  // namespace
}  // namespace crisp
