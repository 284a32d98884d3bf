// Checkpoints of containers with a terminal: the terminal's other end is the monitor's, before and
// after.
#include "base/file.h"
#include "test/integration/checkpoint_fixture.h"
#include "test/integration/crisp_session.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::EndsWith;
using testing::HasSubstr;

class CheckpointTerminal : public CheckpointTest {
 protected:
  std::unique_ptr<CrispSession> Crisp(const std::vector<std::string>& words) {
    return std::make_unique<CrispSession>(daemon().endpoint(), words,
                                          CrispSession::Input::kTerminal);
  }
  v1::ContainerConfig Screen(const std::string& script) const {
    v1::ContainerConfig config = ContainerConfig("screen", Shell(script));
    config.set_stdin(true);
    config.set_tty(true);
    return config;
  }
  std::string SizeIn(const std::string& container) {
    return Exec(container, "stty size </dev/console");
  }
};

TEST_F(CheckpointTerminal, ItIsThereAgainAfterARestore) {
  const Pod pod = RunPod("one");
  // In memory: what it was told; on the terminal: no echo.
  const v1::ContainerConfig config =
      Screen("stty -echo; all=; while read x; do all=$all$x; echo \"<$all>\"; done; exit 7");
  const std::string id = Start(pod, config);
  {
    const auto session = Crisp({"attach", "-it", "one"});
    EXPECT_TRUE(WaitUntil([&] { return SizeIn(id) == "40 100"; }));
    session->Say("a\r");
    session->ReadUntil("<a>\r\n");
    ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
    // It goes on where it is, with whom it speaks.
    session->Say("b\r");
    session->ReadUntil("<ab>\r\n");
  }
  const Pod other = RunPod("two");
  const std::string restored = Restore(other, config, Archive("one.tar"));
  EXPECT_EQ(SizeIn(restored), "40 100");
  EXPECT_THAT(Exec(restored, "stty -a </dev/console"), HasSubstr("-echo "));
  // The same device by every name.
  EXPECT_EQ(Exec(restored,
                 "for f in /proc/1/fd/0 /proc/1/fd/2 /dev/pts/0; do stat -Lc %d,%i $f; done | "
                 "sort -u | wc -l; ls /dev/pts"),
            "1\n0\nptmx");
  const auto session = Crisp({"attach", "-it", "two"});
  session->Say("c\r");
  EXPECT_THAT(session->ReadUntil("<ac>\r\n"), EndsWith("<ac>\r\n"));
  session->Resize({132, 43});
  EXPECT_TRUE(WaitUntil([&] { return SizeIn(restored) == "43 132"; }));
  // A terminal beside it, of the same /dev/pts. Its size follows once the command runs.
  const auto beside = Crisp({"exec", "-it", "two", "sh", "-c",
                             "tty; until stty size | grep '40 100'; do sleep 0.05; done; exit 3"});
  EXPECT_THAT(beside->ReadUntil("100\r\n"), HasSubstr("/dev/pts/1\r\n"));
  EXPECT_EQ(beside->Wait(), 3);
  EXPECT_TRUE(WaitUntil(
      [&] { return LogText(LogPath(other, "screen")).find("<ac>") != std::string::npos; }));
  EXPECT_EQ(LogText(LogPath(other, "screen")).find("<ab>"), std::string::npos);
  // And again, out of the restored one.
  ASSERT_THAT(Capture(restored, Archive("two.tar")), IsOk());
  const Pod third = RunPod("three");
  const std::string again = Restore(third, config, Archive("two.tar"));
  EXPECT_EQ(SizeIn(again), "43 132");
  const auto last = Crisp({"attach", "-it", "three"});
  last->Say("d\r");
  last->ReadUntil("<acd>\r\n");
  last->Say("\x04");
  EXPECT_EQ(WaitExited(again).exit_code(), 7);
}

// It is the controlling terminal of the session that has it: a key interrupts what runs in front.
TEST_F(CheckpointTerminal, ItControlsTheProcessesAsBefore) {
  const Pod pod = RunPod("one");
  const v1::ContainerConfig config = Screen("echo ready; sleep 1000; exit 9");
  const std::string id = Start(pod, config);
  EXPECT_TRUE(WaitUntil(
      [&] { return LogText(LogPath(pod, "screen")).find("ready") != std::string::npos; }));
  ASSERT_THAT(Capture(id, Archive("one.tar")), IsOk());
  const Pod other = RunPod("two");
  const std::string restored = Restore(other, config, Archive("one.tar"));
  // Session, controlling terminal, its foreground.
  const char* stat = "cut -d ' ' -f 5-8 /proc/1/stat";
  EXPECT_EQ(Exec(id, stat), "1 1 34816 1");
  EXPECT_EQ(Exec(restored, stat), "1 1 34816 1");
  const auto session = Crisp({"attach", "-it", "two"});
  // Before that the key would be the client's own.
  EXPECT_TRUE(WaitUntil([&] { return !session->terminal_restored(); }));
  session->Say("\x03");
  EXPECT_EQ(WaitExited(restored).exit_code(), 130);
}

TEST_F(CheckpointTerminal, WhatDoesNotFit) {
  const Pod pod = RunPod("one");
  const v1::ContainerConfig config = Screen("while read x; do echo $x; done");
  ASSERT_THAT(Capture(Start(pod, config), Archive("screen.tar")), IsOk());
  ASSERT_THAT(Capture(Start(pod, Counter("counter")), Archive("counter.tar")), IsOk());
  v1::ContainerConfig without = config;
  without.mutable_metadata()->set_name("without");
  without.mutable_image()->set_image(Archive("screen.tar"));
  without.set_tty(false);
  EXPECT_THAT(cri().CreateContainer(pod.id, without, pod.config),
              Fails(StatusCode::kInvalidArgument, "tty must be true"));
  without.set_tty(true);
  without.mutable_image()->set_image(Archive("counter.tar"));
  EXPECT_THAT(cri().CreateContainer(pod.id, without, pod.config),
              Fails(StatusCode::kInvalidArgument, "tty must be false"));
  // One that has let go of it.
  v1::ContainerConfig gone = ContainerConfig(
      "gone", Shell("umount /dev/console; exec </dev/null >/dev/null 2>&1; touch /gone; "
                    "while :; do sleep 0.1; done"));
  gone.set_tty(true);
  gone.mutable_linux()->mutable_security_context()->mutable_capabilities()->add_add_capabilities(
      "SYS_ADMIN");
  const std::string id = Start(pod, gone);
  EXPECT_TRUE(WaitUntil([&] { return Exec(id, "ls -d /gone || true") == "/gone"; }));
  EXPECT_THAT(Capture(id, Archive("gone.tar")),
              Fails(StatusCode::kFailedPrecondition, "not to be found any more"));
}

}  // namespace
}  // namespace crisp
