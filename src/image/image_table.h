// ImageTable: images, their names, layers and leases in the database. Each call is one transaction.
// Any thread. docs/on-disk.md describes the tables.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "db/database.h"

namespace crisp {

struct LayerRow {
  int64_t number = 0;  // the folder's name below layers/
  std::string diff_id;
  uint64_t bytes = 0;
  uint64_t inodes = 0;
};

struct ImageRow {
  std::string id;
  uint64_t size = 0;
  std::string config;
  std::string passwd;
  std::string group;
  std::string checkpoint;
  int64_t pulled_at = 0;
  std::vector<int64_t> layers;  // numbers, the base first
  std::vector<std::string> tags;
  std::vector<std::string> digests;
};

class ImageTable {
 public:
  static absl::StatusOr<ImageTable> Open(Database& database);

  absl::StatusOr<std::vector<ImageRow>> Images() const;
  absl::StatusOr<std::vector<LayerRow>> Layers() const;
  // Makes the image visible: new layers, the image and its names, which other images lose.
  absl::Status Commit(const ImageRow& image, const std::vector<LayerRow>& new_layers);
  absl::Status AddNames(std::string_view id, const std::vector<std::string>& tags,
                        const std::vector<std::string>& digests);
  absl::Status RemoveImage(std::string_view id);

  // NotFound if there is no such image.
  absl::Status Lease(std::string_view id, std::string_view holder);
  absl::Status Release(std::string_view holder);
  absl::StatusOr<std::vector<std::string>> Holders() const;
  // Forgets layers that no image, no lease and not `held` needs, and returns their numbers.
  absl::StatusOr<std::vector<int64_t>> DropUnusedLayers(const std::set<int64_t>& held);
  // For a layer whose folder has vanished: no row and no lease stays.
  absl::Status ForgetLayer(int64_t number);

 private:
  explicit ImageTable(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace crisp
