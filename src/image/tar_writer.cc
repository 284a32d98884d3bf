#include "image/tar_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kRecord = 20 * kTarBlock;  // archives end at a multiple of this, as tar's own do
constexpr size_t kCopyBuffer = 256 << 10;
constexpr uint64_t kMaxOctal12 = (uint64_t{1} << 33) - 1;
constexpr uint64_t kMaxOctal8 = (uint64_t{1} << 21) - 1;

char FlagOf(TarEntry::Type type) {
  switch (type) {
    case TarEntry::Type::kFile:
      return '0';
    case TarEntry::Type::kHardLink:
      return '1';
    case TarEntry::Type::kSymlink:
      return '2';
    case TarEntry::Type::kCharDevice:
      return '3';
    case TarEntry::Type::kBlockDevice:
      return '4';
    case TarEntry::Type::kFolder:
      return '5';
    case TarEntry::Type::kFifo:
      return '6';
  }
  return '0';
}

// "<length> <key>=<value>\n", whose length counts its own digits.
std::string PaxRecord(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) {
    length = std::to_string(length).size() + rest;
  }
  return Cat(length, " ", key, "=", value, "\n");
}

void PutOctal(char* field, size_t width, uint64_t value) {
  std::snprintf(field, width, "%0*llo", static_cast<int>(width) - 1,
                static_cast<unsigned long long>(value));
}

void PutText(char* field, size_t width, std::string_view text) {
  std::memcpy(field, text.data(), std::min(width, text.size()));
}

// A header block; what does not fit is cut, for a pax header before it says the whole.
std::string Header(const TarEntry& entry, char flag) {
  std::string block(kTarBlock, '\0');
  char* const at = block.data();
  PutText(at, 100, entry.path);
  PutOctal(at + 100, 8, entry.mode & 07777);
  PutOctal(at + 108, 8, entry.uid > kMaxOctal8 ? 0 : entry.uid);
  PutOctal(at + 116, 8, entry.gid > kMaxOctal8 ? 0 : entry.gid);
  PutOctal(at + 124, 12, entry.size > kMaxOctal12 ? 0 : entry.size);
  PutOctal(at + 136, 12, entry.mtime < 0 ? 0 : static_cast<uint64_t>(entry.mtime));
  block[156] = flag;
  PutText(at + 157, 100, entry.link);
  std::memcpy(at + 257,
              "ustar\0"
              "00",
              8);
  PutOctal(at + 329, 8, entry.device_major);
  PutOctal(at + 337, 8, entry.device_minor);
  std::memset(at + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(at + 148, 7, "%06o", sum);
  return block;
}

std::string PaxOf(const TarEntry& entry) {
  std::string pax;
  if (entry.path.size() > 100) pax += PaxRecord("path", entry.path);
  if (entry.link.size() > 100) pax += PaxRecord("linkpath", entry.link);
  if (entry.size > kMaxOctal12) pax += PaxRecord("size", Cat(entry.size));
  if (entry.uid > kMaxOctal8) pax += PaxRecord("uid", Cat(entry.uid));
  if (entry.gid > kMaxOctal8) pax += PaxRecord("gid", Cat(entry.gid));
  if (entry.mtime < 0 || (entry.mtime > 0 && entry.mtime_ns != 0)) {
    char ns[16];
    std::snprintf(ns, sizeof ns, "%09u", entry.mtime < 0 ? 0 : entry.mtime_ns);
    pax += PaxRecord("mtime", Cat(entry.mtime, ".", ns));
  }
  for (const auto& [key, value] : entry.xattrs) pax += PaxRecord(Cat("SCHILY.xattr.", key), value);
  return pax;
}

bool IsKept(std::string_view name) {
  if (name.starts_with("user.overlay.")) return false;
  return name.starts_with("user.") || name == "security.capability" ||
         name.starts_with("system.posix_acl_");
}

void ReadXattrs(const std::string& path, TarEntry& entry) {
  char names[8192], value[65536];
  const ssize_t size = listxattr(path.c_str(), names, sizeof names);
  for (ssize_t i = 0; i < size; i += static_cast<ssize_t>(strlen(names + i)) + 1) {
    if (!IsKept(names + i)) continue;
    const ssize_t length = getxattr(path.c_str(), names + i, value, sizeof value);
    if (length >= 0) entry.xattrs[names + i] = std::string(value, length);
  }
}

}  // namespace

absl::StatusOr<TarEntry> DescribeFile(int parent_fd, const std::string& leaf) {
  const UniqueFd file(openat(parent_fd, leaf.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info = {};
  if (!file.valid() || fstat(file.get(), &info) != 0) return ErrnoStatus("open ", leaf);
  TarEntry entry;
  switch (info.st_mode & S_IFMT) {
    case S_IFREG:
      entry.size = static_cast<uint64_t>(info.st_size);
      break;
    case S_IFDIR:
      entry.type = TarEntry::Type::kFolder;
      break;
    case S_IFLNK:
      entry.type = TarEntry::Type::kSymlink;
      break;
    case S_IFCHR:
      entry.type = TarEntry::Type::kCharDevice;
      break;
    case S_IFBLK:
      entry.type = TarEntry::Type::kBlockDevice;
      break;
    case S_IFIFO:
      entry.type = TarEntry::Type::kFifo;
      break;
    default:
      return absl::UnimplementedError(Cat(leaf, " is a socket, which no archive can hold"));
  }
  entry.mode = info.st_mode & 07777;
  entry.uid = info.st_uid;
  entry.gid = info.st_gid;
  entry.mtime = info.st_mtim.tv_sec;
  entry.mtime_ns = static_cast<uint32_t>(info.st_mtim.tv_nsec);
  if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    entry.device_major = major(info.st_rdev);
    entry.device_minor = minor(info.st_rdev);
  }
  if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) {
    ReadXattrs(Cat("/proc/self/fd/", file.get()), entry);
  }
  return entry;
}

absl::Status TarWriter::Write(std::string_view data) {
  RETURN_IF_ERROR(WriteAll(fd_, data, name_));
  bytes_ += data.size();
  return absl::OkStatus();
}

absl::Status TarWriter::Pad(uint64_t size) {
  return Write(std::string((kTarBlock - size % kTarBlock) % kTarBlock, '\0'));
}

absl::Status TarWriter::WriteHeader(const TarEntry& entry) {
  if (const std::string pax = PaxOf(entry); !pax.empty()) {
    TarEntry header;
    header.path = "././@PaxHeader";
    header.mode = 0644;
    header.size = pax.size();
    RETURN_IF_ERROR(Write(Header(header, 'x')));
    RETURN_IF_ERROR(Write(pax));
    RETURN_IF_ERROR(Pad(pax.size()));
  }
  return Write(Header(entry, FlagOf(entry.type)));
}

absl::Status TarWriter::Add(TarEntry entry, std::string_view data) {
  RETURN_IF_ERROR(call_.Check());
  entry.size = data.size();
  if (entry.type == TarEntry::Type::kFolder && !entry.path.ends_with('/')) entry.path += '/';
  RETURN_IF_ERROR(WriteHeader(entry));
  RETURN_IF_ERROR(Write(data));
  return Pad(data.size());
}

absl::Status TarWriter::AddFrom(const TarEntry& entry, int source) {
  RETURN_IF_ERROR(WriteHeader(entry));
  std::string buffer(kCopyBuffer, '\0');
  uint64_t done = 0;
  while (done < entry.size) {
    RETURN_IF_ERROR(call_.Check());
    const size_t wanted = std::min<uint64_t>(buffer.size(), entry.size - done);
    const ssize_t count = pread(source, buffer.data(), wanted, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read ", entry.path, " for ", name_);
    if (count == 0) std::fill(buffer.begin(), buffer.end(), '\0');
    const size_t have = count == 0 ? wanted : static_cast<size_t>(count);
    RETURN_IF_ERROR(Write(std::string_view(buffer).substr(0, have)));
    done += have;
  }
  return Pad(entry.size);
}

absl::Status TarWriter::Finish() {
  const uint64_t end = bytes_ + 2 * kTarBlock;
  return Write(std::string(2 * kTarBlock + (kRecord - end % kRecord) % kRecord, '\0'));
}

}  // namespace crisp
