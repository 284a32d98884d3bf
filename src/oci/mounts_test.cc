#include "oci/mounts.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "gmock/gmock.h"
#include "oci/spec_fixture.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace v1 = ::runtime::v1;

class MountsTest : public SpecFixture {
 protected:
  std::vector<std::string> Destinations() {
    std::vector<std::string> list;
    const Json config = Config();
    for (const Json& mount : config["mounts"]) list.push_back(mount["destination"]);
    return list;
  }
  Json OptionsAt(const std::string& destination) {
    return MountAt(Config(), destination)["options"];
  }
};

TEST_F(MountsTest, Defaults) {
  EXPECT_THAT(Destinations(),
              ElementsAre("/proc", "/dev", "/sys", "/dev/pts", "/dev/mqueue", "/dev/shm",
                          "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/sys/fs/cgroup"));
  EXPECT_EQ(MountAt(Config(), "/dev/shm")["source"], "/run/crisp/pods/p1/shm");
  EXPECT_EQ(OptionsAt("/sys"), Json({"nosuid", "noexec", "nodev", "ro"}));
  EXPECT_EQ(OptionsAt("/etc/hosts"), Json({"rbind", "rprivate", "rw"}));
  Context()->set_readonly_rootfs(true);
  EXPECT_EQ(OptionsAt("/etc/hosts"), Json({"rbind", "rprivate", "ro"}));
  EXPECT_EQ(Config()["root"]["readonly"], true);
  pod_facts_.shm_path = "";
  EXPECT_EQ(MountAt(Config(), "/dev/shm")["source"], "/dev/shm") << "the host's IPC";
}

TEST_F(MountsTest, CriMountsReplaceAndAreSortedByDepth) {
  AddMount("/a/b/c", folder_);
  AddMount("/a", folder_);
  AddMount("/etc/hosts/", folder_);
  AddMount("/sys", folder_);
  AddMount("a//x/../b", folder_)->set_readonly(true);
  EXPECT_THAT(Destinations(), ElementsAre("/proc", "/dev", "/a", "/sys", "/dev/pts", "/dev/mqueue",
                                          "/dev/shm", "/etc/hostname", "/etc/resolv.conf",
                                          "/etc/hosts", "/a/b", "/sys/fs/cgroup", "/a/b/c"));
  EXPECT_EQ(MountAt(Config(), "/etc/hosts")["source"], folder_);
  EXPECT_EQ(OptionsAt("/a/b"), Json({"rbind", "rprivate", "ro"}));
}

TEST_F(MountsTest, MountOnDevBringsItsOwnContent) {
  AddMount("/dev", "/dev");
  EXPECT_THAT(Destinations(), ElementsAre("/proc", "/sys", "/dev", "/etc/hostname", "/etc/hosts",
                                          "/etc/resolv.conf", "/sys/fs/cgroup"));
}

TEST_F(MountsTest, SourceIsResolvedOrMade) {
  const std::string real = JoinPath(folder_, "real");
  const std::string link = JoinPath(folder_, "link");
  ASSERT_EQ(mkdir(real.c_str(), 0700), 0);
  ASSERT_EQ(symlink("real", link.c_str()), 0);
  AddMount("/one", link);
  AddMount("/two", JoinPath(folder_, "new/deep"));
  EXPECT_EQ(MountAt(Config(), "/one")["source"], real);
  EXPECT_EQ(MountAt(Config(), "/two")["source"], JoinPath(folder_, "new/deep"));
  struct stat info;
  ASSERT_EQ(stat(JoinPath(folder_, "new/deep").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode, mode_t{S_IFDIR | 0755});
}

TEST_F(MountsTest, NothingIsMadeForARefusedContainer) {
  AddMount("/two", JoinPath(folder_, "new/deep"));
  Context()->set_run_as_username("ghost");
  EXPECT_THAT(Refused(), HasSubstr("ghost"));
  EXPECT_FALSE(PathExists(JoinPath(folder_, "new")));
}

TEST_F(MountsTest, Propagation) {
  const auto with = [&](v1::MountPropagation propagation) {
    container_.clear_mounts();
    AddMount("/m", folder_)->set_propagation(propagation);
  };
  // A mount of its own whose propagation this test sets, in a mount namespace of its own.
  ASSERT_EQ(mount("none", folder_.c_str(), "tmpfs", 0, nullptr), 0);
  struct Unmount {
    std::string path;
    ~Unmount() { umount2(path.c_str(), MNT_DETACH); }
  } unmount{folder_};
  ASSERT_EQ(mount(nullptr, folder_.c_str(), nullptr, MS_PRIVATE, nullptr), 0);
  with(v1::PROPAGATION_BIDIRECTIONAL);
  EXPECT_THAT(Refused(), HasSubstr("not on a shared mount"));
  with(v1::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_THAT(Refused(), HasSubstr("neither on a shared nor on a slave mount"));
  with(v1::PROPAGATION_PRIVATE);
  EXPECT_FALSE(Config()["linux"].contains("rootfsPropagation"));

  ASSERT_EQ(mount(nullptr, folder_.c_str(), nullptr, MS_SHARED, nullptr), 0);
  with(v1::PROPAGATION_BIDIRECTIONAL);
  EXPECT_EQ(OptionsAt("/m"), Json({"rbind", "rshared", "rw"}));
  EXPECT_EQ(Config()["linux"]["rootfsPropagation"], "rshared");
  AddMount("/n", folder_)->set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(Config()["linux"]["rootfsPropagation"], "rshared") << "the wider one stays";
  with(v1::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(OptionsAt("/m"), Json({"rbind", "rslave", "rw"}));
  EXPECT_EQ(Config()["linux"]["rootfsPropagation"], "rslave");
}

TEST_F(MountsTest, RecursiveReadOnly) {
  v1::Mount* mount = AddMount("/m", folder_);
  mount->set_recursive_read_only(true);
  EXPECT_THAT(Refused(), HasSubstr("without readonly"));
  mount->set_readonly(true);
  EXPECT_EQ(OptionsAt("/m"), Json({"rbind", "rprivate", "rro"}));
  for (const auto propagation :
       {v1::PROPAGATION_HOST_TO_CONTAINER, v1::PROPAGATION_BIDIRECTIONAL}) {
    mount->set_propagation(propagation);
    EXPECT_THAT(Refused(), HasSubstr("PROPAGATION_PRIVATE"));
  }
  mount->set_propagation(v1::PROPAGATION_PRIVATE);
  limits_.recursive_read_only = false;
  const auto spec = Build();
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kUnknown);
  EXPECT_TRUE(FromAbsl(spec.status().message()).starts_with("RROUnsupported: "))
      << "the words that kubelets look for";
}

TEST_F(MountsTest, MountOptions) {
  v1::Mount* mount = AddMount("/m", folder_);
  mount->add_mount_options("noexec");
  mount->add_mount_options("nosuid");
  EXPECT_EQ(OptionsAt("/m"), Json({"rbind", "rprivate", "rw", "noexec", "nosuid"}));
  mount->add_mount_options("suid");
  EXPECT_THAT(Refused(), HasSubstr("\"suid\""));
}

TEST_F(MountsTest, BadOnesAreRefused) {
  const auto refused = [&](const std::string& container_path, const std::string& host_path) {
    container_.clear_mounts();
    AddMount(container_path, host_path);
    return Refused();
  };
  EXPECT_THAT(refused("", folder_), HasSubstr("container_path"));
  EXPECT_THAT(refused("/", folder_), HasSubstr("root"));
  EXPECT_THAT(refused("/a/..", folder_), HasSubstr("root"));
  EXPECT_THAT(refused("/m", ""), HasSubstr("host_path"));
  EXPECT_THAT(refused("/m", "relative"), HasSubstr("host_path"));
  EXPECT_THAT(refused(std::string("/m\0x", 4), folder_), HasSubstr("NUL"));
  container_.clear_mounts();
  AddMount("/m", folder_)->mutable_image()->set_image("busybox");
  EXPECT_THAT(Refused(), HasSubstr("both"));
  container_.mutable_mounts(0)->clear_host_path();
  for (const char* path : {"/etc", "../x", "a/../b"}) {
    container_.mutable_mounts(0)->set_image_sub_path(path);
    EXPECT_THAT(Refused(), HasSubstr("image_sub_path"));
  }
  container_.mutable_mounts(0)->clear_image_sub_path();
  container_.mutable_mounts(0)->set_propagation(v1::PROPAGATION_BIDIRECTIONAL);
  EXPECT_THAT(Refused(), HasSubstr("PROPAGATION_PRIVATE"));
  container_.clear_mounts();
  AddMount("/m", folder_)->add_uidmappings();
  EXPECT_THAT(Refused(), HasSubstr("only one of"));
  container_.mutable_mounts(0)->add_gidmappings();
  EXPECT_THAT(Refused(), HasSubstr("empty"));
}

TEST_F(MountsTest, ImagesAreMountedReadOnly) {
  auto* mount = AddMount("/models", "");
  mount->mutable_image()->set_image("models:1");
  facts_.image_mounts = {{"/models", "/run/crisp/pods/p1/images/abc/data"}};
  const Json built = MountAt(Config(), "/models");
  EXPECT_EQ(built["source"], "/run/crisp/pods/p1/images/abc/data");
  EXPECT_EQ(built["options"], Json({"bind", "rprivate", "ro", "nosuid", "nodev", "noexec"}));
}

TEST_F(MountsTest, IdMappedMounts) {
  auto* mount = AddMount("/m", folder_);
  for (auto* mapping : {mount->add_uidmappings(), mount->add_gidmappings()}) {
    mapping->set_host_id(100000);
    mapping->set_length(65536);
  }
  const Json expected = Json::parse(R"([{"containerID": 0, "hostID": 100000, "size": 65536}])");
  const Json built = MountAt(Config(), "/m");
  EXPECT_EQ(built["uidMappings"], expected);
  EXPECT_EQ(built["gidMappings"], expected);
  limits_.user_namespaces = absl::FailedPreconditionError("this kernel is too old");
  EXPECT_THAT(std::string(Build().status().message()), HasSubstr("too old"));
}

TEST_F(MountsTest, InAUserNamespace) {
  pod_facts_.user_path = "/run/crisp/pods/p1/user";
  pod_facts_.id_maps = {{{0, 100000, 65536}}, {{0, 100000, 65536}}};
  container_.add_devices()->set_host_path("/dev/null");
  container_.mutable_devices(0)->set_container_path("/dev/own-null");
  facts_.image_volumes = {{folder_, "/volume"}};
  Json config = Config();
  EXPECT_EQ(config["linux"]["uidMappings"],
            Json::parse(R"([{"containerID": 0, "hostID": 100000, "size": 65536}])"));
  EXPECT_FALSE(config["linux"].contains("devices"));
  EXPECT_EQ(MountAt(config, "/dev/own-null")["source"], "/dev/null");
  EXPECT_EQ(MountAt(config, "/volume")["uidMappings"], config["linux"]["uidMappings"]);
  EXPECT_EQ(MountAt(config, "/sys")["type"], "sysfs");
  // What belongs to the host's namespaces cannot be mounted anew.
  pod_facts_.netns_path.clear();
  pod_facts_.ipc_path.clear();
  pod_facts_.host_pids = true;
  pod_facts_.id_maps.gids[0].length = 5;
  config = Config();
  EXPECT_EQ(MountAt(config, "/sys")["type"], "bind");
  EXPECT_EQ(MountAt(config, "/sys")["options"],
            Json({"rbind", "rslave", "nosuid", "noexec", "nodev", "rro"}));
  EXPECT_EQ(MountAt(config, "/proc")["type"], "bind");
  const Json queues = MountAt(config, "/dev/mqueue");  // only if the host has it
  EXPECT_EQ(JsonString(queues, "type"), PathExists("/dev/mqueue") ? "bind" : "");
  const Json terminals = MountAt(config, "/dev/pts");
  for (const Json& option : terminals["options"]) EXPECT_NE(option, "gid=5");
}

}  // namespace
}  // namespace crisp
