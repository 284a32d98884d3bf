#include "test/integration/test_image.h"

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <set>
#include <utility>

#include "base/file.h"
#include "base/id.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "test/integration/test_folder.h"

namespace crisp {

namespace {

la_ssize_t Append(archive*, void* bytes, const void* data, size_t size) {
  static_cast<std::string*>(bytes)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

std::string Compress(std::string_view data, int (*add_filter)(archive*)) {
  std::string out;
  archive* writer = archive_write_new();
  archive_write_set_format_raw(writer);
  add_filter(writer);
  // Without the time of day, equal data have equal digests. (Other filters do not know the option.)
  (void)archive_write_set_filter_option(writer, "gzip", "timestamp", nullptr);
  archive_write_set_bytes_per_block(writer, 0);
  archive_write_open(writer, &out, nullptr, Append, nullptr);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_pathname(entry, "data");
  archive_write_header(writer, entry);
  if (!data.empty() && archive_write_data(writer, data.data(), data.size()) < 0)
    Die(archive_error_string(writer));
  archive_entry_free(entry);
  archive_write_close(writer);
  archive_write_free(writer);
  return out;
}

std::string BusyboxPath() {
  for (const char* path : {"/bin/busybox", "/usr/bin/busybox"}) {
    if (PathExists(path)) return path;
  }
  Die("no busybox here; install busybox-static");
}

}  // namespace

std::string Sha256Digest(std::string_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr);
  return "sha256:" + Hex(std::string_view(reinterpret_cast<char*>(digest), size));
}

std::string Gzip(std::string_view data) { return Compress(data, archive_write_add_filter_gzip); }
std::string Zstd(std::string_view data) { return Compress(data, archive_write_add_filter_zstd); }

TestLayer::TestLayer() : writer_(archive_write_new()) {
  archive_write_set_format_pax_restricted(writer_);
  archive_write_set_bytes_per_block(writer_, 0);
  archive_write_open(writer_, &bytes_, nullptr, Append, nullptr);
}

TestLayer::~TestLayer() { archive_write_free(writer_); }

namespace {

archive_entry* NewEntry(const std::string& name, mode_t type_and_mode, int uid, int gid) {
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_mode(entry, type_and_mode);
  archive_entry_set_uid(entry, uid);
  archive_entry_set_gid(entry, gid);
  archive_entry_set_mtime(entry, 1700000000, 0);
  return entry;
}

void WriteEntry(archive* writer, archive_entry* entry, std::string_view content = "") {
  if (archive_write_header(writer, entry) < ARCHIVE_WARN) Die(archive_error_string(writer));
  if (!content.empty() && archive_write_data(writer, content.data(), content.size()) < 0)
    Die(archive_error_string(writer));
  archive_entry_free(entry);
}

}  // namespace

TestLayer& TestLayer::Folder(const std::string& name, mode_t mode, int uid, int gid) {
  WriteEntry(writer_, NewEntry(name, S_IFDIR | mode, uid, gid));
  return *this;
}

TestLayer& TestLayer::File(const std::string& name, std::string_view content, mode_t mode, int uid,
                           int gid) {
  archive_entry* entry = NewEntry(name, S_IFREG | mode, uid, gid);
  archive_entry_set_size(entry, static_cast<int64_t>(content.size()));
  WriteEntry(writer_, entry, content);
  return *this;
}

TestLayer& TestLayer::Symlink(const std::string& name, const std::string& target) {
  archive_entry* entry = NewEntry(name, S_IFLNK | 0777, 0, 0);
  archive_entry_set_symlink(entry, target.c_str());
  WriteEntry(writer_, entry);
  return *this;
}

TestLayer& TestLayer::HardLink(const std::string& name, const std::string& target) {
  archive_entry* entry = NewEntry(name, S_IFREG | 0755, 0, 0);
  archive_entry_set_hardlink(entry, target.c_str());
  WriteEntry(writer_, entry);
  return *this;
}

TestLayer& TestLayer::Device(const std::string& name, mode_t type_and_mode, int major, int minor) {
  archive_entry* entry = NewEntry(name, type_and_mode, 0, 0);
  archive_entry_set_rdev(entry, makedev(major, minor));
  WriteEntry(writer_, entry);
  return *this;
}

TestLayer& TestLayer::LyingFile(const std::string& name, int64_t size, std::string_view content) {
  TestLayer honest;
  archive_entry* entry = NewEntry(name, S_IFREG | 0644, 0, 0);
  archive_entry_set_size(entry, size);
  archive_write_header(honest.writer_, entry);
  archive_entry_free(entry);
  archive_write_fail(honest.writer_);  // or it would fill the entry up when it goes
  tail_ += honest.bytes_ + std::string(content);
  return *this;
}

std::string TestLayer::Tar() {
  if (tail_.empty()) archive_write_close(writer_);  // otherwise no end marker either
  return bytes_ + tail_;
}

const std::string& BusyboxTar() {
  static const std::string* const tar = [] {
    const std::string path = BusyboxPath();
    const auto binary = ReadFile(path);
    ProcessRequest request;
    request.argv = {path, "--list"};
    const auto applets = RunProcess(request, Call());
    if (!binary.ok() || !applets.ok()) Die("cannot read busybox");
    TestLayer layer;
    for (const char* folder : {"bin", "dev", "etc", "home", "home/user", "proc", "root", "sbin",
                               "sys", "usr", "usr/bin", "var", "www"})
      layer.Folder(folder);
    layer.Folder("tmp", 01777);
    layer.File("bin/busybox", *binary, 0755);
    for (const std::string_view applet : SplitWords(applets->stdout_data, '\n')) {
      if (applet != "busybox") layer.HardLink(Cat("bin/", applet), "bin/busybox");
    }
    layer.File("etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\n"
               "user:x:1000:1000:a user:/home/user:/bin/sh\n"
               "www:x:33:33:www:/www:/bin/false\n");
    layer.File("etc/group", "root:x:0:\nuser:x:1000:\nwww:x:33:\nextra:x:50000:user\n");
    layer.File("www/index.html", "<p>a page</p>\n");
    return new std::string(layer.Tar());
  }();
  return *tar;
}

TestImage BusyboxImage() {
  TestImage image;
  image.Add(BusyboxTar());
  return image;
}

}  // namespace crisp
