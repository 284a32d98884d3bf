#include "image/layer_pipeline.h"

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "image/byte_queue.h"
#include "image/inflate.h"
#include "image/tar_reader.h"
#include "registry/sha256.h"

namespace crisp {
namespace {

// Fits a core's cache, so that a stage reads what is warm.
constexpr size_t kQueueBuffer = 256 << 10;
constexpr size_t kBuffers = 8;

// Hashes what passes, watches the call and the total.
class HashedSource : public ByteSource {
 public:
  HashedSource(ByteSource& source, const Call& call, uint64_t max_bytes)
      : source_(source), call_(call), max_bytes_(max_bytes) {}

  absl::StatusOr<std::string_view> Next() override {
    RETURN_IF_ERROR(call_.Check());
    ASSIGN_OR_RETURN(const std::string_view piece, source_.Next());
    total_ += piece.size();
    if (total_ > max_bytes_) {
      return absl::ResourceExhaustedError(
          Cat("the layer unpacks to more than ", max_bytes_, " bytes"));
    }
    hash_.Add(piece);
    return piece;
  }
  std::string Digest() { return hash_.Digest(); }

 private:
  ByteSource& source_;
  const Call& call_;
  const uint64_t max_bytes_;
  uint64_t total_ = 0;
  Sha256 hash_;
};

absl::StatusOr<UnpackedLayer> WriteLayer(const LayerJob& job, ByteSource& source,
                                         const Call& call) {
  HashedSource hashed(source, call, job.bounds.max_bytes);
  ASSIGN_OR_RETURN(LayerWriter writer, LayerWriter::Open(job.folder, job.bounds));
  TarReader reader(hashed);
  TarEntry entry;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, reader.NextEntry(&entry));
    if (!more) break;
    RETURN_IF_ERROR(writer.Apply(entry, reader));
  }
  RETURN_IF_ERROR(reader.Drain());
  const std::string diff_id = hashed.Digest();
  if (diff_id != job.diff_id) {
    return absl::DataLossError(
        Cat("its content has the digest ", diff_id, ", the image's config says ", job.diff_id));
  }
  RETURN_IF_ERROR(writer.Finish());
  return UnpackedLayer{writer.bytes(), writer.inodes(), writer.implied_folders()};
}

absl::Status SyncFileSystem(const std::string& folder) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(folder, O_RDONLY | O_DIRECTORY));
  if (syncfs(fd.get()) != 0) return ErrnoStatus("sync the file system of ", folder);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UnpackedLayer> UnpackLayer(const LayerJob& job, const Call& call) {
  ByteQueue compressed(kQueueBuffer, kBuffers);
  ByteQueue plain(kQueueBuffer, kBuffers);
  std::thread inflating([&] {
    const absl::Status status = Inflate(compressed, plain);
    if (!status.ok()) compressed.Leave();
    plain.Close(status);
  });
  std::thread reading([&] {
    compressed.Close(job.read([&](std::string_view bytes) { return compressed.Push(bytes); }));
  });
  absl::StatusOr<UnpackedLayer> layer = WriteLayer(job, plain, call);
  plain.Leave();
  if (!layer.ok()) compressed.Leave();
  reading.join();
  inflating.join();
  if (layer.ok()) {
    // Gzip may end before its blob does: the blob's own verdict counts as well.
    const auto rest = compressed.Next();
    if (!rest.ok()) layer = rest.status();
  }
  if (!layer.ok()) {
    // Clients look for this word at the very start; such an error names the image by itself.
    if (FromAbsl(layer.status().message()).starts_with("RegistryUnavailable:"))
      return layer.status();
    return Annotate(layer.status(), job.name);
  }
  RETURN_IF_ERROR(SyncFileSystem(job.folder));
  return layer;
}

}  // namespace crisp
