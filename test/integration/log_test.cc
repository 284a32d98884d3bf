// Container logs in the CRI's format: nothing lost, nothing split wrongly, no container held up.
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

MATCHER_P3(Line, stream, tag, content, "") {
  *result_listener << arg.stream << " " << arg.tag << " " << arg.content.substr(0, 100);
  return arg.stream == stream && arg.tag == tag && arg.content == content;
}

class Log : public NodeTest {};

TEST_F(Log, BothStreamsEmptyLinesAndAnUnfinishedOne) {
  const Pod pod = RunPod("streams");
  RunToEnd(pod, ContainerConfig("main", Shell("echo one; sleep 0.2; echo two >&2; sleep 0.2; "
                                              "echo; printf unfinished")));
  EXPECT_THAT(ReadLog(LogPath(pod, "main")),
              ElementsAre(Line("stdout", "F", "one"), Line("stderr", "F", "two"),
                          Line("stdout", "F", ""), Line("stdout", "P", "unfinished")));
  struct stat info {};
  ASSERT_EQ(stat(LogPath(pod, "main").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST_F(Log, LongLinesAreCut) {
  const Pod pod = RunPod("long");
  // 16384 and 16385 bytes and 40000 bytes.
  RunToEnd(pod, ContainerConfig("main",
                                Shell("for n in 16384 16385 40000; do "
                                      "head -c $n /dev/zero | tr '\\0' x; echo; sleep 0.3; done")));
  const auto lines = ReadLog(LogPath(pod, "main"));
  std::string shape;
  for (const LogLine& line : lines) shape += Cat(line.tag, line.content.size(), " ");
  EXPECT_EQ(shape, "F16384 P16384 F1 P16384 P16384 F7232 ");
}

TEST_F(Log, AMillionLinesAreAllThere) {
  const Pod pod = RunPod("many");
  const std::string container = Start(pod, "main", Shell("seq 1 300000"));
  EXPECT_EQ(WaitExited(container).exit_code(), 0);
  std::ifstream file(LogPath(pod, "main"));
  int expected = 1;
  for (std::string line; std::getline(file, line); ++expected) {
    if (line.substr(line.rfind(' ') + 1) != Cat(expected)) {
      ADD_FAILURE() << "line " << expected << " is " << line;
      break;
    }
  }
  EXPECT_EQ(expected, 300001);
}

TEST_F(Log, ReopeningLosesAndSplitsNothing) {
  const Pod pod = RunPod("rotated");
  const std::string container = Start(
      pod, "main", Shell("n=0; while [ $n -lt 20000 ]; do n=$((n+1)); echo $n; done; sleep 1000"));
  const std::string path = LogPath(pod, "main");
  std::vector<std::string> parts;
  for (int i = 0; i < 8; ++i) {
    absl::SleepFor(absl::Milliseconds(20));
    parts.push_back(Cat(path, ".", i));
    ASSERT_EQ(rename(path.c_str(), parts.back().c_str()), 0);
    ASSERT_THAT(cri().ReopenLog(container), IsOk());
  }
  parts.push_back(path);
  const auto all = [&] {
    std::string text;
    for (const std::string& part : parts) text += LogText(part);
    return text;
  };
  EXPECT_TRUE(WaitUntil([&] { return all().size() >= 108894; }));
  std::string expected;
  for (int i = 1; i <= 20000; ++i) expected += Cat(i, "\n");
  EXPECT_TRUE(all() == expected);
}

TEST_F(Log, ReopenNeedsARunningContainer) {
  const Pod pod = RunPod("reopen");
  const std::string id = Start(pod, "main", {"true"});
  WaitExited(id);
  EXPECT_THAT(cri().ReopenLog(id), Fails(absl::StatusCode::kFailedPrecondition, id));
  EXPECT_THAT(cri().ReopenLog("nothing"), Fails(absl::StatusCode::kNotFound, "nothing"));
}

TEST_F(Log, AFullDiskDoesNotHoldTheContainerUp) {
  const std::string small = folder() / "logs/full";
  ASSERT_TRUE(MakeFolders(small).ok());
  ASSERT_EQ(mount("tmpfs", small.c_str(), "tmpfs", 0, "size=256k"), 0);
  const Pod pod = RunPod("full");
  const std::string id = Start(pod, "main", Shell("seq 1 300000; echo end"));
  EXPECT_EQ(WaitExited(id).exit_code(), 0);
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_EQ(umount2(small.c_str(), MNT_DETACH), 0);
}

TEST_F(Log, AnUnwritablePathIsNamed) {
  v1::PodSandboxConfig config = PodConfig("blocked");
  ASSERT_TRUE(MakeFolders(folder() / "logs").ok());
  const Pod pod = RunPod(config);
  // Where the log's folder should be there is a file by now.
  (void)RemoveTree(LogFolder(config));
  ASSERT_TRUE(ReplaceFile(LogFolder(config), "a file").ok());
  const auto created = cri().CreateContainer(pod.id, ContainerConfig("main", {"true"}), pod.config);
  const absl::Status status = created.ok() ? cri().StartContainer(*created) : created.status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(LogFolder(config)));
}

TEST_F(Log, WithoutAPathOutputIsDropped) {
  const Pod pod = RunPod("quiet");
  v1::ContainerConfig config = ContainerConfig("main", Shell("seq 1 100000"));
  config.set_log_path("");
  const std::string id = Start(pod, config);
  EXPECT_EQ(WaitExited(id).exit_code(), 0);
  EXPECT_THAT(Must(cri().ContainerStatus(id)).log_path(), IsEmpty());
}

}  // namespace
}  // namespace crisp
