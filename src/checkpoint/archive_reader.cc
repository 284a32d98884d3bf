#include "checkpoint/archive_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/documents.h"
#include "image/byte_queue.h"
#include "image/inflate.h"
#include "image/layer_writer.h"
#include "image/tar_reader.h"

namespace crisp {
namespace {

constexpr size_t kPiece = 256 << 10;

constexpr std::array<std::string_view, 7> kDocuments = {
    kConfigDump, kSpecDump, kStatusDump, kStatusFile, kNetworkStatus, kBindMounts, kDeletedFiles};
constexpr std::array<std::string_view, 4> kDataFiles = {kRootfsDiff, kDevShm, kDumpLog, kDumpStats};

template <size_t size>
bool IsOneOf(const std::array<std::string_view, size>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Where in an archive a path is, and its name there.
enum class Place { kElsewhere, kTop, kImages, kVolumes };
Place PlaceOf(std::string_view path, std::string_view* name) {
  const size_t slash = path.find('/');
  *name = slash == path.npos ? path : path.substr(slash + 1);
  if (slash == path.npos) {
    return IsOneOf(kDocuments, path) || IsOneOf(kDataFiles, path) ? Place::kTop : Place::kElsewhere;
  }
  if (name->empty() || name->find('/') != name->npos) return Place::kElsewhere;
  const std::string_view folder = path.substr(0, slash);
  if (folder == kImagesFolder) return Place::kImages;
  return folder == kVolumesFolder ? Place::kVolumes : Place::kElsewhere;
}

class Unpacker {
 public:
  Unpacker(ByteSource& source, const ArchiveBounds& bounds) : tar_(source), bounds_(bounds) {}

  absl::Status Run(const std::string& folder) {
    ASSIGN_OR_RETURN(top_, OpenFile(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    ASSIGN_OR_RETURN(images_, MakeFolder(kImagesFolder));
    ASSIGN_OR_RETURN(volumes_, MakeFolder(kVolumesFolder));
    TarEntry entry;
    for (uint64_t count = 0;; ++count) {
      ASSIGN_OR_RETURN(const bool more, tar_.NextEntry(&entry));
      if (!more) return absl::OkStatus();
      if (count >= bounds_.max_entries) {
        return absl::ResourceExhaustedError(
            Cat("it has more than ", bounds_.max_entries, " entries"));
      }
      RETURN_IF_ERROR(Take(entry));
    }
  }

 private:
  absl::StatusOr<UniqueFd> MakeFolder(const char* name) {
    if (mkdirat(top_.get(), name, 0700) != 0) return ErrnoStatus("make folder ", name);
    UniqueFd folder(openat(top_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder.valid()) return ErrnoStatus("open folder ", name);
    return folder;
  }

  absl::Status Take(const TarEntry& entry) {
    ASSIGN_OR_RETURN(const std::string path, CleanEntryPath(entry.path));
    if (entry.type == TarEntry::Type::kFolder) return absl::OkStatus();
    std::string_view name;
    const Place place = PlaceOf(path, &name);
    if (place == Place::kElsewhere) return absl::OkStatus();  // a log, or another tool's
    if (entry.type != TarEntry::Type::kFile) {
      return absl::InvalidArgumentError(
          Cat(path.substr(0, 200), " in it is no regular file; a checkpoint has no others"));
    }
    const bool document = place == Place::kTop && IsOneOf(kDocuments, name);
    if (document && entry.size > bounds_.max_document) {
      return absl::ResourceExhaustedError(
          Cat(path, " in it has more than ", bounds_.max_document, " bytes"));
    }
    if (entry.size > bounds_.max_bytes - bytes_) {
      return absl::ResourceExhaustedError(
          Cat("it unpacks to more than ", bounds_.max_bytes, " bytes"));
    }
    bytes_ += entry.size;
    const int folder = place == Place::kTop      ? top_.get()
                       : place == Place::kImages ? images_.get()
                                                 : volumes_.get();
    return Write(folder, std::string(name), path);
  }

  absl::Status Write(int folder, const std::string& name, const std::string& path) {
    const UniqueFd file(
        openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid() && errno == EEXIST) {
      return absl::InvalidArgumentError(Cat("it has ", path.substr(0, 200), " twice"));
    }
    if (!file.valid()) return ErrnoStatus("create ", path.substr(0, 200));
    while (true) {
      ASSIGN_OR_RETURN(const std::string_view piece, tar_.NextData());
      if (piece.empty()) return absl::OkStatus();
      RETURN_IF_ERROR(WriteAll(file.get(), piece, path));
    }
  }

  TarReader tar_;
  const ArchiveBounds bounds_;
  UniqueFd top_, images_, volumes_;
  uint64_t bytes_ = 0;
};

bool IsPacked(int fd) {
  char head[4] = {};
  const ssize_t size = pread(fd, head, sizeof head, 0);
  const std::string_view seen(head, size > 0 ? static_cast<size_t>(size) : 0);
  return seen.starts_with("\x1f\x8b") || seen == "\x28\xb5\x2f\xfd";
}

// What comes out of a compressed stream: a small file may hold no end of it.
class Bounded : public ByteSource {
 public:
  Bounded(ByteSource& source, uint64_t max_bytes, const Call& call)
      : source_(source), left_(max_bytes), call_(call) {}

  absl::StatusOr<std::string_view> Next() override {
    RETURN_IF_ERROR(call_.Check());
    ASSIGN_OR_RETURN(const std::string_view piece, source_.Next());
    if (piece.size() > left_) {
      return absl::ResourceExhaustedError(
          "it unpacks to far more than its own size; unpack it yourself if it shall be restored");
    }
    left_ -= piece.size();
    return piece;
  }

 private:
  ByteSource& source_;
  uint64_t left_;
  const Call& call_;
};

absl::Status UnpackPacked(ByteSource& packed, uint64_t size, const std::string& folder,
                          const ArchiveBounds& bounds, const Call& call) {
  ByteQueue queue(kPiece, 4);
  std::thread inflating([&] { queue.Close(Inflate(packed, queue)); });
  Bounded plain(queue, std::max(bounds.small, size * bounds.max_ratio), call);
  const absl::Status status = UnpackArchive(plain, folder, bounds);
  queue.Leave();
  inflating.join();
  return status;
}

absl::Status CheckRegular(int folder, const std::string& name, bool needed) {
  struct stat info = {};
  if (fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT && !needed) return absl::OkStatus();
    if (errno == ENOENT) {
      return absl::InvalidArgumentError(Cat("it is no checkpoint: it holds no ", name));
    }
    return ErrnoStatus("stat ", name);
  }
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  return absl::InvalidArgumentError(Cat(name, " in it is no regular file"));
}

// A folder of regular files alone; how many.
absl::StatusOr<size_t> CheckFolder(int top, const char* name) {
  UniqueFd folder(openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) {
    if (errno == ENOENT) return 0;
    return absl::InvalidArgumentError(Cat(name, " in it is no folder"));
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> list(fdopendir(folder.get()), closedir);
  if (list == nullptr) return ErrnoStatus("list ", name);
  const int fd = folder.release();
  size_t count = 0;
  while (const dirent* entry = readdir(list.get())) {
    const std::string_view child = entry->d_name;
    if (child == "." || child == "..") continue;
    RETURN_IF_ERROR(CheckRegular(fd, entry->d_name, true));
    ++count;
  }
  return count;
}

}  // namespace

FileSource::FileSource(int fd, std::string name, const Call& call)
    : fd_(fd), name_(std::move(name)), call_(call), buffer_(kPiece, '\0') {}

absl::StatusOr<std::string_view> FileSource::Next() {
  RETURN_IF_ERROR(call_.Check());
  while (true) {
    const ssize_t count = read(fd_, buffer_.data(), buffer_.size());
    if (count >= 0) return std::string_view(buffer_).substr(0, static_cast<size_t>(count));
    if (errno != EINTR) return ErrnoStatus("read ", name_);
  }
}

absl::Status UnpackArchive(ByteSource& source, const std::string& folder,
                           const ArchiveBounds& bounds) {
  return Unpacker(source, bounds).Run(folder);
}

absl::Status UnpackArchive(const std::string& path, const std::string& folder,
                           const ArchiveBounds& bounds, const Call& call) {
  const std::string prefix = Cat("checkpoint ", path);
  absl::StatusOr<UniqueFd> file = OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  struct stat info = {};
  if (!file.ok() && absl::IsNotFound(file.status())) return Annotate(file.status(), prefix);
  if (!file.ok() || fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        Cat(prefix, ": it is no regular file that can be read (links are not followed)"));
  }
  FileSource source(file->get(), path, call);
  const absl::Status status =
      IsPacked(file->get())
          ? UnpackPacked(source, static_cast<uint64_t>(info.st_size), folder, bounds, call)
          : UnpackArchive(source, folder, bounds);
  return status.ok() ? status : Annotate(status, prefix);
}

absl::Status CheckUnpacked(const std::string& folder) {
  ASSIGN_OR_RETURN(const UniqueFd top, OpenFile(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  for (const std::string_view name : kDocuments) {
    RETURN_IF_ERROR(
        CheckRegular(top.get(), std::string(name), name == kConfigDump || name == kSpecDump));
  }
  for (const std::string_view name : kDataFiles) {
    RETURN_IF_ERROR(CheckRegular(top.get(), std::string(name), false));
  }
  ASSIGN_OR_RETURN(const size_t images, CheckFolder(top.get(), kImagesFolder));
  if (images == 0) {
    return absl::InvalidArgumentError(
        Cat("it is no checkpoint: its folder ", kImagesFolder, " holds no images of CRIU"));
  }
  return CheckFolder(top.get(), kVolumesFolder).status();
}

}  // namespace crisp
