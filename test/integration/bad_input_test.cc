// What a client can get wrong: each gets the right code and a sentence that names object and cause,
// and nothing half-made stays behind (NodeTest compares).
#include <functional>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;

class BadInput : public NodeTest {
 protected:
  // The error of RunPodSandbox with a configuration that `spoil` has changed.
  absl::Status RunSpoilt(const std::function<void(v1::PodSandboxConfig&)>& spoil) {
    v1::PodSandboxConfig config = PodConfig("spoilt");
    spoil(config);
    const absl::Status status = cri().RunPod(config).status();
    EXPECT_THAT(Must(cri().ListPods()), IsEmpty());
    return status;
  }

  // The error of CreateContainer or, failing that, of StartContainer.
  absl::Status CreateSpoilt(const Pod& pod,
                            const std::function<void(v1::ContainerConfig&)>& spoil) {
    v1::ContainerConfig config = ContainerConfig("spoilt", {"true"});
    spoil(config);
    const auto created = cri().CreateContainer(pod.id, config, pod.config);
    if (!created.ok()) return created.status();
    const absl::Status status = cri().StartContainer(*created);
    EXPECT_THAT(cri().RemoveContainer(*created), IsOk());
    return status;
  }
};

TEST_F(BadInput, PodsWithMissingOrWrongFields) {
  EXPECT_THAT(cri().RunPod(v1::PodSandboxConfig()),
              Fails(StatusCode::kInvalidArgument, "metadata"));
  EXPECT_THAT(RunSpoilt([](auto& c) { c.mutable_metadata()->clear_name(); }),
              Fails(StatusCode::kInvalidArgument, "name"));
  EXPECT_THAT(RunSpoilt([](auto& c) { c.mutable_metadata()->clear_namespace_(); }),
              Fails(StatusCode::kInvalidArgument, "namespace"));
  EXPECT_THAT(RunSpoilt([](auto& c) { c.mutable_metadata()->clear_uid(); }),
              Fails(StatusCode::kInvalidArgument, "uid"));
  EXPECT_THAT(RunSpoilt([](auto& c) { c.set_hostname(std::string(65, 'h')); }),
              Fails(StatusCode::kInvalidArgument, "host"));
  EXPECT_THAT(RunSpoilt([](auto& c) { c.set_log_directory("relative/path"); }),
              Fails(StatusCode::kInvalidArgument, "relative/path"));
  EXPECT_THAT(RunSpoilt([](auto& c) {
                (*c.mutable_linux()->mutable_sysctls())["no.such.sysctl"] = "1";
              }).message(),
              HasSubstr("no.such.sysctl"));
  EXPECT_THAT(
      RunSpoilt([](auto& c) { (*c.mutable_linux()->mutable_sysctls())["../../etc/passwd"] = "1"; }),
      Fails(StatusCode::kInvalidArgument, "etc/passwd"));
  EXPECT_THAT(RunSpoilt([](auto& c) {
                auto* port = c.add_port_mappings();
                port->set_host_port(70000);
                port->set_container_port(80);
              }),
              Fails(StatusCode::kInvalidArgument, "70000"));
  EXPECT_THAT(RunSpoilt([](auto& c) {
                auto* port = c.add_port_mappings();
                port->set_host_port(12345);
                port->set_container_port(80);
                port->set_host_ip("not an address");
              }),
              Fails(StatusCode::kInvalidArgument, "not an address"));
  EXPECT_THAT(RunSpoilt([](auto& c) {
                auto* options =
                    c.mutable_linux()->mutable_security_context()->mutable_namespace_options();
                options->mutable_userns_options()->set_mode(v1::CONTAINER);
              }).message(),
              HasSubstr("user"));
}

TEST_F(BadInput, AnUnknownHandlerIsNamed) {
  EXPECT_THAT(cri().RunPod(PodConfig("handler"), "no-such-handler").status().message(),
              HasSubstr("no-such-handler"));
  EXPECT_THAT(Must(cri().ListPods()), IsEmpty());
}

TEST_F(BadInput, UnknownIds) {
  const std::string id(64, 'f');
  EXPECT_THAT(cri().PodStatus(id), Fails(StatusCode::kNotFound, id));
  EXPECT_THAT(cri().StopPod(id), IsOk());
  EXPECT_THAT(cri().RemovePod(id), IsOk());
  EXPECT_THAT(cri().CreateContainer(id, ContainerConfig("x", {"true"}), PodConfig("x")),
              Fails(StatusCode::kNotFound, id));
  EXPECT_THAT(cri().StartContainer(id), Fails(StatusCode::kNotFound, id));
  EXPECT_THAT(cri().StopContainer(id, 1), IsOk());
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
  EXPECT_THAT(cri().ContainerStatus(id), Fails(StatusCode::kNotFound, id));
  EXPECT_THAT(cri().ExecSync(id, {"true"}), Fails(StatusCode::kNotFound, id));
  EXPECT_THAT(cri().ReopenLog(id), Fails(StatusCode::kNotFound, id));
  EXPECT_THAT(cri().RemoveImage("registry.test/no:such"), IsOk());
  EXPECT_FALSE(Must(cri().ImageStatus("registry.test/no:such")).has_value());
}

TEST_F(BadInput, EmptyIdsAreNoPrefix) {
  const Pod pod = RunPod("only");
  const std::string container = StartIdle(pod);
  EXPECT_FALSE(cri().PodStatus("").ok());
  EXPECT_FALSE(cri().ContainerStatus("").ok());
  EXPECT_FALSE(cri().ExecSync("", {"true"}).ok());
  (void)cri().RemovePod("");
  (void)cri().RemoveContainer("");
  (void)cri().StopContainer("", 0);
  EXPECT_EQ(Must(cri().ContainerStatus(container)).state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(Must(cri().PodStatus(pod.id)).state(), v1::SANDBOX_READY);
}

TEST_F(BadInput, AmbiguousPrefixes) {
  // With 17 pods two share their first hex digit.
  std::map<char, int> first;
  for (int i = 0; i < 17; ++i) ++first[RunPod(Cat("p", i)).id[0]];
  for (const auto& [digit, count] : first) {
    if (count < 2) continue;
    EXPECT_THAT(cri().PodStatus(std::string(1, digit)),
                Fails(StatusCode::kInvalidArgument, std::string(1, digit)));
    return;
  }
}

TEST_F(BadInput, WrongStates) {
  const Pod pod = RunPod("states");
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(cri().CreateContainer(pod.id, ContainerConfig("late", {"true"}), pod.config),
              Fails(StatusCode::kFailedPrecondition, pod.id));
}

TEST_F(BadInput, ContainersWithMissingOrWrongFields) {
  const Pod pod = RunPod("create");
  const auto fails = [&](StatusCode code, const std::string& part,
                         const std::function<void(v1::ContainerConfig&)>& spoil) {
    EXPECT_THAT(CreateSpoilt(pod, spoil), Fails(code, part));
    EXPECT_THAT(Must(cri().ListContainers()), IsEmpty());
  };
  const auto security = [](v1::ContainerConfig& c) {
    return c.mutable_linux()->mutable_security_context();
  };
  fails(StatusCode::kInvalidArgument, "metadata", [](auto& c) { c.clear_metadata(); });
  fails(StatusCode::kInvalidArgument, "name", [](auto& c) { c.mutable_metadata()->clear_name(); });
  fails(StatusCode::kInvalidArgument, "image", [](auto& c) { c.clear_image(); });
  fails(StatusCode::kNotFound, "registry.test/nothing",
        [](auto& c) { c.mutable_image()->set_image("registry.test/nothing:1"); });
  fails(StatusCode::kInvalidArgument, "group",
        [&](auto& c) { security(c)->mutable_run_as_group()->set_value(5); });
  fails(StatusCode::kInvalidArgument, "-5",
        [&](auto& c) { security(c)->mutable_run_as_user()->set_value(-5); });
  fails(StatusCode::kInvalidArgument, "SUPER_POWER",
        [&](auto& c) { security(c)->mutable_capabilities()->add_add_capabilities("SUPER_POWER"); });
  fails(StatusCode::kInvalidArgument, "nobody-of-this-name",
        [&](auto& c) { security(c)->set_run_as_username("nobody-of-this-name"); });
  fails(StatusCode::kInvalidArgument, "privileged",
        [&](auto& c) { security(c)->set_privileged(true); });
  fails(StatusCode::kInvalidArgument, "/no/such/profile.json", [&](auto& c) {
    security(c)->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
    security(c)->mutable_seccomp()->set_localhost_ref("/no/such/profile.json");
  });
  fails(StatusCode::kInvalidArgument, "recursive", [](auto& c) {
    c.add_mounts()->set_container_path("/x");
    c.mutable_mounts(0)->set_host_path("/tmp");
    c.mutable_mounts(0)->set_recursive_read_only(true);
  });
  fails(StatusCode::kInvalidArgument, "/dev/no-such-device", [](auto& c) {
    c.add_devices()->set_host_path("/dev/no-such-device");
    c.mutable_devices(0)->set_container_path("/dev/x");
    c.mutable_devices(0)->set_permissions("rwm");
  });
  fails(StatusCode::kInvalidArgument, "qqq", [](auto& c) {
    c.add_devices()->set_host_path("/dev/null");
    c.mutable_devices(0)->set_container_path("/dev/x");
    c.mutable_devices(0)->set_permissions("qqq");
  });
  fails(StatusCode::kInvalidArgument, "../../escape.log",
        [](auto& c) { c.set_log_path("../../escape.log"); });
  fails(StatusCode::kInvalidArgument, "signal",
        [](auto& c) { c.set_stop_signal(static_cast<v1::Signal>(200)); });
  fails(StatusCode::kInvalidArgument, "", [&](auto& c) {
    security(c)->mutable_namespace_options()->set_pid(v1::TARGET);
    security(c)->mutable_namespace_options()->set_target_id("no-such-container");
  });
}

TEST_F(BadInput, AnImageWithoutACommandNeedsOne) {
  TestImage image = BusyboxImage();
  image.config = nlohmann::json::object();
  registry().Push("nocommand:latest", image);
  ASSERT_THAT(cri().Pull("registry.test/nocommand:latest"), IsOk());
  const Pod pod = RunPod("nocommand");
  v1::ContainerConfig config = ContainerConfig("main", {});
  config.mutable_image()->set_image("registry.test/nocommand:latest");
  EXPECT_THAT(cri().CreateContainer(pod.id, config, pod.config),
              Fails(StatusCode::kInvalidArgument, "command"));
}

TEST_F(BadInput, DuplicateHostPorts) {
  v1::PodSandboxConfig config = PodConfig("first");
  auto* port = config.add_port_mappings();
  port->set_host_port(23456);
  port->set_container_port(80);
  const Pod first = RunPod(config);
  v1::PodSandboxConfig second = PodConfig("second");
  *second.add_port_mappings() = config.port_mappings(0);
  EXPECT_THAT(cri().RunPod(second).status().message(), HasSubstr("23456"));
}

TEST_F(BadInput, StatusIsReadyAndVersionComplete) {
  const auto version = Must(cri().Call(&CriClient::RuntimeStub::Version, v1::VersionRequest()));
  EXPECT_EQ(version.version(), "0.1.0");
  EXPECT_EQ(version.runtime_name(), "crisp");
  EXPECT_FALSE(version.runtime_version().empty());
  EXPECT_EQ(version.runtime_api_version(), "v1");
  const auto status = Must(cri().Call(&CriClient::RuntimeStub::Status, v1::StatusRequest()));
  std::map<std::string, bool> conditions;
  for (const v1::RuntimeCondition& condition : status.status().conditions())
    conditions[condition.type()] = condition.status();
  EXPECT_TRUE(conditions["RuntimeReady"]);
  EXPECT_TRUE(conditions["NetworkReady"]);
  EXPECT_GE(status.runtime_handlers_size(), 1);
  const auto runtime =
      Must(cri().Call(&CriClient::RuntimeStub::RuntimeConfig, v1::RuntimeConfigRequest()));
  EXPECT_EQ(runtime.linux().cgroup_driver(), v1::CGROUPFS);
}

}  // namespace
}  // namespace crisp
