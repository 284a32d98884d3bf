// Database: crispd's one SQLite file (WAL, synchronous=NORMAL: a commit outlives a killed daemon
// without an fsync; after a power cut the file is whole, the last commits may be missing). Any
// thread: one connection behind one lock, so a row callback or a transaction must not wait for
// anything, nor call the Database again (it gets the Connection instead). docs/on-disk.md lists the
// tables; each module brings its own through Migrate().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

struct sqlite3;
struct sqlite3_stmt;

namespace crisp {

// Marks bytes to be stored as a BLOB rather than as TEXT. Borrowed for the call.
struct Blob {
  explicit Blob(std::string_view data) : bytes(data) {}
  std::string_view bytes;
};

// One argument of a statement; text is borrowed for the call.
class SqlValue {
 public:
  enum class Kind { kNull, kInteger, kText, kBlob };
  SqlValue(std::nullptr_t) {}
  SqlValue(int value) : kind_(Kind::kInteger), integer_(value) {}
  SqlValue(long value) : kind_(Kind::kInteger), integer_(value) {}
  SqlValue(long long value) : kind_(Kind::kInteger), integer_(value) {}
  SqlValue(unsigned value) : kind_(Kind::kInteger), integer_(value) {}
  SqlValue(unsigned long value) : kind_(Kind::kInteger), integer_(static_cast<int64_t>(value)) {}
  SqlValue(bool value) : kind_(Kind::kInteger), integer_(value) {}
  SqlValue(const char* text) : kind_(Kind::kText), bytes_(text) {}
  SqlValue(std::string_view text) : kind_(Kind::kText), bytes_(text) {}
  SqlValue(const std::string& text) : kind_(Kind::kText), bytes_(text) {}
  SqlValue(Blob blob) : kind_(Kind::kBlob), bytes_(blob.bytes) {}

  Kind kind() const { return kind_; }
  int64_t integer() const { return integer_; }
  std::string_view bytes() const { return bytes_; }

 private:
  Kind kind_ = Kind::kNull;
  int64_t integer_ = 0;
  std::string_view bytes_;
};

// A row while its callback runs; columns count from 0. A NULL reads as 0 or "".
class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Int(int column) const;
  std::string Text(int column) const;  // TEXT or BLOB alike
  bool IsNull(int column) const;

 private:
  sqlite3_stmt* statement_;
};

// What a row callback may return: an error ends the query and is its result.
using RowCallback = absl::FunctionRef<absl::Status(const Row&)>;

// The open connection, as a transaction sees it: statements run at once, on the calling thread.
// Prepared statements are kept by their text, so texts are to be constants with "?" for what
// varies.
class Connection {
 public:
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs a statement for its effect. AlreadyExists if a unique value is taken, ResourceExhausted on
  // a full disk, DataLoss on a damaged file.
  template <typename... Args>
  absl::Status Run(std::string_view sql, const Args&... args) {
    return Execute(sql, {SqlValue(args)...}, nullptr);
  }
  absl::Status Query(std::string_view sql, std::initializer_list<SqlValue> args, RowCallback row) {
    return Execute(sql, args, &row);
  }
  // Several statements without arguments, such as a migration's.
  absl::Status RunScript(const char* sql);
  int64_t LastInsertId() const;
  int64_t Changes() const;  // rows that the last INSERT, UPDATE or DELETE touched

 private:
  friend class Database;
  Connection(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  absl::Status Execute(std::string_view sql, std::initializer_list<SqlValue> args,
                       const RowCallback* row);
  absl::StatusOr<sqlite3_stmt*> Take(std::string_view sql);
  void GiveBack(std::string_view sql, sqlite3_stmt* statement);
  absl::Status Failure(int code, std::string_view sql) const;

  sqlite3* handle_;
  const std::string path_;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;  // idle ones
};

class Database {
 public:
  // Opens or creates the file (its folder must exist). A damaged file is renamed to
  // "<path>.damaged-<time>" with a loud log and a new one takes its place: a node that cannot start
  // its runtime is worse than one that lost its pods.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);

  // One statement in a transaction of its own.
  template <typename... Args>
  absl::Status Run(std::string_view sql, const Args&... args) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return connection_->Run(sql, args...);
  }
  absl::Status Query(std::string_view sql, std::initializer_list<SqlValue> args, RowCallback row)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return connection_->Query(sql, args, row);
  }
  // All of body's statements, or none if it returns an error.
  absl::Status Transaction(absl::FunctionRef<absl::Status(Connection&)> body)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string& path() const { return path_; }
  // Where Open() moved a damaged file; empty in ordinary life.
  const std::string& damaged_copy() const { return damaged_copy_; }

 private:
  Database(std::unique_ptr<Connection> connection, std::string path, std::string damaged_copy);
  static absl::StatusOr<std::unique_ptr<Connection>> Connect(const std::string& path);

  const std::string path_;
  const std::string damaged_copy_;
  absl::Mutex mutex_;
  std::unique_ptr<Connection> connection_ ABSL_PT_GUARDED_BY(mutex_);
};

// Brings a module's tables up to date: runs the steps (each one or more SQL statements) that this
// file has not seen, each in a transaction, in order. Steps are only ever appended.
// FailedPrecondition if a newer crisp has written the file.
absl::Status Migrate(Database& database, std::string_view module,
                     std::span<const char* const> steps);

}  // namespace crisp
