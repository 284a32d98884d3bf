// Archives as Podman, CRI-O and containerd write them, each around CRIU's images of a dump of ours:
// a restore takes them, or says why not.
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "test/integration/checkpoint_fixture.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class CheckpointForeign : public CheckpointTest {
 protected:
  void SetUp() override {
    CheckpointTest::SetUp();
    if (HasFatalFailure()) return;
    const Pod pod = RunPod("one");
    const std::string id = Start(pod, Counter("counter"));
    image_id_ = Must(cri().ContainerStatus(id)).image_id();
    AwaitCount(pod, "counter", 3);
    ASSERT_THAT(Capture(id, Archive("ours.tar")), IsOk());
    spec_ = Must(ParseJson(Content(Archive("ours.tar"), "spec.dump"), "spec.dump"));
  }

  // The files that all of them have, with config.dump and spec.dump as the engine has them.
  void AddCommon(TestLayer& layer, const Json& config, const Json& spec) {
    layer.Folder("checkpoint/");
    for (const std::string& name : Names(Archive("ours.tar"))) {
      if (!name.starts_with("checkpoint/") || name.ends_with('/')) continue;
      layer.File(name, Content(Archive("ours.tar"), name), 0600);
    }
    layer.File("config.dump", config.dump(2)).File("spec.dump", spec.dump(2));
    layer.File("dump.log", "").File("stats-dump", "");
  }
  std::string Part(const char* name) { return Content(Archive("ours.tar"), name); }
  std::string HexId() const { return image_id_.substr(image_id_.find(':') + 1); }
  static Json Bind(const char* destination) {
    return {{"destination", destination},
            {"type", "bind"},
            {"source", "/elsewhere"},
            {"options", {"bind", "rprivate"}}};
  }

  // It is made, and goes on with what it had in memory and in its files.
  void ExpectRestored(const std::string& archive) {
    const Pod other = RunPod("two");
    const std::string restored = Restore(other, Counter("counter"), archive);
    AwaitCount(other, "counter", 5);
    EXPECT_GE(FirstCount(other, "counter"), 4);
    EXPECT_EQ(Exec(restored, "cat /data; ls -d /www 2>/dev/null || echo gone"), "kept\ngone");
    EXPECT_EQ(Must(cri().ContainerStatus(restored)).image_id(), image_id_);
  }
  absl::Status TryCreate(const std::string& archive, bool terminal = false) {
    const Pod other = RunPod(Cat("try-", ++tries_));
    v1::ContainerConfig config = Counter("counter");
    config.set_tty(terminal);
    config.mutable_image()->set_image(archive);
    return cri().CreateContainer(other.id, config, other.config).status();
  }
  Json PodmanConfig() const {
    return {{"spec", spec_},
            {"id", std::string(64, 'a')},
            {"name", "eager_counter"},
            {"lockID", 3},
            {"rootfsImageID", HexId()},
            {"rootfsImageName", "quay.io/some/other:name"},
            {"createdTime", "2024-05-06T07:08:09.123456789+02:00"},
            {"ociRuntime", "crun"},
            {"runtime", "crun"}};
  }
  Json PodmanSpec() const {
    Json spec = spec_;
    spec["annotations"] = {{"io.container.manager", "libpod"}};
    spec["mounts"].push_back(Bind("/run/.containerenv"));
    spec["linux"]["maskedPaths"] = {"/proc/kcore", "/sys/firmware"};
    return spec;
  }
  void AddPodman(TestLayer& layer, const Json& spec) {
    AddCommon(layer, PodmanConfig(), spec);
    layer.File("network.status", "null").File("ctr.log", "2024 stdout F 1\n");
    layer.File("rootfs-diff.tar", Part("rootfs-diff.tar"));
    layer.File("deleted.files", Part("deleted.files"));
    layer.File("devshm-checkpoint.tar", TestLayer().Folder("./").Tar());
  }

  std::string image_id_;
  int tries_ = 0;
  Json spec_;
};

TEST_F(CheckpointForeign, OneOfPodman) {
  TestLayer layer;
  AddPodman(layer, PodmanSpec());
  const std::string tar = layer.Tar();
  ASSERT_THAT(ReplaceFile(Archive("podman.tar.zst"), Zstd(tar)), IsOk());
  ExpectRestored(Archive("podman.tar.zst"));
}

TEST_F(CheckpointForeign, OneOfCrio) {
  Json spec = spec_;
  spec["annotations"] = {{"io.container.manager", "cri-o"},
                         {"io.kubernetes.cri-o.Metadata", R"({"name":"counter"})"}};
  spec["mounts"].push_back(Bind("/run/.containerenv"));
  // It lists neither /dev/shm nor the file that it adds itself.
  Json binds = Json::array();
  for (const Json& mount : Must(ParseJson(Part("bind.mounts"), "bind.mounts"))) {
    if (mount["destination"] != "/dev/shm") binds.push_back(mount);
  }
  TestLayer layer;
  AddCommon(layer,
            {{"id", std::string(64, 'b')},
             {"name", "k8s_counter_one_default_uid_0"},
             {"rootfsImage", kBusybox},
             {"rootfsImageRef", HexId()},
             {"rootfsImageName", kBusybox},
             {"runtime", "runc"},
             {"createdTime", "2024-05-06T07:08:09Z"},
             {"checkpointedTime", "2024-05-06T07:09:09Z"},
             {"restoredTime", "0001-01-01T00:00:00Z"},
             {"restored", false}},
            spec);
  layer.File("bind.mounts", binds.dump()).File("io.kubernetes.cri-o.LogPath", "a line\n");
  layer.File("rootfs-diff.tar", Part("rootfs-diff.tar"));
  layer.File("deleted.files", Part("deleted.files"));
  ASSERT_THAT(ReplaceFile(Archive("crio.tar"), layer.Tar()), IsOk());
  ExpectRestored(Archive("crio.tar"));
}

TEST_F(CheckpointForeign, OneOfContainerd) {
  // Its difference is a layer, with whiteouts.
  TestLayer diff;
  diff.File("data", "kept\n").File(".wh.www", "");
  TestLayer layer;
  AddCommon(layer,
            {{"id", std::string(64, 'c')},
             {"name", "counter"},
             {"rootfsImage", kBusybox},
             {"rootfsImageRef", image_id_},
             {"rootfsImageName", kBusybox},
             {"runtime", "io.containerd.runc.v2"},
             {"createdTime", "2024-05-06T07:08:09Z"},
             {"checkpointedTime", "2024-05-06T07:09:09Z"},
             {"restoredTime", "0001-01-01T00:00:00Z"},
             {"restored", false}},
            spec_);
  layer.File("status", R"({"CreatedAt":1,"Pid":5})").File("status.dump", "{}");
  layer.File("container.log", "").File("rootfs-diff.tar", diff.Tar());
  ASSERT_THAT(ReplaceFile(Archive("containerd.tar.gz"), Gzip(layer.Tar())), IsOk());
  ExpectRestored(Archive("containerd.tar.gz"));
}

// CRIU's images, too, are another's: runc knows mounts, masked paths, cgroups and namespaces by its
// own names and makes some that crisp does not.
TEST_F(CheckpointForeign, ImagesThatRuncMade) {
  const Pod pod = RunPod(PodConfig("runc"), "runc");
  v1::ContainerConfig config = Counter("counter");
  auto& context = *config.mutable_linux()->mutable_security_context();
  for (const char* path : {"/proc/kcore", "/proc/keys", "/sys/firmware"}) {
    context.add_masked_paths(path);
  }
  const std::string id = Start(pod, config);
  AwaitCount(pod, "counter", 3);
  const std::string bundle = Cat(daemon().state(), "/pods/", pod.id, "/containers/", id);
  const std::string images = Archive("images");
  ASSERT_THAT(MakeFolders(images), IsOk());
  // It looks for a program "criu".
  const ProcessRequest dump{
      .argv = {"/usr/sbin/runc", "--root", bundle + "/oci/state", "checkpoint", "--leave-running",
               "--image-path", images, "--work-path", Archive("."), id},
      .environment = {Cat("PATH=", Archive("."), ":/usr/sbin:/usr/bin:/sbin:/bin")}};
  const ProcessResult dumped = Must(RunProcess(dump, Call{}.Within(absl::Seconds(60))));
  ASSERT_EQ(dumped.exit_code, 0) << dumped.stderr_data;
  TestLayer layer, diff;
  for (const auto& file : std::filesystem::directory_iterator(images)) {
    const std::string name = file.path().filename();
    layer.File(Cat("checkpoint/", name), Must(ReadFile(file.path(), 64 << 20)), 0600);
  }
  layer.File("spec.dump", Must(ReadFile(bundle + "/config.json", 8 << 20)));
  layer.File("config.dump", Json({{"rootfsImage", kBusybox}, {"runtime", "runc"}}).dump());
  layer.File("rootfs-diff.tar", diff.File("data", "kept\n").File(".wh.www", "").Tar());
  ASSERT_THAT(ReplaceFile(Archive("runc.tar"), layer.Tar()), IsOk());
  const Pod other = RunPod("two");
  const std::string restored = Restore(other, config, Archive("runc.tar"));
  AwaitCount(other, "counter", 5);
  EXPECT_GE(FirstCount(other, "counter"), 4);
  EXPECT_EQ(Exec(restored, "cat /data; cat /proc/keys; hostname"), "kept\nrunc");
}

TEST_F(CheckpointForeign, WhatCannotBeTaken) {
  Json spec = PodmanSpec();
  spec["mounts"].push_back(Bind("/run/secrets"));
  TestLayer secrets;
  AddPodman(secrets, spec);
  ASSERT_THAT(ReplaceFile(Archive("secrets.tar"), secrets.Tar()), IsOk());
  EXPECT_THAT(TryCreate(Archive("secrets.tar")),
              Fails(StatusCode::kInvalidArgument, "has a mount at /run/secrets"));
  spec = PodmanSpec();
  spec["process"]["terminal"] = true;
  TestLayer screen;
  AddPodman(screen, spec);
  ASSERT_THAT(ReplaceFile(Archive("screen.tar"), screen.Tar()), IsOk());
  EXPECT_THAT(TryCreate(Archive("screen.tar"), true),
              Fails(StatusCode::kFailedPrecondition, "only from an archive that crisp wrote"));
  spec = PodmanSpec();
  spec["linux"]["namespaces"].push_back({{"type", "user"}});
  TestLayer rootless;
  AddPodman(rootless, spec);
  ASSERT_THAT(ReplaceFile(Archive("rootless.tar"), rootless.Tar()), IsOk());
  EXPECT_THAT(TryCreate(Archive("rootless.tar")),
              Fails(StatusCode::kFailedPrecondition, "user namespace"));
}

}  // namespace
}  // namespace crisp
