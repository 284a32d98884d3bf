#include "base/status.h"
#include "db/database.h"

namespace crisp {

absl::Status Migrate(Database& database, std::string_view module,
                     std::span<const char* const> steps) {
  RETURN_IF_ERROR(
      database.Run("CREATE TABLE IF NOT EXISTS migration(module TEXT PRIMARY KEY, version INTEGER "
                   "NOT NULL) WITHOUT ROWID"));
  return database.Transaction([&](Connection& connection) -> absl::Status {
    int64_t version = 0;
    RETURN_IF_ERROR(connection.Query("SELECT version FROM migration WHERE module=?", {module},
                                     [&](const Row& row) {
                                       version = row.Int(0);
                                       return absl::OkStatus();
                                     }));
    const int64_t wanted = static_cast<int64_t>(steps.size());
    if (version > wanted) {
      return absl::FailedPreconditionError(
          Cat("database ", database.path(), ": its ", module, " tables are of version ", version,
              ", this crispd knows ", wanted, "; run the crispd that wrote it, or a newer one"));
    }
    for (int64_t step = version; step < wanted; ++step) {
      absl::Status status = connection.RunScript(steps[static_cast<size_t>(step)]);
      if (!status.ok()) return Annotate(status, Cat("migration ", step + 1, " of ", module));
    }
    if (version == wanted) return absl::OkStatus();
    return connection.Run(
        "INSERT INTO migration(module, version) VALUES(?,?) "
        "ON CONFLICT(module) DO UPDATE SET version=excluded.version",
        module, wanted);
  });
}

}  // namespace crisp
