// Images from a registry: every kind that there is, and every kind that there should not be.
#include <sys/stat.h>

#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class Image : public NodeTest {
 protected:
  std::string ExtraConfig() override {
    return "[image]\nmax_layer_mib = 200\nmax_layer_entries = 20000\nattempts = 2\n"
           "connect_seconds = 2\n";
  }

  // Pushes the image, pulls it and returns the pull's verdict.
  absl::Status TryPull(const std::string& name, const TestImage& image) {
    registry().Push(name, image);
    return cri().Pull("registry.test/" + name).status();
  }
  // Output of a script in a container of the image.
  std::string RunIn(const std::string& name, const std::string& script) {
    const Pod pod = RunPod(name.substr(0, name.find(':')));
    v1::ContainerConfig config = ContainerConfig("main", Shell(script));
    config.mutable_image()->set_image("registry.test/" + name);
    return RunToEnd(pod, config);
  }
  // After a pull that failed: no image, and no more layers than before.
  void ExpectNothingOf(const std::string& name, uint64_t bytes_before) {
    EXPECT_FALSE(Must(cri().ImageStatus("registry.test/" + name)).has_value());
    EXPECT_EQ(Must(cri().ListImages()).size(), 1u);
    EXPECT_TRUE(WaitUntil([&] { return LayerFolders() == bytes_before; }));
  }
  uint64_t LayerFolders() {
    uint64_t count = 0;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(daemon().root() + "/layers", error))
      count += entry.path().filename().string()[0] != '.' ? 1 : 0;
    return count;
  }
};

TEST_F(Image, StatusAndListAgree) {
  const v1::Image image = *Must(cri().ImageStatus(kBusybox));
  EXPECT_THAT(image.id(), testing::StartsWith("sha256:"));
  EXPECT_THAT(image.repo_tags(), ElementsAre(kBusybox));
  EXPECT_THAT(image.repo_digests(),
              ElementsAre(testing::StartsWith("registry.test/busybox@sha256:")));
  EXPECT_GT(image.size(), 0u);
  EXPECT_EQ(Must(cri().Pull(kBusybox)), image.id());
  const auto list = Must(cri().ListImages());
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0].id(), image.id());
  for (const std::string& name : {image.id(), image.id().substr(7), image.id().substr(7, 12),
                                  image.repo_digests(0), std::string("registry.test/busybox")}) {
    const auto found = Must(cri().ImageStatus(name));
    EXPECT_TRUE(found.has_value() && found->id() == image.id()) << name;
  }
}

TEST_F(Image, ByDigest) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("by", "digest\n").Tar());
  const std::string digest = registry().Push("bydigest:latest", image);
  const std::string name = "registry.test/bydigest@" + digest;
  ASSERT_THAT(cri().Pull(name), IsOk());
  const v1::Image status = *Must(cri().ImageStatus(name));
  EXPECT_THAT(status.repo_tags(), IsEmpty());
  EXPECT_THAT(status.repo_digests(), ElementsAre(name));
}

TEST_F(Image, EveryKindOfLayer) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("plain", "plain\n").Tar(), Packing::kPlain);
  image.Add(TestLayer().File("zstd", "zstd\n").Tar(), Packing::kZstd);
  image.Add(TestLayer().File("gzip", "gzip\n").Tar(), Packing::kGzip);
  ASSERT_THAT(TryPull("kinds:latest", image), IsOk());
  EXPECT_EQ(RunIn("kinds:latest", "cat /plain /zstd /gzip"), "plain\nzstd\ngzip\n");
}

TEST_F(Image, DockerManifest) {
  TestImage image = BusyboxImage();
  image.docker = true;
  image.Add(TestLayer().File("docker", "docker\n").Tar());
  ASSERT_THAT(TryPull("docker:latest", image), IsOk());
  EXPECT_EQ(RunIn("docker:latest", "cat /docker"), "docker\n");
}

TEST_F(Image, AnIndexGivesThisPlatform) {
  TestImage ours = BusyboxImage(), theirs = BusyboxImage();
  ours.Add(TestLayer().File("platform", "ours\n").Tar());
  theirs.Add(TestLayer().File("platform", "theirs\n").Tar());
  registry().Push("index:ours", ours);
  registry().Push("index:theirs", theirs);
  const auto entry = [&](const char* tag, const char* os, const char* architecture) {
    json value = registry().ManifestEntry(tag);
    value["platform"] = {{"os", os}, {"architecture", architecture}};
    return value;
  };
#if defined(__aarch64__)
  const char *mine = "arm64", *other = "amd64";
#else
  const char *mine = "amd64", *other = "arm64";
#endif
  const std::string digest = registry().PushIndex(
      "index:latest", {entry("index:theirs", "linux", other),
                       entry("index:theirs", "windows", mine), entry("index:ours", "linux", mine)});
  ASSERT_THAT(cri().Pull("registry.test/index:latest"), IsOk());
  EXPECT_THAT(Must(cri().ImageStatus("registry.test/index:latest"))->repo_digests(),
              ElementsAre("registry.test/index@" + digest));
  EXPECT_EQ(RunIn("index:latest", "cat /platform"), "ours\n");
  registry().PushIndex("index:none", json::array({entry("index:theirs", "linux", "s390x")}));
  EXPECT_THAT(cri().Pull("registry.test/index:none").status().message(), HasSubstr("linux"));
}

TEST_F(Image, Whiteouts) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer()
                .Folder("keep")
                .File("keep/a", "a\n")
                .File("keep/b", "b\n")
                .Folder("clear")
                .File("clear/a", "a\n")
                .File("clear/b", "b\n")
                .File("gone", "gone\n")
                .Tar());
  image.Add(TestLayer()
                .File(".wh.gone", "")
                .File("keep/.wh.a", "")
                .Folder("clear")
                .File("clear/.wh..wh..opq", "")
                .File("clear/c", "c\n")
                .Tar());
  ASSERT_THAT(TryPull("whiteouts:latest", image), IsOk());
  EXPECT_EQ(RunIn("whiteouts:latest", "ls /gone 2>/dev/null; ls /keep /clear"),
            "/clear:\nc\n\n/keep:\nb\n");
}

TEST_F(Image, OwnersModesAndLinks) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer()
                .Folder("dir", 02750, 33, 1000)
                .File("dir/suid", "x", 04711, 33, 1000)
                .Symlink("dir/soft", "suid")
                .HardLink("dir/hard", "dir/suid")
                .Tar());
  ASSERT_THAT(TryPull("owners:latest", image), IsOk());
  EXPECT_EQ(
      RunIn("owners:latest",
            "stat -c '%n %u:%g %a %h' /dir/suid; stat -c '%u:%g %a' /dir; readlink /dir/soft"),
      "/dir/suid 33:1000 4711 2\n33:1000 2750\nsuid\n");
}

TEST_F(Image, EqualConfigurationsAreOneImage) {
  registry().Push("same:one", BusyboxImage());
  registry().Push("other:two", BusyboxImage());
  const std::string id = Must(cri().Pull("registry.test/same:one"));
  EXPECT_EQ(Must(cri().Pull("registry.test/other:two")), id);
  const v1::Image image = *Must(cri().ImageStatus(id));
  EXPECT_THAT(image.repo_tags(),
              UnorderedElementsAre(kBusybox, "registry.test/same:one", "registry.test/other:two"));
  EXPECT_THAT(Must(cri().ListImages()), SizeIs(1));
  EXPECT_THAT(cri().RemoveImage("registry.test/other:two"), IsOk());
  EXPECT_THAT(Must(cri().ListImages()), IsEmpty());
  EXPECT_THAT(cri().RemoveImage("registry.test/other:two"), IsOk());
}

TEST_F(Image, UserIsANumberOrAName) {
  TestImage image = BusyboxImage();
  image.config["User"] = "1000:33";
  ASSERT_THAT(TryPull("number:latest", image), IsOk());
  image.config["User"] = "www";
  ASSERT_THAT(TryPull("name:latest", image), IsOk());
  const v1::Image number = *Must(cri().ImageStatus("registry.test/number:latest"));
  EXPECT_EQ(number.uid().value(), 1000);
  EXPECT_THAT(number.username(), IsEmpty());
  const v1::Image name = *Must(cri().ImageStatus("registry.test/name:latest"));
  EXPECT_FALSE(name.has_uid());
  EXPECT_EQ(name.username(), "www");
  EXPECT_EQ(RunIn("number:latest", "id -u; id -g"), "1000\n33\n");
  EXPECT_EQ(RunIn("name:latest", "id -u; id -g"), "33\n33\n");
}

TEST_F(Image, EqualPullsAtOnce) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("big", std::string(8 << 20, 'x')).Tar());
  registry().Push("together:latest", image);
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i)
    callers.emplace_back([&] { EXPECT_THAT(cri().Pull("registry.test/together:latest"), IsOk()); });
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(Must(cri().ListImages()), SizeIs(2));
}

TEST_F(Image, FileSystemUsage) {
  const auto usage = Must(cri().Call(&CriClient::ImageStub::ImageFsInfo, v1::ImageFsInfoRequest()));
  ASSERT_GE(usage.image_filesystems_size(), 1);
  const v1::FilesystemUsage& images = usage.image_filesystems(0);
  EXPECT_TRUE(PathExists(images.fs_id().mountpoint())) << images.fs_id().mountpoint();
  EXPECT_GT(images.used_bytes().value(), 1'000'000u);
  EXPECT_GT(images.inodes_used().value(), 10u);
  EXPECT_GT(images.timestamp(), 0);
}

TEST_F(Image, ACallerWithoutTimeGetsDeadlineExceeded) {
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("slow", std::string(1 << 20, 's')).Tar());
  registry().Push("hurry:latest", image);
  const uint64_t before = LayerFolders();
  cri().set_limit(absl::Milliseconds(1));
  EXPECT_THAT(cri().Pull("registry.test/hurry:latest"), Fails(StatusCode::kDeadlineExceeded, ""));
  cri().set_limit(absl::Minutes(2));
  ExpectNothingOf("hurry:latest", before);
  EXPECT_THAT(cri().Pull("registry.test/hurry:latest"), IsOk());
}

TEST_F(Image, NamesThatAreNone) {
  for (const char* name : {"", "registry.test/UPPER", "registry.test/a b",
                           "registry.test/x@sha256:12", "registry.test/../../etc",
                           "registry.test/x:", "registry.test/x:-bad", "http://registry.test/x"})
    EXPECT_THAT(cri().Pull(name), Fails(StatusCode::kInvalidArgument, "")) << name;
}

TEST_F(Image, WhatIsNotThereIsNotFound) {
  EXPECT_THAT(cri().Pull("registry.test/nobody/made:this"),
              Fails(StatusCode::kNotFound, "registry.test/nobody/made:this"));
  EXPECT_THAT(cri().Pull("registry.test/busybox:no-such-tag"),
              Fails(StatusCode::kNotFound, "no-such-tag"));
}

TEST_F(Image, WrongContentIsRefused) {
  const uint64_t before = LayerFolders();
  TestImage image = BusyboxImage();
  const std::string tar = TestLayer().File("wrong", "right\n").Tar();
  image.Add(tar);
  registry().Push("corrupt:latest", image);
  registry().Corrupt(Sha256Digest(Gzip(tar)), Gzip(TestLayer().File("wrong", "wrong\n").Tar()));
  EXPECT_THAT(cri().Pull("registry.test/corrupt:latest").status().message(), HasSubstr("sha256:"));
  ExpectNothingOf("corrupt:latest", before);
}

TEST_F(Image, AWrongDiffIdIsRefused) {
  const uint64_t before = LayerFolders();
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("file", "content\n").Tar());
  image.claimed_diff_ids = {Sha256Digest(BusyboxTar()), Sha256Digest("something else")};
  EXPECT_THAT(TryPull("diffid:latest", image).message(), HasSubstr("diff"));
  ExpectNothingOf("diffid:latest", before);
}

TEST_F(Image, AMissingBlobIsNamed) {
  const uint64_t before = LayerFolders();
  TestImage image = BusyboxImage();
  const std::string tar = TestLayer().File("lost", "lost\n").Tar();
  image.Add(tar);
  registry().Push("lost:latest", image);
  registry().Lose(Sha256Digest(Gzip(tar)));
  const absl::Status status = cri().Pull("registry.test/lost:latest").status();
  EXPECT_FALSE(status.ok());
  ExpectNothingOf("lost:latest", before);
}

TEST_F(Image, PathsThatLeaveTheLayerAreHarmless) {
  const std::string victim = folder() / "volumes/victim";
  ASSERT_TRUE(MakeFolders(folder() / "volumes").ok());
  ASSERT_TRUE(ReplaceFile(victim, "untouched").ok());
  const std::string up = std::string("../../../../../../../../..");
  int number = 0;
  const auto attempt = [&](const std::string& tar) {
    TestImage image = BusyboxImage();
    image.Add(tar);
    const std::string name = Cat("escape:", number++);
    (void)TryPull(name, image);
    EXPECT_EQ(ReadFile(victim).value_or(""), "untouched") << name;
    EXPECT_FALSE(PathExists(victim + "2")) << name;
  };
  attempt(TestLayer().File(up + victim, "pwned").Tar());
  attempt(TestLayer().File(victim + "2", "pwned").Tar());
  attempt(TestLayer().Symlink("out", FolderOf(victim)).File("out/victim", "pwned").Tar());
  attempt(TestLayer().Symlink("out", up + FolderOf(victim)).File("out/victim", "pwned").Tar());
  attempt(TestLayer().HardLink("hard", up + victim).File("hard", "pwned").Tar());
  attempt(TestLayer().Symlink("link", victim).HardLink("hard", "link").File("hard", "pwned").Tar());
  attempt(TestLayer()
              .Symlink("a", "..")
              .Symlink("a/b", "..")
              .File("a/b/../../../victim2", "pwned")
              .Tar());
  attempt(TestLayer()
              .Folder("d")
              .Symlink("d/out", FolderOf(victim))
              .File("d/out/.wh.victim", "")
              .Tar());
}

TEST_F(Image, LyingSizesAndBrokenArchivesAreRefused) {
  const uint64_t before = LayerFolders();
  int number = 0;
  const auto refused = [&](TestImage image) {
    const std::string name = Cat("broken:", number++);
    const absl::Status status = TryPull(name, image);
    EXPECT_FALSE(status.ok()) << name;
    ExpectNothingOf(name, before);
  };
  refused(BusyboxImage().Add(TestLayer().LyingFile("huge", int64_t{1} << 50, "short").Tar()));
  refused(BusyboxImage().Add("this is no archive at all, but long enough to be read as one" +
                             std::string(1000, 'x')));
  refused(BusyboxImage().Add(BusyboxTar().substr(0, 100'000)));
}

TEST_F(Image, ABombIsStopped) {
  const uint64_t before = LayerFolders();
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("zeros", std::string(300 << 20, '\0')).Tar());
  EXPECT_THAT(TryPull("bomb:size", image), Fails(StatusCode::kResourceExhausted, ""));
  ExpectNothingOf("bomb:size", before);
  TestLayer many;
  for (int i = 0; i < 30'000; ++i) many.File(Cat("f", i), "");
  TestImage crowd = BusyboxImage();
  crowd.Add(many.Tar());
  EXPECT_THAT(TryPull("bomb:count", crowd), Fails(StatusCode::kResourceExhausted, ""));
  ExpectNothingOf("bomb:count", before);
}

TEST_F(Image, ManifestsThatMakeNoSense) {
  int number = 0;
  for (const json& config :
       std::vector<json>{json::array(), json(5), {{"Env", 5}}, {{"Cmd", {{"a", 1}}}}}) {
    TestImage image = BusyboxImage();
    image.config = config;
    const std::string name = Cat("nonsense:", number++);
    const absl::Status status = TryPull(name, image);
    if (status.ok()) continue;  // tolerated: then it must also be usable
    EXPECT_THAT(std::string(status.message()), Not(IsEmpty()));
  }
  EXPECT_EQ(RunIn("busybox:latest", "echo alive"), "alive\n");
}

class Unreachable : public NodeTest {
 protected:
  std::string ExtraConfig() override {
    return Cat("[[registry]]\nhost = \"down.test\"\nmirrors = [\"http://127.0.0.1:", FreePort(),
               "\"]\n[image]\nattempts = 1\nconnect_seconds = 2\n");
  }
};

TEST_F(Unreachable, RegistryIsUnavailableAndNamed) {
  EXPECT_THAT(cri().Pull("down.test/some:image"),
              Fails(StatusCode::kUnknown, "RegistryUnavailable: image down.test/some:image"));
}

}  // namespace
}  // namespace crisp
