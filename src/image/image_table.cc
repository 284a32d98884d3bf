#include "image/image_table.h"

#include <map>

#include "base/status.h"

namespace crisp {
namespace {

constexpr const char* kSteps[] = {
    "CREATE TABLE images(id TEXT PRIMARY KEY, size INTEGER NOT NULL, config BLOB NOT NULL,"
    " passwd BLOB NOT NULL, grp BLOB NOT NULL, pulled_at INTEGER NOT NULL);"
    "CREATE TABLE layers(number INTEGER PRIMARY KEY, diff_id TEXT NOT NULL UNIQUE,"
    " bytes INTEGER NOT NULL, inodes INTEGER NOT NULL);"
    "CREATE TABLE image_layers(image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
    " position INTEGER NOT NULL, layer INTEGER NOT NULL, PRIMARY KEY(image, position)) WITHOUT "
    "ROWID;"
    "CREATE INDEX image_layers_layer ON image_layers(layer);"
    "CREATE TABLE image_names(name TEXT PRIMARY KEY, image TEXT NOT NULL, is_digest INTEGER NOT "
    "NULL) WITHOUT ROWID;"
    "CREATE INDEX image_names_image ON image_names(image);"
    "CREATE TABLE layer_leases(holder TEXT NOT NULL, layer INTEGER NOT NULL, PRIMARY KEY(holder, "
    "layer)) WITHOUT ROWID;"
    "CREATE INDEX layer_leases_layer ON layer_leases(layer)",
    "ALTER TABLE images ADD COLUMN checkpoint TEXT NOT NULL DEFAULT ''"};

absl::Status WriteNames(Connection& connection, std::string_view id,
                        const std::vector<std::string>& tags,
                        const std::vector<std::string>& digests) {
  constexpr std::string_view kSql =
      "INSERT OR REPLACE INTO image_names(name, image, is_digest) VALUES(?,?,?)";
  for (const std::string& tag : tags) RETURN_IF_ERROR(connection.Run(kSql, tag, id, 0));
  for (const std::string& digest : digests) RETURN_IF_ERROR(connection.Run(kSql, digest, id, 1));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageTable> ImageTable::Open(Database& database) {
  RETURN_IF_ERROR(Migrate(database, "image", kSteps));
  return ImageTable(database);
}

absl::StatusOr<std::vector<ImageRow>> ImageTable::Images() const {
  std::map<std::string, ImageRow> images;
  RETURN_IF_ERROR(
      database_->Query("SELECT id, size, config, passwd, grp, pulled_at, checkpoint FROM images",
                       {}, [&](const Row& row) {
                         ImageRow image;
                         image.id = row.Text(0);
                         image.size = static_cast<uint64_t>(row.Int(1));
                         image.config = row.Text(2);
                         image.passwd = row.Text(3);
                         image.group = row.Text(4);
                         image.pulled_at = row.Int(5);
                         image.checkpoint = row.Text(6);
                         images[image.id] = std::move(image);
                         return absl::OkStatus();
                       }));
  RETURN_IF_ERROR(database_->Query(
      "SELECT image, layer FROM image_layers ORDER BY image, position", {}, [&](const Row& row) {
        if (const auto found = images.find(row.Text(0)); found != images.end())
          found->second.layers.push_back(row.Int(1));
        return absl::OkStatus();
      }));
  RETURN_IF_ERROR(database_->Query(
      "SELECT image, name, is_digest FROM image_names ORDER BY name", {}, [&](const Row& row) {
        const auto found = images.find(row.Text(0));
        if (found == images.end()) return absl::OkStatus();
        (row.Int(2) != 0 ? found->second.digests : found->second.tags).push_back(row.Text(1));
        return absl::OkStatus();
      }));
  std::vector<ImageRow> rows;
  for (auto& [id, image] : images) rows.push_back(std::move(image));
  return rows;
}

absl::StatusOr<std::vector<LayerRow>> ImageTable::Layers() const {
  std::vector<LayerRow> layers;
  RETURN_IF_ERROR(database_->Query(
      "SELECT number, diff_id, bytes, inodes FROM layers", {}, [&](const Row& row) {
        layers.push_back({row.Int(0), row.Text(1), static_cast<uint64_t>(row.Int(2)),
                          static_cast<uint64_t>(row.Int(3))});
        return absl::OkStatus();
      }));
  return layers;
}

absl::Status ImageTable::Commit(const ImageRow& image, const std::vector<LayerRow>& new_layers) {
  return database_->Transaction([&](Connection& connection) -> absl::Status {
    for (const LayerRow& layer : new_layers) {
      RETURN_IF_ERROR(
          connection.Run("INSERT INTO layers(number, diff_id, bytes, inodes) VALUES(?,?,?,?)",
                         layer.number, layer.diff_id, layer.bytes, layer.inodes));
    }
    RETURN_IF_ERROR(connection.Run("DELETE FROM image_layers WHERE image=?", image.id));
    RETURN_IF_ERROR(
        connection.Run("INSERT OR REPLACE INTO images(id, size, config, passwd, grp, pulled_at, "
                       "checkpoint) VALUES(?,?,?,?,?,?,?)",
                       image.id, image.size, Blob(image.config), Blob(image.passwd),
                       Blob(image.group), image.pulled_at, image.checkpoint));
    for (size_t i = 0; i < image.layers.size(); ++i) {
      RETURN_IF_ERROR(
          connection.Run("INSERT INTO image_layers(image, position, layer) VALUES(?,?,?)", image.id,
                         i, image.layers[i]));
    }
    return WriteNames(connection, image.id, image.tags, image.digests);
  });
}

absl::Status ImageTable::AddNames(std::string_view id, const std::vector<std::string>& tags,
                                  const std::vector<std::string>& digests) {
  return database_->Transaction(
      [&](Connection& connection) { return WriteNames(connection, id, tags, digests); });
}

absl::Status ImageTable::RemoveImage(std::string_view id) {
  return database_->Transaction([&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Run("DELETE FROM image_names WHERE image=?", id));
    RETURN_IF_ERROR(connection.Run("DELETE FROM image_layers WHERE image=?", id));
    return connection.Run("DELETE FROM images WHERE id=?", id);
  });
}

absl::Status ImageTable::Lease(std::string_view id, std::string_view holder) {
  return database_->Run(
      "INSERT OR IGNORE INTO layer_leases(holder, layer) SELECT ?, layer FROM image_layers WHERE "
      "image=?",
      holder, id);
}

absl::Status ImageTable::Release(std::string_view holder) {
  return database_->Run("DELETE FROM layer_leases WHERE holder=?", holder);
}

absl::StatusOr<std::vector<std::string>> ImageTable::Holders() const {
  std::vector<std::string> holders;
  RETURN_IF_ERROR(
      database_->Query("SELECT DISTINCT holder FROM layer_leases", {}, [&](const Row& row) {
        holders.push_back(row.Text(0));
        return absl::OkStatus();
      }));
  return holders;
}

absl::StatusOr<std::vector<int64_t>> ImageTable::DropUnusedLayers(const std::set<int64_t>& held) {
  std::vector<int64_t> unused;
  RETURN_IF_ERROR(database_->Transaction([&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Query(
        "SELECT number FROM layers WHERE number NOT IN (SELECT layer FROM image_layers)"
        " AND number NOT IN (SELECT layer FROM layer_leases)",
        {}, [&](const Row& row) {
          if (!held.contains(row.Int(0))) unused.push_back(row.Int(0));
          return absl::OkStatus();
        }));
    for (const int64_t number : unused)
      RETURN_IF_ERROR(connection.Run("DELETE FROM layers WHERE number=?", number));
    return absl::OkStatus();
  }));
  return unused;
}

absl::Status ImageTable::ForgetLayer(int64_t number) {
  return database_->Transaction([&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Run("DELETE FROM layer_leases WHERE layer=?", number));
    return connection.Run("DELETE FROM layers WHERE number=?", number);
  });
}

}  // namespace crisp
