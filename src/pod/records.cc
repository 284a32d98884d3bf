#include "pod/records.h"

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr const char* kSteps[] = {
    "CREATE TABLE pod(id TEXT PRIMARY KEY, phase INTEGER NOT NULL, data BLOB NOT NULL) WITHOUT "
    "ROWID;"
    "CREATE TABLE container(id TEXT PRIMARY KEY, pod_id TEXT NOT NULL, phase INTEGER NOT NULL,"
    "  data BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE damaged(kind TEXT NOT NULL, id TEXT NOT NULL, data BLOB, noticed_at INTEGER NOT "
    "NULL)"};

struct RawRow {
  std::string id;
  std::string data;
};

absl::StatusOr<std::vector<RawRow>> ReadRows(Database& database, std::string_view sql) {
  std::vector<RawRow> rows;
  RETURN_IF_ERROR(database.Query(sql, {}, [&](const Row& row) {
    rows.push_back({row.Text(0), row.Text(1)});
    return absl::OkStatus();
  }));
  return rows;
}

std::string WhyDamaged(const record::Pod& pod, const std::string& id) {
  if (pod.id() != id) return "its id does not match";
  if (!record::PodPhase_IsValid(pod.phase())) return "its phase is unknown";
  return "";
}

std::string WhyDamaged(const record::Container& container, const std::string& id) {
  if (container.id() != id) return "its id does not match";
  if (container.pod_id().empty()) return "it names no pod";
  if (!record::ContainerPhase_IsValid(container.phase())) return "its phase is unknown";
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<RecordStore>> RecordStore::Open(Database& database) {
  RETURN_IF_ERROR(Migrate(database, "pod", kSteps));
  return std::unique_ptr<RecordStore>(new RecordStore(database));
}

absl::StatusOr<LoadedRecords> RecordStore::Load() {
  LoadedRecords loaded;
  const auto read = [&](std::string_view table, std::string_view sql, auto& into) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<RawRow> rows, ReadRows(database_, sql));
    for (const RawRow& row : rows) {
      typename std::remove_reference_t<decltype(into)>::value_type value;
      const std::string why =
          value.ParseFromString(row.data) ? WhyDamaged(value, row.id) : "it is no valid record";
      if (why.empty()) {
        into.push_back(std::move(value));
      } else {
        RETURN_IF_ERROR(SetAside(table, row.id, row.data, why));
      }
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(read("pod", "SELECT id, data FROM pod", loaded.pods));
  RETURN_IF_ERROR(read("container", "SELECT id, data FROM container", loaded.containers));
  return loaded;
}

absl::Status RecordStore::SetAside(std::string_view table, const std::string& id,
                                   const std::string& data, std::string_view why) {
  LOG_ERROR(
      "the record of {} {} is damaged ({}): it is kept in the table \"damaged\", and what it "
      "stood for is cleaned up",
      table, id, why);
  return database_.Transaction([&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Run("INSERT INTO damaged VALUES(?,?,?,?)", table, id, Blob(data),
                                   absl::GetCurrentTimeNanos()));
    return table == "pod" ? connection.Run("DELETE FROM pod WHERE id=?", id)
                          : connection.Run("DELETE FROM container WHERE id=?", id);
  });
}

absl::Status RecordStore::Put(const record::Pod& pod) {
  return database_.Run("INSERT OR REPLACE INTO pod VALUES(?,?,?)", pod.id(),
                       static_cast<int>(pod.phase()), Blob(pod.SerializeAsString()));
}

absl::Status RecordStore::Put(const record::Container& container) {
  return database_.Run("INSERT OR REPLACE INTO container VALUES(?,?,?,?)", container.id(),
                       container.pod_id(), static_cast<int>(container.phase()),
                       Blob(container.SerializeAsString()));
}

absl::Status RecordStore::DeletePod(std::string_view id) {
  return database_.Run("DELETE FROM pod WHERE id=?", id);
}

absl::Status RecordStore::DeleteContainer(std::string_view id) {
  return database_.Run("DELETE FROM container WHERE id=?", id);
}

}  // namespace crisp
