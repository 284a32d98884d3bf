// Images that containers mount as volumes.
#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kModels[] = "registry.test/models:1";

class ImageVolume : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    TestLayer below, above;
    below.Folder("data").File("data/old", "old\n").File("data/kept", "kept\n", 0600, 5, 5);
    below.Symlink("data/out", "/../../../etc").Symlink("data/in", "/data/kept");
    above.Folder("data").File("data/.wh.old", "").File("data/new", "new\n");
    TestImage image;
    image.Add(below.Tar()).Add(above.Tar());
    registry().Push("models:1", image);
    ASSERT_THAT(cri().Pull(kModels), IsOk());
  }
  static v1::Mount* AddImage(v1::ContainerConfig& config, const std::string& target,
                             const std::string& sub_path = "") {
    v1::Mount* mount = config.add_mounts();
    mount->set_container_path(target);
    mount->mutable_image()->set_image(kModels);
    mount->set_image_sub_path(sub_path);
    mount->set_readonly(true);
    return mount;
  }
  std::vector<std::string> MountedIn(const Pod& pod) const {
    std::vector<std::string> mounts;
    const std::string all = ReadFile("/proc/self/mountinfo").value();
    for (const std::string_view line : SplitWords(all, '\n')) {
      if (line.find(Cat(pod.id, "/images/")) != line.npos) mounts.emplace_back(line);
    }
    return mounts;
  }
};

TEST_F(ImageVolume, ShowsTheLayersAsOneTreeThatCannotBeChanged) {
  const Pod pod = RunPod("models");
  v1::ContainerConfig config = ContainerConfig(
      "main", Shell("ls /models/data; cat /models/data/new; ! touch /models/x 2>/dev/null; "
                    "grep ' /models ' /proc/self/mountinfo | grep -c 'ro,nosuid,nodev,noexec'"));
  AddImage(config, "/models");
  EXPECT_EQ(RunToEnd(pod, config), "in\nkept\nnew\nout\nnew\n1\n");
}

TEST_F(ImageVolume, SubPathsAreInTheImage) {
  const Pod pod = RunPod("sub");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("ls /folder; cat /file /link; ls /models 2>&1"));
  AddImage(config, "/folder", "data");
  AddImage(config, "/file", "data/new");
  AddImage(config, "/link", "data/in");
  EXPECT_THAT(RunToEnd(pod, config, 1), testing::StartsWith("in\nkept\nnew\nout\nnew\nkept\n"));
  const auto refused = [&](const std::string& sub_path, StatusCode code, const char* words) {
    v1::ContainerConfig bad = ContainerConfig("bad", Shell("true"));
    AddImage(bad, "/models", sub_path);
    EXPECT_THAT(cri().CreateContainer(pod.id, bad, pod.config), Fails(code, words));
  };
  refused("no/such", StatusCode::kUnknown, "ImageVolumeMountFailed: ");
  refused("data/out/passwd", StatusCode::kUnknown, "ImageVolumeMountFailed: ");
  refused("../data", StatusCode::kInvalidArgument, "leads out");
  refused("/data", StatusCode::kInvalidArgument, "not relative");
}

TEST_F(ImageVolume, OneMountAPodUntilItStops) {
  const Pod pod = RunPod("shared");
  for (const char* name : {"one", "two"}) {
    v1::ContainerConfig config = ContainerConfig(name, Shell("sleep 1000"));
    AddImage(config, "/models");
    AddImage(config, "/again", "data");
    Start(pod, config);
  }
  EXPECT_THAT(MountedIn(pod), SizeIs(1));
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(MountedIn(pod), IsEmpty());
}

TEST_F(ImageVolume, TheImageMayGoAndTheDaemonDieMeanwhile) {
  const Pod pod = RunPod("kept");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  AddImage(config, "/models");
  const std::string id = Start(pod, config);
  EXPECT_THAT(cri().RemoveImage(kModels), IsOk());
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Exec(id, "cat /models/data/new"), "new");
  v1::ContainerConfig late = ContainerConfig("late", Shell("true"));
  AddImage(late, "/models");
  EXPECT_THAT(cri().CreateContainer(pod.id, late, pod.config),
              Fails(StatusCode::kUnknown, "ImageVolumeMountFailed: "));
}

TEST_F(ImageVolume, StatusEchoesWhatWasAsked) {
  const Pod pod = RunPod("echo");
  v1::ContainerConfig config = ContainerConfig("main", Shell("sleep 1000"));
  AddImage(config, "/models", "data");
  const v1::ContainerStatus status = Must(cri().ContainerStatus(Start(pod, config)));
  ASSERT_EQ(status.mounts_size(), 1);
  EXPECT_EQ(status.mounts(0).image().image(), kModels);
  EXPECT_EQ(status.mounts(0).image_sub_path(), "data");
}

TEST_F(ImageVolume, InAUserNamespaceItBelongsToItsRoot) {
  v1::PodSandboxConfig pod_config = PodConfig("mapped");
  auto* userns = pod_config.mutable_linux()
                     ->mutable_security_context()
                     ->mutable_namespace_options()
                     ->mutable_userns_options();
  userns->set_mode(v1::POD);
  for (auto* range : {userns->add_uids(), userns->add_gids()}) {
    range->set_host_id(400000);
    range->set_length(65536);
  }
  const Pod pod = RunPod(pod_config);
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("stat -c %u:%g /models/data /models/data/kept"));
  AddImage(config, "/models");
  EXPECT_EQ(RunToEnd(pod, config), "0:0\n5:5\n");
}

}  // namespace
}  // namespace crisp
