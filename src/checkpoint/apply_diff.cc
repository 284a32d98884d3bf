#include "checkpoint/apply_diff.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/archive_reader.h"
#include "image/tar_reader.h"

namespace crisp {
namespace {

absl::Status ApplyArchive(const std::string& archive, LayerWriter& writer, const Call& call) {
  const absl::StatusOr<UniqueFd> file = OpenFile(archive, O_RDONLY | O_NOFOLLOW);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  RETURN_IF_ERROR(file.status());
  FileSource source(file->get(), archive, call);
  TarReader reader(source);
  TarEntry entry;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, reader.NextEntry(&entry));
    if (!more) return absl::OkStatus();
    RETURN_IF_ERROR(writer.Apply(entry, reader));
  }
}

// LayerWriter takes the image format's way to say it.
absl::Status ApplyDeleted(const std::vector<std::string>& deleted, LayerWriter& writer) {
  class Nothing : public ByteSource {
    absl::StatusOr<std::string_view> Next() override { return std::string_view(); }
  } nothing;
  TarReader reader(nothing);
  for (const std::string& path : deleted) {
    TarEntry entry;
    entry.path = Cat(FolderOf(path), "/.wh.", BaseName(path));
    RETURN_IF_ERROR(writer.Apply(entry, reader));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ApplyDiff(const std::string& archive, const std::vector<std::string>& deleted,
                       const std::string& folder, const LayerBounds& bounds, const Call& call) {
  ASSIGN_OR_RETURN(LayerWriter writer, LayerWriter::Open(folder, bounds));
  absl::Status status = ApplyArchive(archive, writer, call);
  if (status.ok()) status = ApplyDeleted(deleted, writer);
  if (status.ok()) status = writer.Finish();
  return status.ok() ? status : Annotate(status, BaseName(archive));
}

}  // namespace crisp
