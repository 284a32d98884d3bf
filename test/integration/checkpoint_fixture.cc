#include "test/integration/checkpoint_fixture.h"

#include <charconv>

#include "base/file.h"
#include "base/subprocess.h"
#include "base/text.h"

namespace crisp {
namespace {

std::string RealCriu() {
  ProcessRequest request{.argv = {CRISP_TEST_CRIU},
                         .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}};
  const auto found = RunProcess(request, Call{}.Within(absl::Seconds(200)));
  if (!found.ok() || found->exit_code != 0) {
    ADD_FAILURE() << "no CRIU to test with: run tools/criu first\n"
                  << (found.ok() ? found->stderr_data : found.status().ToString());
    return "";
  }
  return std::string(Trim(found->stdout_data));
}

std::string Tar(const std::vector<std::string>& args) {
  ProcessRequest request{.argv = {"/bin/tar"}, .environment = {"PATH=/usr/bin:/bin"}};
  request.argv.insert(request.argv.end(), args.begin(), args.end());
  const auto result = RunProcess(request, Call{}.Within(absl::Seconds(30)));
  EXPECT_TRUE(result.ok() && result->exit_code == 0)
      << (result.ok() ? result->stderr_data : result.status().ToString());
  return result.ok() ? result->stdout_data : "";
}

int Number(const std::string& text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

// The folder is there before the daemon is: NodeTest asks for the configuration in its SetUp.
std::string CheckpointTest::ExtraConfig() {
  return Cat("[checkpoint]\ncriu = \"", folder() / "volumes/criu", "\"\nrestore_images = true\n");
}

void CheckpointTest::SetUp() {
  NodeTest::SetUp();
  if (HasFatalFailure() || IsSkipped()) return;
  ASSERT_THAT(MakeFolders(folder() / "volumes"), IsOk());
  // Dumps do what the file says; a hanging one tells that it hangs.
  const std::string mode = folder() / "volumes/mode";
  ASSERT_THAT(
      ReplaceFile(folder() / "volumes/criu",
                  Cat("#!/bin/sh\nif [ \"$1\" = dump ]; then case $(cat ", mode,
                      ") in fail) exit 1 ;; hang) touch ", mode,
                      ".hangs; sleep 1000; exit 1 ;; esac; fi\nexec ", RealCriu(), " \"$@\"\n"),
                  0755),
      IsOk());
  SetDumps("");
}

void CheckpointTest::SetDumps(const std::string& what) {
  (void)RemoveFile(folder() / "volumes/mode.hangs");
  ASSERT_THAT(ReplaceFile(folder() / "volumes/mode", what), IsOk());
}

void CheckpointTest::AwaitHang() const {
  ASSERT_TRUE(WaitUntil([&] { return PathExists(folder() / "volumes/mode.hangs"); }));
}

absl::Status CheckpointTest::Capture(const std::string& container, const std::string& location,
                                     int64_t timeout_seconds) {
  v1::CheckpointContainerRequest request;
  request.set_container_id(container);
  request.set_location(location);
  request.set_timeout(timeout_seconds);
  return cri().Call(&CriClient::RuntimeStub::CheckpointContainer, request).status();
}

absl::Status CheckpointTest::CapturePod(const Pod& pod, const std::vector<std::string>& containers,
                                        const std::string& folder) {
  v1::CheckpointPodRequest request;
  request.set_pod_sandbox_id(pod.id);
  request.set_output_path(folder);
  for (const std::string& id : containers) request.add_container_ids(id);
  return cri().Call(&CriClient::RuntimeStub::CheckpointPod, request).status();
}

std::string CheckpointTest::Restore(const Pod& pod, const v1::ContainerConfig& like,
                                    const std::string& archive) {
  v1::ContainerConfig config = like;
  config.mutable_image()->set_image(archive);
  return Start(pod, config);
}

std::vector<std::string> CheckpointTest::Names(const std::string& archive) {
  std::vector<std::string> names;
  const std::string listed = Tar({"-tf", archive});
  for (const std::string_view name : SplitWords(listed, '\n')) names.emplace_back(name);
  return names;
}

std::string CheckpointTest::Content(const std::string& archive, const std::string& name) {
  return Tar({"-xOf", archive, name});
}

v1::ContainerConfig CheckpointTest::Counter(const std::string& name) const {
  return ContainerConfig(name, Shell("echo kept >/data; rm -f /www/index.html; rmdir /www; i=0; "
                                     "while :; do i=$((i+1)); echo $i; sleep 0.1; done"));
}

std::vector<int> CheckpointTest::Counts(const Pod& pod, const std::string& name) const {
  std::vector<int> counts;
  for (const LogLine& line : ReadLog(LogPath(pod, name))) {
    if (line.stream == "stdout") counts.push_back(Number(line.content));
  }
  return counts;
}

int CheckpointTest::Count(const Pod& pod, const std::string& name) const {
  const std::vector<int> counts = Counts(pod, name);
  return counts.empty() ? 0 : counts.back();
}

int CheckpointTest::FirstCount(const Pod& pod, const std::string& name) const {
  const std::vector<int> counts = Counts(pod, name);
  return counts.empty() ? 0 : counts.front();
}

void CheckpointTest::AwaitCount(const Pod& pod, const std::string& name, int beyond) const {
  EXPECT_TRUE(WaitUntil([&] { return Count(pod, name) > beyond; }))
      << name << " does not count beyond " << beyond << "; it is at " << Count(pod, name);
}

}  // namespace crisp
