// Fuzzes what is made of a checkpoint archive: any bytes are unpacked, and what came out is read as
// a restore would read it. Nothing may come to lie outside the folder.
#include <stdlib.h>

#include <cstdint>
#include <string>

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/apply_diff.h"
#include "checkpoint/archive_reader.h"
#include "checkpoint/documents.h"

namespace crisp {
namespace {

class Bytes : public ByteSource {
 public:
  explicit Bytes(std::string_view bytes) : rest_(bytes) {}
  absl::StatusOr<std::string_view> Next() override {
    const std::string_view piece = rest_.substr(0, 700);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
};

void Read(const std::string& folder) {
  const auto text = [&](const char* name) {
    return ReadFile(JoinPath(folder, name), 1 << 20).value_or("");
  };
  (void)ParseConfigDump(text(kConfigDump));
  (void)ParseSpecDump(text(kSpecDump));
  (void)ParseBindMounts(text(kBindMounts));
  (void)ParsePodOptions(text(kStatusFile));
  const auto deleted = ParseDeletedFiles(text(kDeletedFiles));
  const std::string upper = JoinPath(folder, "upper");
  if (!MakeFolders(upper).ok()) abort();
  (void)ApplyDiff(JoinPath(folder, kRootfsDiff),
                  deleted.ok() ? *deleted : std::vector<std::string>(), upper,
                  {.max_bytes = 1 << 20, .max_entries = 1000}, Call());
}

void Run(std::string_view input) {
  char name[] = "/tmp/archive_fuzz.XXXXXX";
  if (mkdtemp(name) == nullptr) abort();
  Bytes source(input);
  const ArchiveBounds bounds{.max_bytes = 1 << 20, .max_entries = 1000, .max_document = 1 << 16};
  const absl::Status status = UnpackArchive(source, name, bounds);
  if (status.ok() && CheckUnpacked(name).ok()) Read(name);
  if (!RemoveTree(name).ok()) abort();
}

}  // namespace
}  // namespace crisp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  crisp::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
