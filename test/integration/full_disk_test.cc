// Disks that fill up under the daemon: each request that cannot be met says so and leaves nothing
// half-made, what runs goes on, and what is there can be stopped and removed, which makes room.
// Small file systems of the test's own stand for root and state.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "test/integration/node_test.h"
#include "test/integration/store_state.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;

class FullDisk : public NodeTest {
 protected:
  std::string ExtraConfig() override {
    for (const char* name : {"root", "state"}) {
      EXPECT_TRUE(MakeFolders(folder() / name).ok());
      EXPECT_EQ(mount("tmpfs", (folder() / name).c_str(), "tmpfs", 0, "size=64m"), 0);
    }
    return "";
  }
  void TearDown() override {
    NodeTest::TearDown();
    for (const char* name : {"root", "state"}) umount2((folder() / name).c_str(), MNT_DETACH);
  }

  // Takes all the room that is left in the folder's file system.
  void Fill(const std::string& in) {
    const UniqueFd file(
        open((in + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600));
    const std::string block(64 << 10, 'f');
    for (size_t size = block.size(); size > 0; size /= 2)
      while (write(file.get(), block.data(), size) > 0) {
      }
    ASSERT_EQ(errno, ENOSPC);
  }
  void MakeRoom(const std::string& in) { ASSERT_EQ(unlink((in + "/filler").c_str()), 0); }

  static uint64_t FreeBytes(const std::string& folder) {
    struct statvfs info;
    return statvfs(folder.c_str(), &info) == 0 ? info.f_bavail * info.f_frsize : 0;
  }

  // One layer of so many MiB, which is small on the wire.
  void PushBig(const std::string& name, size_t mib) {
    TestImage image = BusyboxImage();
    TestLayer layer;
    for (size_t i = 0; i < mib; ++i) layer.File(Cat("big", i), std::string(1 << 20, 'z'));
    image.Add(layer.Tar());
    registry().Push(name, image);
  }
  std::string RunImage(const std::string& pod, const std::string& image,
                       const std::string& script) {
    v1::ContainerConfig config = ContainerConfig("main", Shell(script));
    config.mutable_image()->set_image(image);
    return RunToEnd(RunPod(pod), config);
  }
};

TEST_F(FullDisk, APullThatDoesNotFitLeavesNothing) {
  PushBig("toobig:latest", 80);
  PushBig("fits:latest", 4);
  const auto before = StoreState(daemon().root());
  const uint64_t free = FreeBytes(daemon().root());
  for (int attempt = 0; attempt < 2; ++attempt) {
    const absl::Status status = cri().Pull("registry.test/toobig:latest").status();
    EXPECT_THAT(status, Fails(StatusCode::kResourceExhausted, "No space left on device"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("registry.test/toobig:latest"));
    EXPECT_FALSE(Must(cri().ImageStatus("registry.test/toobig:latest")).has_value());
    EXPECT_EQ(StoreState(daemon().root()), before);
  }
  EXPECT_GE(FreeBytes(daemon().root()) + (1 << 20), free);
  // The node goes on: pods run, and what fits is pulled.
  EXPECT_THAT(cri().Pull("registry.test/fits:latest"), IsOk());
  EXPECT_EQ(RunImage("fits", "registry.test/fits:latest", "ls / | grep -c big"), "4\n");
  // With more room the same pull works.
  ASSERT_EQ(mount(nullptr, daemon().root().c_str(), nullptr, MS_REMOUNT, "size=200m"), 0);
  EXPECT_THAT(cri().Pull("registry.test/toobig:latest"), IsOk());
  EXPECT_EQ(RunImage("toobig", "registry.test/toobig:latest", "cat /big* | wc -c"),
            Cat(80 << 20, "\n"));
}

TEST_F(FullDisk, PullsThatFillItTogetherAllEndAndTheNextOneWorks) {
  PushBig("left:latest", 30);
  PushBig("right:latest", 31);
  const auto before = StoreState(daemon().root());
  absl::StatusOr<std::string> left, right;
  std::thread one([&] { left = cri().Pull("registry.test/left:latest"); });
  std::thread two([&] { right = cri().Pull("registry.test/right:latest"); });
  one.join();
  two.join();
  // At most one of them has room, and neither may have it: each fails for the other's sake.
  EXPECT_FALSE(left.ok() && right.ok());
  for (const auto* pull : {&left, &right}) {
    if (!pull->ok()) {
      EXPECT_THAT(*pull, Fails(StatusCode::kResourceExhausted, "No space left on device"));
    }
  }
  EXPECT_THAT(cri().RemoveImage("registry.test/left:latest"), IsOk());
  EXPECT_THAT(cri().RemoveImage("registry.test/right:latest"), IsOk());
  EXPECT_EQ(StoreState(daemon().root()), before);
  EXPECT_THAT(cri().Pull("registry.test/left:latest"), IsOk());
}

TEST_F(FullDisk, WithAFullRootPodsEndAndImagesGo) {
  PushBig("ballast:latest", 8);
  ASSERT_THAT(cri().Pull("registry.test/ballast:latest"), IsOk());
  const Pod pod = RunPod("runs");
  const std::string idle = StartIdle(pod);
  const std::string ends =
      Start(pod, "ends", Shell("while [ ! -e /end ]; do sleep 0.05; done; exit 7"));
  const auto store = StoreState(daemon().root());
  Exec(ends, "mkdir /room && touch /room/file && mv /room/file /end-soon");
  Fill(daemon().root());

  EXPECT_EQ(Exec(idle, "echo alive"), "alive");
  const absl::Status pull = cri().Pull("registry.test/ballast:missing").status();
  EXPECT_THAT(pull, Fails(StatusCode::kNotFound, "missing"));
  // Who writes into the container's own layer is told, and nothing else happens.
  EXPECT_NE(Must(cri().ExecSync(idle, Shell("head -c 100000 /dev/zero > /tmp/x"), 20)).exit_code(),
            0);
  Exec(ends, "mv /end-soon /end");
  EXPECT_EQ(WaitExited(ends).exit_code(), 7);

  // The daemon comes back on the full disk, and knows everything.
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(idle)).state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(Must(cri().ContainerStatus(ends)).exit_code(), 7);
  EXPECT_EQ(daemon().Stop(), 0);
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(StoreState(daemon().root()), store);

  // What fills the disk can go, without a byte to spare.
  EXPECT_THAT(cri().StopContainer(idle, 10), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(idle)).exit_code(), 0);
  EXPECT_THAT(cri().RemoveContainer(idle), IsOk());
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_THAT(cri().RemoveImage("registry.test/ballast:latest"), IsOk());
  EXPECT_GT(FreeBytes(daemon().root()), uint64_t{7} << 20);
  EXPECT_EQ(RunToEnd(RunPod("after"), ContainerConfig("main", Shell("echo ran"))), "ran\n");
  MakeRoom(daemon().root());
}

TEST_F(FullDisk, AContainerForWhichThereAreNoInodes) {
  const Pod pod = RunPod("inodes");
  struct statvfs info;
  ASSERT_EQ(statvfs(daemon().root().c_str(), &info), 0);
  ASSERT_EQ(mount(nullptr, daemon().root().c_str(), nullptr, MS_REMOUNT,
                  Cat("size=64m,nr_inodes=", info.f_files - info.f_ffree + 1).c_str()),
            0);
  const auto store = StoreState(daemon().root());
  const absl::Status status =
      cri().CreateContainer(pod.id, ContainerConfig("main", {"true"}), pod.config).status();
  EXPECT_THAT(status, Fails(StatusCode::kResourceExhausted, "No space left on device"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(daemon().root()));
  EXPECT_THAT(Must(cri().ListContainers()), IsEmpty());
  EXPECT_EQ(StoreState(daemon().root()), store) << "a lease stays";
  ASSERT_EQ(
      mount(nullptr, daemon().root().c_str(), nullptr, MS_REMOUNT, "size=64m,nr_inodes=100000"), 0);
  EXPECT_EQ(RunToEnd(pod, ContainerConfig("main", Shell("echo ran"))), "ran\n");
}

TEST_F(FullDisk, WithAFullStateFolderNewPodsAreRefusedAndOldOnesEnd) {
  const Pod pod = RunPod("old");
  const std::string idle = StartIdle(pod);
  const std::string ends =
      Start(pod, "ends", Shell("while [ ! -e /end ]; do sleep 0.05; done; exit 7"));
  Fill(daemon().state());
  const NodeState before = State();

  const absl::Status run = cri().RunPod(PodConfig("new")).status();
  EXPECT_THAT(run, Fails(StatusCode::kResourceExhausted, "No space left on device"));
  EXPECT_THAT(std::string(run.message()), HasSubstr("pod test/new"));
  EXPECT_THAT(Must(cri().ListPods()), testing::SizeIs(1));
  const absl::Status create =
      cri().CreateContainer(pod.id, ContainerConfig("late", {"true"}), pod.config).status();
  EXPECT_THAT(create, Fails(StatusCode::kResourceExhausted, "No space left on device"));
  EXPECT_THAT(Must(cri().ListContainers()), testing::SizeIs(2));
  std::vector<std::string> made;
  WaitUntil([&] {
    made = State().NewSince(before);
    // The containers' own doing.
    std::erase_if(made, [](const std::string& line) { return absl::StrContains(line, " sleep "); });
    return made.empty();
  });
  EXPECT_THAT(made, IsEmpty());

  // An exit cannot be written down there, but the daemon is told and has its own table.
  Exec(ends, "touch /end");
  EXPECT_EQ(WaitExited(ends).exit_code(), 7);
  EXPECT_EQ(Exec(idle, "echo alive"), "alive");
  EXPECT_THAT(cri().StopContainer(idle, 10), IsOk());
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(ends)).exit_code(), 7);
  EXPECT_EQ(Must(cri().ContainerStatus(idle)).exit_code(), 0);
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());

  MakeRoom(daemon().state());
  EXPECT_EQ(RunToEnd(RunPod("new"), ContainerConfig("main", Shell("echo ran"))), "ran\n");
}

}  // namespace
}  // namespace crisp
