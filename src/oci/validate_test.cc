#include "oci/validate.h"

#include "gmock/gmock.h"
#include "oci/spec_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

namespace v1 = ::runtime::v1;

class ValidateTest : public SpecFixture {
 protected:
  using SpoilPod = std::function<void(v1::PodSandboxConfig&)>;
  using SpoilContainer = std::function<void(v1::ContainerConfig&)>;
};

TEST_F(ValidateTest, Pods) {
  EXPECT_TRUE(ValidatePodConfig(pod_).ok());
  const std::pair<const char*, SpoilPod> bad[] = {
      {"metadata", [](auto& p) { p.clear_metadata(); }},
      {"metadata.name", [](auto& p) { p.mutable_metadata()->clear_name(); }},
      {"metadata.namespace", [](auto& p) { p.mutable_metadata()->clear_namespace_(); }},
      {"metadata.uid", [](auto& p) { p.mutable_metadata()->clear_uid(); }},
      {"metadata.name", [](auto& p) { p.mutable_metadata()->set_name("a\nb"); }},
      {"hostname", [](auto& p) { p.set_hostname("a b"); }},
      {"hostname", [](auto& p) { p.set_hostname(std::string(65, 'a')); }},
      {"hostname", [](auto& p) { p.set_hostname("../x"); }},
      {"log_directory", [](auto& p) { p.set_log_directory("relative"); }},
      {"log_directory", [](auto& p) { p.set_log_directory("/var/../etc"); }},
      {"dns_config", [](auto& p) { p.mutable_dns_config()->add_servers("1.1.1.1\nnameserver x"); }},
      {"dns_config", [](auto& p) { p.mutable_dns_config()->add_searches(""); }},
      {"port_mappings", [](auto& p) { p.add_port_mappings()->set_host_port(65536); }},
      {"port_mappings", [](auto& p) { p.add_port_mappings()->set_host_port(80); }},
      {"port_mappings", [](auto& p) { p.add_port_mappings()->set_container_port(-1); }},
      {"sysctls", [](auto& p) { (*p.mutable_linux()->mutable_sysctls())["vm.x"] = "1"; }},
      {"cgroup_parent",
       [](auto& p) { p.mutable_linux()->set_cgroup_parent(std::string(4000, 'a')); }},
      {"pid",
       [](auto& p) {
         p.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
             v1::TARGET);
       }},
      {"network",
       [](auto& p) {
         p.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
             v1::CONTAINER);
       }},
      {"ipc",
       [](auto& p) {
         p.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_ipc(
             v1::TARGET);
       }},
  };
  for (const auto& [field, spoil] : bad) {
    v1::PodSandboxConfig pod = pod_;
    spoil(pod);
    const absl::Status status = ValidatePodConfig(pod);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
}

TEST_F(ValidateTest, Containers) {
  const std::pair<const char*, SpoilContainer> bad[] = {
      {"metadata.name", [](auto& c) { c.clear_metadata(); }},
      {"image", [](auto& c) { c.clear_image(); }},
      {"log_path", [](auto& c) { c.set_log_path("../../etc/passwd"); }},
      {"log_path", [](auto& c) { c.set_log_path("/abs"); }},
      {"stop_signal", [](auto& c) { c.set_stop_signal(static_cast<v1::Signal>(700)); }},
      {"run_as_group",
       [](auto& c) {
         c.mutable_linux()->mutable_security_context()->mutable_run_as_group()->set_value(1);
       }},
      {"privileged",
       [](auto& c) { c.mutable_linux()->mutable_security_context()->set_privileged(true); }},
      {"target_id",
       [](auto& c) {
         c.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
             v1::TARGET);
       }},
      {"seccomp",
       [](auto& c) {
         c.mutable_linux()->mutable_security_context()->mutable_seccomp()->set_profile_type(
             static_cast<v1::SecurityProfile::ProfileType>(9));
       }},
  };
  EXPECT_TRUE(ValidateContainerConfig(pod_, container_).ok());
  for (const auto& [field, spoil] : bad) {
    v1::ContainerConfig container = container_;
    spoil(container);
    const absl::Status status = ValidateContainerConfig(pod_, container);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
}

TEST_F(ValidateTest, UserNamespaces) {
  const auto with = [&](v1::NamespaceMode mode, std::vector<v1::IDMapping> ranges) {
    v1::PodSandboxConfig pod = pod_;
    auto* userns = pod.mutable_linux()
                       ->mutable_security_context()
                       ->mutable_namespace_options()
                       ->mutable_userns_options();
    userns->set_mode(mode);
    for (const v1::IDMapping& range : ranges) {
      *userns->add_uids() = range;
      *userns->add_gids() = range;
    }
    return ValidatePodConfig(pod).code();
  };
  const auto range = [](uint32_t container, uint32_t length) {
    v1::IDMapping mapping;
    mapping.set_host_id(100000);
    mapping.set_container_id(container);
    mapping.set_length(length);
    return mapping;
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(with(v1::NODE, {}), absl::StatusCode::kOk);
  EXPECT_EQ(with(v1::NODE, {range(0, 5)}), kInvalid);
  EXPECT_EQ(with(v1::CONTAINER, {}), kInvalid);
  EXPECT_EQ(with(v1::TARGET, {}), kInvalid);
  EXPECT_EQ(with(v1::POD, {}), kInvalid);
  EXPECT_EQ(with(v1::POD, {range(0, 5), range(5, 5)}), kInvalid);
  EXPECT_EQ(with(v1::POD, {range(1, 5)}), kInvalid);
  EXPECT_EQ(with(v1::POD, {range(0, 0)}), kInvalid);
  EXPECT_EQ(with(v1::POD, {range(0, 65536)}), absl::StatusCode::kOk);
  EXPECT_EQ(with(v1::POD, {range(0, UINT32_MAX)}), kInvalid);
}

TEST_F(ValidateTest, AContainerIsInItsPodsUserNamespace) {
  const auto set = [](auto* context, uint32_t host) {
    auto* userns = context->mutable_namespace_options()->mutable_userns_options();
    userns->Clear();
    userns->set_mode(v1::POD);
    for (auto* range : {userns->add_uids(), userns->add_gids()}) {
      range->set_host_id(host);
      range->set_length(65536);
    }
  };
  auto* context = container_.mutable_linux()->mutable_security_context();
  auto* pods = pod_.mutable_linux()->mutable_security_context();
  set(context, 100000);
  EXPECT_THAT(std::string(ValidateContainerConfig(pod_, container_).message()),
              HasSubstr("is not that of the pod"));
  set(pods, 100000);
  EXPECT_TRUE(ValidateContainerConfig(pod_, container_).ok());
  EXPECT_EQ(UserNamespaceOf(pod_).RootUid(), 100000u);
  set(context, 200000);
  EXPECT_THAT(std::string(ValidateContainerConfig(pod_, container_).message()),
              HasSubstr("other id mappings"));
  context->mutable_namespace_options()->mutable_userns_options()->Clear();
  context->mutable_namespace_options()->mutable_userns_options()->set_mode(v1::NODE);
  EXPECT_FALSE(ValidateContainerConfig(pod_, container_).ok());
  context->mutable_namespace_options()->clear_userns_options();
  EXPECT_TRUE(ValidateContainerConfig(pod_, container_).ok());
}

}  // namespace
}  // namespace crisp
