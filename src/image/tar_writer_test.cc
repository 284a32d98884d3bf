#include "image/tar_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"

namespace crisp {
namespace {

class TarWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/tar-writer-test.XXXXXX";
    folder_ = mkdtemp(pattern);
    file_ = OpenFile(path(), O_RDWR | O_CREAT, 0600).value();
  }
  void TearDown() override { (void)RemoveTree(folder_); }
  std::string path() const { return JoinPath(folder_, "archive.tar"); }

  // What TarReader makes of the archive; data by path.
  std::vector<TarEntry> ReadBack() {
    class Source : public ByteSource {
     public:
      explicit Source(std::string data) : data_(std::move(data)) {}
      absl::StatusOr<std::string_view> Next() override {
        return done_++ == 0 ? std::string_view(data_) : std::string_view();
      }
      std::string data_;
      int done_ = 0;
    } source(ReadFile(path(), 64 << 20).value());
    TarReader reader(source);
    std::vector<TarEntry> entries;
    TarEntry entry;
    while (true) {
      const absl::StatusOr<bool> more = reader.NextEntry(&entry);
      EXPECT_TRUE(more.ok()) << more.status();
      if (!more.ok() || !*more) return entries;
      std::string& data = data_[entry.path];
      while (true) {
        const absl::StatusOr<std::string_view> piece = reader.NextData();
        if (!piece.ok() || piece->empty()) break;
        data += *piece;
      }
      entries.push_back(entry);
    }
  }

  std::string folder_;
  UniqueFd file_;
  std::map<std::string, std::string> data_;
};

TarEntry Entry(TarEntry::Type type, const std::string& path) {
  TarEntry entry;
  entry.type = type;
  entry.path = path;
  entry.mode = 0640;
  return entry;
}

TEST_F(TarWriterTest, WhatItWritesTheReaderReads) {
  const Call call;
  TarWriter tar(file_.get(), path(), call);
  const std::string deep(300, 'd');
  TarEntry folder = Entry(TarEntry::Type::kFolder, "folder");
  folder.mode = 01777;
  TarEntry file = Entry(TarEntry::Type::kFile, "folder/" + deep);
  file.uid = 3000000;
  file.gid = 7;
  file.mtime = 1700000000;
  file.mtime_ns = 123456789;
  file.xattrs["user.kind"] = std::string("a\0b", 3);
  TarEntry link = Entry(TarEntry::Type::kSymlink, "link");
  link.link = deep;
  TarEntry hard = Entry(TarEntry::Type::kHardLink, "hard");
  hard.link = "folder/" + deep;
  TarEntry device = Entry(TarEntry::Type::kCharDevice, "null");
  device.device_major = 1;
  device.device_minor = 3;
  ASSERT_TRUE(tar.Add(folder).ok());
  ASSERT_TRUE(tar.Add(file, std::string(1000, 'x')).ok());
  ASSERT_TRUE(tar.Add(link).ok());
  ASSERT_TRUE(tar.Add(hard).ok());
  ASSERT_TRUE(tar.Add(device).ok());
  ASSERT_TRUE(tar.Finish().ok());
  EXPECT_EQ(tar.bytes() % 10240, 0);

  const std::vector<TarEntry> entries = ReadBack();
  ASSERT_EQ(entries.size(), 5);
  EXPECT_EQ(entries[0].path, "folder/");
  EXPECT_EQ(entries[0].mode, 01777);
  EXPECT_EQ(entries[1].path, file.path);
  EXPECT_EQ(entries[1].uid, 3000000);
  EXPECT_EQ(entries[1].mtime_ns, 123456789);
  EXPECT_EQ(entries[1].xattrs, file.xattrs);
  EXPECT_EQ(data_[file.path], std::string(1000, 'x'));
  EXPECT_EQ(entries[2].link, deep);
  EXPECT_EQ(entries[3].type, TarEntry::Type::kHardLink);
  EXPECT_EQ(entries[3].link, hard.link);
  EXPECT_EQ(entries[4].device_minor, 3);
}

TEST_F(TarWriterTest, TarReadsItToo) {
  const Call call;
  TarWriter tar(file_.get(), path(), call);
  ASSERT_TRUE(tar.Add(Entry(TarEntry::Type::kFile, std::string(150, 'n')), "hello").ok());
  ASSERT_TRUE(tar.Finish().ok());
  const auto listed =
      RunProcess({.argv = {"/bin/tar", "-xOf", path()}}, Call{}.Within(absl::Seconds(10)));
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ(listed->exit_code, 0) << listed->stderr_data;
  EXPECT_EQ(listed->stdout_data, "hello");
}

TEST_F(TarWriterTest, AFileThatShrinksIsFilledUp) {
  const std::string source = JoinPath(folder_, "source");
  ASSERT_TRUE(ReplaceFile(source, "short").ok());
  const UniqueFd fd = OpenFile(source, O_RDONLY).value();
  const Call call;
  TarWriter tar(file_.get(), path(), call);
  TarEntry entry = Entry(TarEntry::Type::kFile, "file");
  entry.size = 600;
  ASSERT_TRUE(tar.AddFrom(entry, fd.get()).ok());
  ASSERT_TRUE(tar.Add(Entry(TarEntry::Type::kFile, "next"), "next").ok());
  ASSERT_TRUE(tar.Finish().ok());
  EXPECT_EQ(ReadBack().size(), 2);
  EXPECT_EQ(data_["file"], "short" + std::string(595, '\0'));
  EXPECT_EQ(data_["next"], "next");
}

TEST_F(TarWriterTest, DescribesWhatIsOnDisk) {
  const std::string source = JoinPath(folder_, "source");
  ASSERT_TRUE(ReplaceFile(source, "12345", 0604).ok());
  const bool attributes = setxattr(source.c_str(), "user.kind", "x", 1, 0) == 0;
  const UniqueFd folder = OpenFile(folder_, O_PATH | O_DIRECTORY).value();
  const absl::StatusOr<TarEntry> entry = DescribeFile(folder.get(), "source");
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->size, 5);
  EXPECT_EQ(entry->mode, 0604);
  EXPECT_EQ(entry->xattrs.size(), attributes ? 1 : 0);
  EXPECT_TRUE(absl::IsNotFound(DescribeFile(folder.get(), "nothing").status()));
}

TEST_F(TarWriterTest, ACallerThatHasGoneEndsIt) {
  Call call;
  call.cancelled = [] { return true; };
  TarWriter tar(file_.get(), path(), call);
  EXPECT_TRUE(absl::IsCancelled(tar.Add(Entry(TarEntry::Type::kFile, "file"), "x")));
}

}  // namespace
}  // namespace crisp
