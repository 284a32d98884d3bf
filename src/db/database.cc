#include "db/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cstdio>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr int kBusyMillis =
    5000;  // another process (an operator's sqlite3) may hold the file for a moment

// The log is written back to the database at 4 MiB, which needs new room only where that grows;
// twice as much for a transaction that goes beyond.
constexpr off_t kLogReserve = 8 << 20;

absl::StatusCode CodeOf(int result, int system_error) {
  // SQLite knows "full" only from some of its writes; the others are "I/O errors".
  if (system_error == ENOSPC || system_error == EDQUOT) return absl::StatusCode::kResourceExhausted;
  switch (result & 0xff) {
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

int BindOne(sqlite3_stmt* statement, int index, const SqlValue& value) {
  // An empty view may have a null pointer, which SQLite would store as NULL.
  const char* bytes = value.bytes().data() != nullptr ? value.bytes().data() : "";
  switch (value.kind()) {
    case SqlValue::Kind::kNull:
      return sqlite3_bind_null(statement, index);
    case SqlValue::Kind::kInteger:
      return sqlite3_bind_int64(statement, index, value.integer());
    case SqlValue::Kind::kText:
      return sqlite3_bind_text64(statement, index, bytes, value.bytes().size(), SQLITE_STATIC,
                                 SQLITE_UTF8);
    case SqlValue::Kind::kBlob:
      return sqlite3_bind_blob64(statement, index, bytes, value.bytes().size(), SQLITE_STATIC);
  }
  return SQLITE_MISUSE;
}

// Keeps the log's file and its room from now on, also between two lives of the daemon: on a full
// disk pods, containers and images must still be removable, or nothing would ever make room.
void ReserveLog(sqlite3* handle, const std::string& path) {
  int keep = 1;
  sqlite3_file_control(handle, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
  const auto log = OpenFile(Cat(path, "-wal"), O_WRONLY);
  if (log.ok() && fallocate(log->get(), FALLOC_FL_KEEP_SIZE, 0, kLogReserve) == 0) return;
  if (log.ok() && errno == EOPNOTSUPP) return;  // such a file system cannot promise room
  LOG_WARN(
      "no room could be reserved for the log of database {} ({}): free some disk space, for a "
      "full disk would keep pods and images from being removed",
      path, log.ok() ? ErrnoStatus("fallocate").ToString() : log.status().ToString());
}

// Renames a damaged file and its companions; returns the new name.
absl::StatusOr<std::string> SetAside(const std::string& path) {
  const std::string aside = Cat(
      path, ".damaged-", absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::Now(), absl::UTCTimeZone()));
  if (rename(path.c_str(), aside.c_str()) != 0)
    return ErrnoStatus("moving the damaged database ", path, " aside");
  for (const char* suffix : {"-wal", "-shm"}) {
    // Absent as often as not.
    (void)rename(Cat(path, suffix).c_str(), Cat(aside, suffix).c_str());
  }
  return aside;
}

}  // namespace

int64_t Row::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Row::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string()
                          : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool Row::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Connection::~Connection() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

int64_t Connection::LastInsertId() const { return sqlite3_last_insert_rowid(handle_); }

int64_t Connection::Changes() const { return sqlite3_changes64(handle_); }

absl::Status Connection::Failure(int code, std::string_view sql) const {
  const int system_error = (code & 0xff) == SQLITE_IOERR ? sqlite3_system_errno(handle_) : 0;
  return absl::Status(CodeOf(code, system_error),
                      Cat("database ", path_, ": ", sqlite3_errmsg(handle_), " (",
                          sqlite3_errstr(code), ") in: ", sql.substr(0, 120)));
}

absl::StatusOr<sqlite3_stmt*> Connection::Take(std::string_view sql) {
  if (auto found = statements_.find(std::string(sql)); found != statements_.end()) {
    sqlite3_stmt* statement = found->second;
    statements_.erase(found);
    return statement;
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Failure(code, sql);
  return statement;
}

void Connection::GiveBack(std::string_view sql, sqlite3_stmt* statement) {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  if (!statements_.emplace(sql, statement).second)
    sqlite3_finalize(statement);  // used within its own callback
}

absl::Status Connection::Execute(std::string_view sql, std::initializer_list<SqlValue> args,
                                 const RowCallback* row) {
  ASSIGN_OR_RETURN(sqlite3_stmt * statement, Take(sql));
  absl::Status status;
  int index = 1;
  for (const SqlValue& value : args) {
    if (const int code = BindOne(statement, index++, value); code != SQLITE_OK) {
      status = Failure(code, sql);
      break;
    }
  }
  while (status.ok()) {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_DONE) break;
    if (code != SQLITE_ROW) {
      status = Failure(code, sql);
    } else if (row != nullptr) {
      status = (*row)(Row(statement));
    }
  }
  GiveBack(sql, statement);
  return status;
}

absl::Status Connection::RunScript(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Failure(code, sql);
}

Database::Database(std::unique_ptr<Connection> connection, std::string path,
                   std::string damaged_copy)
    : path_(std::move(path)),
      damaged_copy_(std::move(damaged_copy)),
      connection_(std::move(connection)) {}

absl::StatusOr<std::unique_ptr<Connection>> Database::Connect(const std::string& path) {
  // Containers' environments are in it, so it is root's alone; SQLite gives its companions the same
  // mode.
  RETURN_IF_ERROR(OpenFile(path, O_RDWR | O_CREAT, 0600).status());
  if (chmod(path.c_str(), 0600) != 0) return ErrnoStatus("chmod of ", path);
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Connection> connection(new Connection(handle, path));
  if (code != SQLITE_OK) return connection->Failure(code, "open");
  sqlite3_busy_timeout(handle, kBusyMillis);
  sqlite3_extended_result_codes(handle, 1);
  RETURN_IF_ERROR(connection->RunScript(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
      "PRAGMA cache_size=-1024; PRAGMA temp_store=MEMORY;"));
  RETURN_IF_ERROR(
      connection->Query("PRAGMA quick_check(1)", {}, [&](const Row& row) -> absl::Status {
        const std::string verdict = row.Text(0);
        if (verdict == "ok") return absl::OkStatus();
        return absl::DataLossError(Cat("database ", path, ": ", verdict));
      }));
  ReserveLog(handle, path);
  return connection;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connect(path);
  std::string aside;
  if (!connection.ok() && absl::IsDataLoss(connection.status())) {
    const absl::Status damage = connection.status();
    ASSIGN_OR_RETURN(aside, SetAside(path));
    LOG_ERROR(
        "THE DATABASE IS DAMAGED: {}. It was moved to {} and a new one is made; what ran before is "
        "cleaned up",
        damage.ToString(), aside);
    connection = Connect(path);
  }
  if (!connection.ok()) return connection.status();
  return std::unique_ptr<Database>(new Database(*std::move(connection), path, std::move(aside)));
}

absl::Status Database::Transaction(absl::FunctionRef<absl::Status(Connection&)> body) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(connection_->Run("BEGIN IMMEDIATE"));
  absl::Status status = body(*connection_);
  if (status.ok()) status = connection_->Run("COMMIT");
  // A failed COMMIT may have rolled back already: then there is nothing to undo.
  if (!status.ok() && sqlite3_get_autocommit(connection_->handle_) == 0)
    (void)connection_->Run("ROLLBACK");
  return status;
}

}  // namespace crisp
