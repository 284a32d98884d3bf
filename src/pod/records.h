// RecordStore: pods and containers as rows of the database, each a protobuf of api/record.proto. A
// row that cannot be read is moved into the table "damaged" and reported, never an error. Any
// thread.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "api/record.pb.h"
#include "db/database.h"

namespace crisp {

struct LoadedRecords {
  std::vector<record::Pod> pods;
  std::vector<record::Container> containers;
};

class RecordStore {
 public:
  static absl::StatusOr<std::unique_ptr<RecordStore>> Open(Database& database);

  absl::StatusOr<LoadedRecords> Load();

  absl::Status Put(const record::Pod& pod);
  absl::Status Put(const record::Container& container);
  absl::Status DeletePod(std::string_view id);
  absl::Status DeleteContainer(std::string_view id);

 private:
  explicit RecordStore(Database& database) : database_(database) {}
  absl::Status SetAside(std::string_view table, const std::string& id, const std::string& data,
                        std::string_view why);

  Database& database_;
};

}  // namespace crisp
