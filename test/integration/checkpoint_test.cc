// Checkpoints of a container with a real CRIU: what an archive holds, that the container goes on in
// it, and that whatever fails leaves nothing but a container that runs.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "test/integration/checkpoint_fixture.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

// CAP_SYS_RESOURCE.
bool MayReadLimitsOfOthers() {
  const std::string status = Must(ReadFile("/proc/self/status"));
  const size_t at = status.find("CapEff:");
  return at != status.npos &&
         ((std::stoull(status.substr(at + 8, 16), nullptr, 16) >> 24) & 1) != 0;
}

class Checkpoint : public CheckpointTest {};

TEST_F(Checkpoint, ACounterGoesOnInAnotherPod) {
  const Pod pod = RunPod("one");
  const v1::ContainerConfig config = Counter("counter");
  const std::string id = Start(pod, config);
  AwaitCount(pod, "counter", 3);
  ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
  const int then = Count(pod, "counter");
  AwaitCount(pod, "counter", then + 3);
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);

  const Pod other = RunPod("two");
  v1::ContainerConfig again = config;
  again.mutable_image()->set_image(Archive("one.tar"));
  const std::string restored = Create(other, again);
  EXPECT_EQ(Must(cri().ContainerStatus(restored)).state(), v1::CONTAINER_CREATED);
  ASSERT_THAT(cri().StartContainer(restored), IsOk());
  AwaitCount(other, "counter", then + 5);
  // In memory: no number twice, none left out, and not from the beginning.
  const std::vector<int> counts = Counts(other, "counter");
  for (size_t i = 1; i < counts.size(); ++i) EXPECT_EQ(counts[i], counts[0] + static_cast<int>(i));
  EXPECT_GE(FirstCount(other, "counter"), 4);
  EXPECT_LE(FirstCount(other, "counter"), then + 2);
  // In files.
  EXPECT_EQ(Exec(restored, "cat /data; ls -d /www 2>/dev/null || echo gone"), "kept\ngone");
  // It lives in its new pod.
  EXPECT_EQ(Exec(restored, "hostname"), "two");
  EXPECT_THAT(Exec(restored, "ip addr"), HasSubstr(Must(cri().PodStatus(other.id)).network().ip()));
  const v1::ContainerStatus status = Must(cri().ContainerStatus(restored));
  EXPECT_EQ(status.state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(status.image().image(), kBusybox);
  EXPECT_EQ(status.image_id(), Must(cri().ContainerStatus(id)).image_id());
  // It ends like any other, and what CRIU needed is gone by then.
  EXPECT_FALSE(PathExists(Cat(daemon().root(), "/containers/", restored, "/checkpoint")));
  EXPECT_THAT(cri().StopContainer(restored, 0), IsOk());
  EXPECT_EQ(WaitExited(restored).exit_code(), 137);
}

TEST_F(Checkpoint, AnArchiveHoldsWhatOthersRead) {
  const Pod pod = RunPod("one");
  const std::string id = Start(pod, Counter("counter"));
  AwaitCount(pod, "counter", 1);
  ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
  struct stat about = {};
  ASSERT_EQ(stat(Archive("one.tar").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0600);
  const std::vector<std::string> names = Names(Archive("one.tar"));
  for (const char* name :
       {"config.dump", "spec.dump", "status.dump", "status", "network.status", "bind.mounts",
        "deleted.files", "rootfs-diff.tar", "dump.log", "stats-dump", "counter.log",
        "checkpoint/inventory.img", "checkpoint/pstree.img", "checkpoint/descriptors.json"}) {
    EXPECT_THAT(names, Contains(name));
  }
  const Json config = Must(ParseJson(Content(Archive("one.tar"), "config.dump"), "config.dump"));
  EXPECT_EQ(config["id"], id);
  EXPECT_EQ(config["name"], "counter");
  EXPECT_EQ(config["rootfsImageName"], kBusybox);
  EXPECT_EQ(config["restored"], false);
  const Json spec = Must(ParseJson(Content(Archive("one.tar"), "spec.dump"), "spec.dump"));
  EXPECT_EQ(spec["annotations"]["io.kubernetes.cri.container-name"], "counter");
  EXPECT_THAT(Content(Archive("one.tar"), "deleted.files"), HasSubstr("/www"));
  // A second one takes the first one's place; its container may be a restored one.
  ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
  const Pod other = RunPod("two");
  const std::string restored = Restore(other, Counter("counter"), Archive("one.tar"));
  AwaitCount(other, "counter", 1);
  ASSERT_THAT(Capture(restored, Archive("two.tar")), IsOk());
  EXPECT_EQ(Must(ParseJson(Content(Archive("two.tar"), "config.dump"), "config.dump"))["restored"],
            true);
  const Pod third = RunPod("three");
  Restore(third, Counter("counter"), Archive("two.tar"));
  AwaitCount(third, "counter", Count(other, "counter") - 3);
  EXPECT_GT(FirstCount(third, "counter"), 1);
}

TEST_F(Checkpoint, VolumesAndSharedMemoryComeAlong) {
  const std::string volume = folder() / "volumes/data";
  ASSERT_THAT(MakeFolders(volume), IsOk());
  v1::ContainerConfig config = ContainerConfig(
      "main",
      Shell("echo shared >/dev/shm/x; echo mine >/tmpfs/y; mkdir -p /var/deep; exec 3</dev/shm/x "
            "4</vol/z; i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"));
  ASSERT_THAT(ReplaceFile(volume + "/z", "outside\n"), IsOk());
  v1::Mount* mount = config.add_mounts();
  mount->set_host_path(volume);
  mount->set_container_path("/vol");
  mount->set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
  v1::Mount* link = config.add_mounts();
  link->set_host_path(volume);
  link->set_container_path("/link/data");
  link->set_readonly(true);
  config.mutable_command(2)->insert(0, "mkdir /tmpfs; ");
  const Pod pod = RunPod("one");
  const std::string id = Start(pod, config);
  AwaitCount(pod, "main", 1);
  ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
  // CRIU looks at the size of an open file, and at nothing else.
  ASSERT_THAT(ReplaceFile(volume + "/z", "changed\n"), IsOk());
  const Pod other = RunPod("two");
  const std::string restored = Restore(other, config, Archive("one.tar"));
  AwaitCount(other, "main", 2);
  EXPECT_EQ(Exec(restored,
                 "cat /dev/shm/x /tmpfs/y /link/data/z; touch /link/data/a 2>/dev/null "
                 "|| echo read-only"),
            "shared\nmine\nchanged\nread-only");
  // The mounts must be the same ones.
  v1::ContainerConfig less = config;
  less.mutable_metadata()->set_name("less");
  less.mutable_mounts()->RemoveLast();
  less.mutable_image()->set_image(Archive("one.tar"));
  EXPECT_THAT(cri().CreateContainer(other.id, less, other.config),
              Fails(StatusCode::kInvalidArgument, "a mount at /link/data"));
  v1::ContainerConfig more = less;
  *more.mutable_mounts() = config.mounts();
  more.add_mounts()->set_host_path(volume);
  more.mutable_mounts(2)->set_container_path("/more");
  EXPECT_THAT(cri().CreateContainer(other.id, more, other.config),
              Fails(StatusCode::kInvalidArgument, "no mount at /more"));
}

TEST_F(Checkpoint, AProcessTreeWithAUserAndLimits) {
  v1::ContainerConfig config = ContainerConfig(
      "main", Shell("(trap 'echo child ends; exit' TERM; while :; do sleep 0.1; done) & "
                    "i=0; while :; do i=$((i+1)); echo $i; echo e$i >&2; sleep 0.1; done"));
  auto& context = *config.mutable_linux()->mutable_security_context();
  // Another user's limits may be read by CAP_SYS_RESOURCE alone, which this machine may lack.
  const int user = MayReadLimitsOfOthers() ? 1234 : 0;
  context.mutable_run_as_user()->set_value(user);
  context.mutable_run_as_group()->set_value(user);
  context.set_no_new_privs(true);
  context.mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  context.add_masked_paths("/proc/keys");
  context.add_masked_paths("/proc/acpi");
  context.add_readonly_paths("/proc/sys");
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
  const Pod pod = RunPod("one");
  const std::string id = Start(pod, config);
  AwaitCount(pod, "main", 1);
  ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
  const Pod other = RunPod("two");
  const std::string restored = Restore(other, config, Archive("one.tar"));
  EXPECT_TRUE(WaitUntil([&] { return Count(other, "main") > 2; }));
  EXPECT_EQ(Exec(restored,
                 "id -u; grep -e NoNewPrivs: -e Seccomp: /proc/1/status | tr -d '\\t'; "
                 "cat /proc/keys; cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
                 "/sys/fs/cgroup/memory.max 2>/dev/null; true"),
            Cat(user, "\nNoNewPrivs:1\nSeccomp:2\n67108864"));
  EXPECT_THAT(LogText(LogPath(other, "main"), "stderr"), HasSubstr("e"));
  // To the child, by the process that is not restored.
  Exec(restored, "kill -TERM $(ps -o pid,args | grep '[c]hild ends' | tail -1 | awk '{print $1}')");
  EXPECT_TRUE(WaitUntil(
      [&] { return LogText(LogPath(other, "main")).find("child ends") != std::string::npos; }));
}

TEST_F(Checkpoint, AFailingDumpLeavesTheContainerRunning) {
  const Pod pod = RunPod("one");
  const std::string id = Start(pod, Counter("counter"));
  AwaitCount(pod, "counter", 1);
  SetDumps("fail");
  EXPECT_THAT(Capture(id, Archive("one.tar")),
              Fails(StatusCode::kInternal, "CRIU could not dump it"));
  AwaitCount(pod, "counter", Count(pod, "counter") + 2);
  SetDumps("hang");
  EXPECT_THAT(Capture(id, Archive("one.tar"), 1), Fails(StatusCode::kDeadlineExceeded, ""));
  AwaitCount(pod, "counter", Count(pod, "counter") + 2);
  EXPECT_FALSE(PathExists(Archive("one.tar")));
  // Nor does a folder that cannot be written to.
  SetDumps("");
  EXPECT_THAT(Capture(id, "/proc/one.tar"), testing::Not(IsOk()));
  AwaitCount(pod, "counter", Count(pod, "counter") + 2);
  EXPECT_THAT(Capture(id, Archive("one.tar")), IsOk());
}

TEST_F(Checkpoint, ADaemonThatDiesLeavesTheContainerRunning) {
  const Pod pod = RunPod("one");
  const std::string id = Start(pod, Counter("counter"));
  AwaitCount(pod, "counter", 1);
  SetDumps("hang");
  std::thread caller([&] { EXPECT_THAT(Capture(id, Archive("one.tar")), testing::Not(IsOk())); });
  AwaitHang();
  daemon().Kill();
  caller.join();
  const int frozen = Count(pod, "counter");
  ASSERT_THAT(daemon().Start(), IsOk());
  AwaitCount(pod, "counter", frozen + 2);
  SetDumps("");
  EXPECT_THAT(Capture(id, Archive("one.tar")), IsOk());
}

TEST_F(Checkpoint, WhatCannotBeCheckpointed) {
  const auto checkpoint = [&](const std::string& id, const std::string& location) {
    return Capture(id, location);
  };
  EXPECT_THAT(checkpoint("none", Archive("x.tar")), Fails(StatusCode::kNotFound, "none"));
  const Pod pod = RunPod("one");
  v1::ContainerConfig idle = Counter("created");
  const std::string created = Create(pod, idle);
  EXPECT_THAT(checkpoint(created, Archive("x.tar")),
              Fails(StatusCode::kFailedPrecondition, "not running"));
  const std::string id = Start(pod, Counter("counter"));
  EXPECT_THAT(checkpoint(id, "x.tar"), Fails(StatusCode::kInvalidArgument, "absolute"));
  EXPECT_THAT(checkpoint(id, folder() / "volumes"), Fails(StatusCode::kInvalidArgument, "regular"));
  EXPECT_THAT(checkpoint(id, Archive("no/x.tar")), Fails(StatusCode::kNotFound, "no"));
  ASSERT_EQ(symlink("/etc/passwd", Archive("link").c_str()), 0);
  EXPECT_THAT(checkpoint(id, Archive("link")), Fails(StatusCode::kInvalidArgument, "regular"));
  EXPECT_THAT(Capture(id, Archive("x.tar"), -1), Fails(StatusCode::kInvalidArgument, "negative"));
}

TEST_F(Checkpoint, ArchivesThatAreNone) {
  const Pod pod = RunPod("one");
  const std::string id = Start(pod, Counter("counter"));
  AwaitCount(pod, "counter", 1);
  ASSERT_THAT(Capture(id, Archive("good.tar")), IsOk());
  const auto create = [&](const std::string& archive) {
    v1::ContainerConfig config = Counter("restored");
    config.mutable_image()->set_image(archive);
    return cri().CreateContainer(pod.id, config, pod.config).status();
  };
  EXPECT_THAT(create(Archive("none.tar")), Fails(StatusCode::kNotFound, "none.tar"));
  ASSERT_EQ(symlink(Archive("good.tar").c_str(), Archive("link.tar").c_str()), 0);
  EXPECT_THAT(create(Archive("link.tar")), Fails(StatusCode::kInvalidArgument, "regular"));
  EXPECT_THAT(create("/dev/zero"), Fails(StatusCode::kInvalidArgument, "regular"));
  EXPECT_THAT(create(folder() / "volumes"), Fails(StatusCode::kInvalidArgument, "regular"));
  ASSERT_THAT(ReplaceFile(Archive("text.tar"), std::string(5000, 'x')), IsOk());
  EXPECT_THAT(create(Archive("text.tar")), Fails(StatusCode::kInvalidArgument, "tar"));
  TestLayer bare;
  bare.Folder("checkpoint").File("checkpoint/inventory.img", "no image").File("spec.dump", "{}");
  bare.File("config.dump", R"({"rootfsImage":"registry.test/elsewhere:1"})");
  ASSERT_THAT(ReplaceFile(Archive("bare.tar"), bare.Tar()), IsOk());
  EXPECT_THAT(create(Archive("bare.tar")), Fails(StatusCode::kFailedPrecondition, "descriptors"));
  TestLayer elsewhere;
  elsewhere.File("checkpoint/inventory.img", "no image").File("spec.dump", "{}");
  elsewhere.File("config.dump", R"({"rootfsImage":"registry.test/elsewhere:1"})");
  elsewhere.File("checkpoint/descriptors.json", "[]");
  ASSERT_THAT(ReplaceFile(Archive("elsewhere.tar"), elsewhere.Tar()), IsOk());
  EXPECT_THAT(create(Archive("elsewhere.tar")),
              Fails(StatusCode::kNotFound, "registry.test/elsewhere:1"));
  TestLayer hostile;
  hostile.File("config.dump", "{}").Symlink("checkpoint/pages-1.img", "/etc/shadow");
  ASSERT_THAT(ReplaceFile(Archive("hostile.tar"), hostile.Tar()), IsOk());
  EXPECT_THAT(create(Archive("hostile.tar")),
              Fails(StatusCode::kInvalidArgument, "no regular file"));
  const std::string good = Must(ReadFile(Archive("good.tar")));
  ASSERT_THAT(ReplaceFile(Archive("cut.tar"), good.substr(0, good.size() / 2)), IsOk());
  EXPECT_THAT(create(Archive("cut.tar")), testing::Not(IsOk()));
  EXPECT_EQ(Must(cri().ListContainers()).size(), 1);
}

TEST_F(Checkpoint, AStartThatCannotRestoreEndsTheContainer) {
  TestLayer layer;
  layer.Folder("checkpoint").File("checkpoint/inventory.img", "no image").File("spec.dump", "{}");
  layer.File("config.dump", Cat(R"({"rootfsImage":")", kBusybox, R"("})"));
  layer.File("checkpoint/descriptors.json", R"(["/dev/null","pipe:[1]","pipe:[2]"])");
  ASSERT_THAT(ReplaceFile(Archive("odd.tar"), layer.Tar()), IsOk());
  const Pod pod = RunPod("one");
  v1::ContainerConfig config = Counter("odd");
  config.mutable_image()->set_image(Archive("odd.tar"));
  const std::string id = Create(pod, config);
  EXPECT_THAT(cri().StartContainer(id), Fails(StatusCode::kInternal, "CRIU could not restore it"));
  const v1::ContainerStatus status = WaitExited(id);
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_THAT(cri().RemoveContainer(id), IsOk());
}

TEST_F(Checkpoint, AnImageThatIsACheckpoint) {
  const Pod pod = RunPod("one");
  const std::string id = Start(pod, Counter("counter"));
  AwaitCount(pod, "counter", 2);
  ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
  TestImage image;
  image.Add(Must(ReadFile(Archive("one.tar"), 256 << 20)));
  image.annotations = {{"org.criu.checkpoint.container.name", "counter"}};
  registry().Push("checkpoint:1", image);
  ASSERT_THAT(cri().Pull("registry.test/checkpoint:1"), IsOk());
  const Pod other = RunPod("two");
  Restore(other, Counter("counter"), "registry.test/checkpoint:1");
  AwaitCount(other, "counter", 3);
  EXPECT_GT(FirstCount(other, "counter"), 1);
  EXPECT_THAT(cri().RemoveImage("registry.test/checkpoint:1"), IsOk());
}

// A node without CRIU says so.
class NoCheckpoint : public NodeTest {
 protected:
  std::string ExtraConfig() override { return "[checkpoint]\ncriu = \"/no/criu\"\n"; }
};

TEST_F(NoCheckpoint, IsToldInStatusAndByEveryCall) {
  v1::StatusRequest ask;
  ask.set_verbose(true);
  EXPECT_TRUE(WaitUntil([&] {
    const auto status = cri().Call(&CriClient::RuntimeStub::Status, ask);
    return status.ok() &&
           status->info().at("config").find("no CRIU at /no/criu") != std::string::npos;
  }));
  const auto status = Must(cri().Call(&CriClient::RuntimeStub::Status, ask));
  EXPECT_EQ(Must(ParseJson(status.info().at("config"), "config"))["checkpointSupport"], false);
  const Pod pod = RunPod("one");
  const std::string id = StartIdle(pod);
  v1::CheckpointContainerRequest request;
  request.set_container_id(id);
  request.set_location(folder() / "x.tar");
  EXPECT_THAT(cri().Call(&CriClient::RuntimeStub::CheckpointContainer, request),
              Fails(StatusCode::kFailedPrecondition, "install CRIU 4"));
  v1::ContainerConfig config = ContainerConfig("restored", {});
  config.mutable_image()->set_image("/some/archive.tar");
  EXPECT_THAT(cri().CreateContainer(pod.id, config, pod.config),
              Fails(StatusCode::kFailedPrecondition, "install CRIU 4"));
}

TEST_F(NoCheckpoint, AnImageThatIsACheckpointIsRefused) {
  TestImage image = BusyboxImage();
  image.annotations = {{"io.kubernetes.cri-o.annotations.checkpoint.name", "counter"}};
  image.config["Labels"] = {{"of", "this test"}};  // another id than busybox's
  registry().Push("checkpoint:2", image);
  ASSERT_THAT(cri().Pull("registry.test/checkpoint:2"), IsOk());
  const Pod pod = RunPod("one");
  v1::ContainerConfig config = ContainerConfig("restored", {"true"});
  config.mutable_image()->set_image("registry.test/checkpoint:2");
  EXPECT_THAT(cri().CreateContainer(pod.id, config, pod.config),
              Fails(StatusCode::kFailedPrecondition, "checkpoint.restore_images"));
  EXPECT_THAT(cri().RemoveImage("registry.test/checkpoint:2"), IsOk());
}

}  // namespace
}  // namespace crisp
