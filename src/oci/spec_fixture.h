// What tests of oci/ share: a small pod, container and image, and a seccomp cache in a folder of
// its own. One thread.
#pragma once

#include <stdlib.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "gtest/gtest.h"
#include "kernel/capability.h"
#include "oci/spec.h"

namespace crisp {

class SpecFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/crisp-spec-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    auto cache = SeccompCache::Open(JoinPath(folder_, "seccomp"));
    ASSERT_TRUE(cache.ok()) << cache.status();
    cache_ = *std::move(cache);

    pod_.mutable_metadata()->set_name("web");
    pod_.mutable_metadata()->set_namespace_("shop");
    pod_.mutable_metadata()->set_uid("uid-1");
    container_.mutable_metadata()->set_name("nginx");
    container_.mutable_image()->set_image("sha256:abc");
    container_.add_command("/bin/server");
    Context()->mutable_namespace_options()->set_pid(runtime::v1::CONTAINER);
    image_.passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:\n";
    image_.group = "root:x:0:\nwww:x:33:\n";
    pod_facts_ = {.pod_id = "p1",
                  .netns_path = "/run/netns/crisp-p1",
                  .ipc_path = "/run/crisp/pods/p1/ipc",
                  .uts_path = "/run/crisp/pods/p1/uts",
                  .shm_path = "/run/crisp/pods/p1/shm",
                  .resolv_conf_path = "/run/crisp/pods/p1/resolv.conf",
                  .hosts_path = "/run/crisp/pods/p1/hosts",
                  .hostname_path = "/run/crisp/pods/p1/hostname",
                  .hostname = "web-host"};
    facts_ = {.id = "c1", .cgroup_path = "/crisp/p1/c1"};
    limits_.bounding_capabilities = {CapabilityNames().begin(), CapabilityNames().end()};
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  runtime::v1::LinuxContainerSecurityContext* Context() {
    return container_.mutable_linux()->mutable_security_context();
  }
  absl::StatusOr<BuiltSpec> Build() {
    return BuildSpec(pod_, container_, image_, pod_facts_, facts_, limits_, *cache_);
  }
  // The configuration; empty if it was refused, which fails the test.
  Json Config() {
    const auto spec = Build();
    EXPECT_TRUE(spec.ok()) << spec.status();
    return spec.ok() ? spec->config : Json();
  }
  // The words of the refusal, which must be InvalidArgument.
  std::string Refused() {
    const auto spec = Build();
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument) << spec.status();
    return std::string(spec.status().message());
  }
  runtime::v1::Mount* AddMount(const std::string& container_path, const std::string& host_path) {
    auto* mount = container_.add_mounts();
    mount->set_container_path(container_path);
    mount->set_host_path(host_path);
    return mount;
  }
  // The mount at this destination, or null.
  static Json MountAt(const Json& config, const std::string& destination) {
    for (const Json& mount : config["mounts"]) {
      if (mount["destination"] == destination) return mount;
    }
    return nullptr;
  }

  std::string folder_;
  std::unique_ptr<SeccompCache> cache_;
  runtime::v1::PodSandboxConfig pod_;
  runtime::v1::ContainerConfig container_;
  ImageConfig image_;
  PodFacts pod_facts_;
  ContainerFacts facts_;
  DaemonLimits limits_;
};

}  // namespace crisp
