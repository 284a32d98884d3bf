#include "image/image_archive.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <map>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "image/inflate.h"
#include "image/layer_writer.h"
#include "image/tar_reader.h"

namespace crisp {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr size_t kMaxFiles = 100'000;

absl::Status Absent(const std::string& archive, const std::string& name) {
  return absl::NotFoundError(Cat("image archive ", archive, " holds no ", name.substr(0, 200)));
}

// Hands on a range of a file in pieces.
absl::Status ReadRange(int fd, uint64_t offset, uint64_t size, const std::string& name,
                       const Call& call,
                       const std::function<absl::Status(std::string_view)>& sink) {
  std::vector<char> buffer(std::min<uint64_t>(size, kPiece));
  while (size > 0) {
    RETURN_IF_ERROR(call.Check());
    const ssize_t count = pread(fd, buffer.data(), std::min<uint64_t>(size, buffer.size()), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read ", name);
    if (count == 0) return absl::DataLossError(Cat(name, " ends too early"));
    RETURN_IF_ERROR(sink(std::string_view(buffer.data(), count)));
    offset += count;
    size -= count;
  }
  return absl::OkStatus();
}

class FileSource : public ByteSource {
 public:
  FileSource(int fd, std::string name, const Call& call)
      : fd_(fd), name_(std::move(name)), call_(call), buffer_(kPiece) {}
  absl::StatusOr<std::string_view> Next() override {
    RETURN_IF_ERROR(call_.Check());
    ssize_t count;
    do {
      count = read(fd_, buffer_.data(), buffer_.size());
    } while (count < 0 && errno == EINTR);
    if (count < 0) return ErrnoStatus("read ", name_);
    return std::string_view(buffer_.data(), count);
  }

 private:
  const int fd_;
  const std::string name_;
  const Call& call_;
  std::vector<char> buffer_;
};

class FolderArchive : public ImageArchive {
 public:
  FolderArchive(UniqueFd folder, std::string path)
      : folder_(std::move(folder)), path_(std::move(path)) {}

  absl::StatusOr<uint64_t> Size(const std::string& name) const override {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenEntry(name));
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", name);
    return info.st_size;
  }
  absl::Status Read(const std::string& name, const Call& call,
                    const std::function<absl::Status(std::string_view)>& sink) const override {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenEntry(name));
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", name);
    return ReadRange(fd.get(), 0, info.st_size, Cat(path_, "/", name), call, sink);
  }

 private:
  // Names come out of the archive's own JSON: they must not lead out of the folder.
  absl::StatusOr<UniqueFd> OpenEntry(const std::string& name) const {
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    UniqueFd fd(
        static_cast<int>(syscall(SYS_openat2, folder_.get(), name.c_str(), &how, sizeof how)));
    if (!fd.valid())
      return errno == ENOENT ? Absent(path_, name) : ErrnoStatus("open ", name, " in ", path_);
    struct stat info;
    if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return Absent(path_, name);
    return fd;
  }

  const UniqueFd folder_;
  const std::string path_;
};

class TarArchive : public ImageArchive {
 public:
  TarArchive(UniqueFd file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  // Notes where each file lies.
  absl::Status ReadIndex(const Call& call) {
    if (lseek(file_.get(), 0, SEEK_SET) != 0) return ErrnoStatus("rewind ", path_);
    FileSource source(file_.get(), path_, call);
    TarReader reader(source);
    TarEntry entry;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, reader.NextEntry(&entry));
      if (!more) return absl::OkStatus();
      const auto name = CleanEntryPath(entry.path);
      if (!name.ok()) continue;  // nothing that we would ask for
      if (files_.size() >= kMaxFiles)
        return absl::ResourceExhaustedError(Cat("image archive ", path_, " holds too many files"));
      if (entry.type == TarEntry::Type::kFile) files_[*name] = {reader.data_offset(), entry.size};
      // `docker save` links equal layers: "<id>/layer.tar" -> "../<other id>/layer.tar".
      if (entry.type == TarEntry::Type::kSymlink || entry.type == TarEntry::Type::kHardLink) {
        const std::string base =
            entry.type == TarEntry::Type::kSymlink ? FolderOf(*name) + "/" : "";
        links_[*name] = CleanPath("/" + base + entry.link).substr(1);
      }
    }
  }

  absl::StatusOr<uint64_t> Size(const std::string& name) const override {
    ASSIGN_OR_RETURN(const Range range, Find(name));
    return range.size;
  }
  absl::Status Read(const std::string& name, const Call& call,
                    const std::function<absl::Status(std::string_view)>& sink) const override {
    ASSIGN_OR_RETURN(const Range range, Find(name));
    return ReadRange(file_.get(), range.offset, range.size, Cat(name, " in ", path_), call, sink);
  }

 private:
  struct Range {
    uint64_t offset = 0;
    uint64_t size = 0;
  };
  absl::StatusOr<Range> Find(const std::string& name) const {
    ASSIGN_OR_RETURN(std::string clean, CleanEntryPath(name));
    for (int hops = 0; hops < 8; ++hops) {
      if (const auto file = files_.find(clean); file != files_.end()) return file->second;
      const auto link = links_.find(clean);
      if (link == links_.end()) break;
      clean = link->second;
    }
    return Absent(path_, name);
  }

  const UniqueFd file_;
  const std::string path_;
  std::map<std::string, Range> files_;
  std::map<std::string, std::string> links_;
};

// The plain tar of a compressed one, in a file that has no name.
absl::StatusOr<UniqueFd> InflateToFile(UniqueFd file, const std::string& path,
                                       const std::string& scratch, uint64_t max_bytes,
                                       const Call& call) {
  UniqueFd plain(open(scratch.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!plain.valid()) return ErrnoStatus("make a temporary file in ", scratch);
  FileSource source(file.get(), path, call);
  ByteQueue queue(kPiece, 4);
  std::thread inflating([&] { queue.Close(Inflate(source, queue)); });
  uint64_t total = 0;
  const absl::Status status = [&]() -> absl::Status {
    while (true) {
      ASSIGN_OR_RETURN(const std::string_view piece, queue.Next());
      if (piece.empty()) return absl::OkStatus();
      total += piece.size();
      if (total > max_bytes)
        return absl::ResourceExhaustedError(
            Cat("image archive ", path, " unpacks to more than ", max_bytes, " bytes"));
      RETURN_IF_ERROR(WriteAll(plain.get(), piece, scratch));
    }
  }();
  queue.Leave();
  inflating.join();
  if (!status.ok()) return Annotate(status, Cat("unpack ", path));
  return plain;
}

}  // namespace

absl::StatusOr<std::string> ImageArchive::ReadSmall(const std::string& name, size_t max_bytes,
                                                    const Call& call) const {
  ASSIGN_OR_RETURN(const uint64_t size, Size(name));
  if (size > max_bytes)
    return absl::ResourceExhaustedError(
        Cat(name, " in the image archive is larger than ", max_bytes, " bytes"));
  std::string content;
  RETURN_IF_ERROR(Read(name, call, [&](std::string_view bytes) {
    content.append(bytes);
    return absl::OkStatus();
  }));
  return content;
}

absl::StatusOr<std::unique_ptr<ImageArchive>> ImageArchive::Open(const std::string& path,
                                                                 const std::string& scratch,
                                                                 uint64_t max_bytes,
                                                                 const Call& call) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_RDONLY | O_NONBLOCK));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", path);
  if (S_ISDIR(info.st_mode)) return std::make_unique<FolderArchive>(std::move(fd), path);
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(Cat(path, " is neither a folder nor a file"));
  char magic[4] = {};
  if (pread(fd.get(), magic, sizeof magic, 0) < 0) return ErrnoStatus("read ", path);
  const std::string_view start(magic, sizeof magic);
  if (start.starts_with("\x1f\x8b") || start == "\x28\xb5\x2f\xfd") {
    ASSIGN_OR_RETURN(fd, InflateToFile(std::move(fd), path, scratch, max_bytes, call));
  }
  auto archive = std::make_unique<TarArchive>(std::move(fd), path);
  RETURN_IF_ERROR(Annotate(archive->ReadIndex(call), path));
  return archive;
}

}  // namespace crisp
