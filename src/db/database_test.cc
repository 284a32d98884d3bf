#include "db/database.h"

#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() {
    char pattern[] = "/tmp/crisp-db-test.XXXXXX";
    folder_ = mkdtemp(pattern);
    path_ = folder_ + "/crisp.db";
  }
  ~DatabaseTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Database> Open() {
    auto database = Database::Open(path_);
    EXPECT_TRUE(database.ok()) << database.status();
    return database.ok() ? *std::move(database) : nullptr;
  }
  static int64_t Count(Database& database) {
    int64_t count = -1;
    EXPECT_TRUE(database
                    .Query("SELECT count(*) FROM t", {},
                           [&](const Row& row) {
                             count = row.Int(0);
                             return absl::OkStatus();
                           })
                    .ok());
    return count;
  }

  static constexpr const char* kSteps[] = {
      "CREATE TABLE t(id TEXT PRIMARY KEY, data BLOB, n INTEGER)",
      "CREATE INDEX t_n ON t(n); INSERT INTO t VALUES('seed', NULL, 1)"};
  std::string folder_;
  std::string path_;
};

TEST_F(DatabaseTest, KeepsWhatWasWritten) {
  const std::string bytes("\0binary\xff", 8);
  {
    auto database = Open();
    ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
    ASSERT_TRUE(database->Run("INSERT INTO t VALUES(?,?,?)", "a", Blob(bytes), 7).ok());
  }
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
  EXPECT_EQ(Count(*database), 2);
  ASSERT_TRUE(database
                  ->Query("SELECT data, n FROM t WHERE id=?", {"a"},
                          [&](const Row& row) {
                            EXPECT_EQ(row.Text(0), bytes);
                            EXPECT_EQ(row.Int(1), 7);
                            return absl::OkStatus();
                          })
                  .ok());
}

TEST_F(DatabaseTest, IsForRootAlone) {
  ASSERT_TRUE(ReplaceFile(path_, "", 0644).ok());
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    EXPECT_EQ(static_cast<int>(entry.status().permissions()), 0600) << entry.path();
  }
}

TEST_F(DatabaseTest, ATakenKeyIsAlreadyExists) {
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
  absl::Status status = database->Run("INSERT INTO t(id) VALUES(?)", "seed");
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
}

TEST_F(DatabaseTest, AFailedTransactionLeavesNothing) {
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
  absl::Status status = database->Transaction([](Connection& connection) -> absl::Status {
    EXPECT_TRUE(connection.Run("INSERT INTO t(id) VALUES(?)", "x").ok());
    return absl::AbortedError("enough");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Count(*database), 1);
  EXPECT_TRUE(database->Run("INSERT INTO t(id) VALUES(?)", "x").ok());
}

TEST_F(DatabaseTest, AStatementMayRunInItsOwnCallback) {
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
  ASSERT_TRUE(database->Run("INSERT INTO t(id) VALUES(?)", "x").ok());
  int inner = 0;
  ASSERT_TRUE(database
                  ->Transaction([&](Connection& connection) {
                    return connection.Query("SELECT id FROM t", {}, [&](const Row&) {
                      return connection.Query("SELECT id FROM t", {}, [&](const Row&) {
                        ++inner;
                        return absl::OkStatus();
                      });
                    });
                  })
                  .ok());
  EXPECT_EQ(inner, 4);
}

TEST_F(DatabaseTest, ThreadsShareTheConnection) {
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(
            database->Run("INSERT INTO t(id) VALUES(?)", std::to_string(thread * 1000 + i)).ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(Count(*database), 201);
}

TEST_F(DatabaseTest, ADamagedFileIsMovedAside) {
  ASSERT_TRUE(ReplaceFile(path_, std::string(8192, 'x')).ok());
  auto database = Open();
  ASSERT_NE(database, nullptr);
  EXPECT_FALSE(database->damaged_copy().empty());
  EXPECT_TRUE(PathExists(database->damaged_copy()));
  EXPECT_TRUE(Migrate(*database, "test", kSteps).ok());
}

TEST_F(DatabaseTest, DamageInTheMiddleIsFound) {
  {
    auto database = Open();
    ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
    for (int i = 0; i < 500; ++i) {
      ASSERT_TRUE(database
                      ->Run("INSERT INTO t VALUES(?,?,?)", std::to_string(i),
                            Blob(std::string(500, 'b')), i)
                      .ok());
    }
  }
  auto content = ReadFile(path_);
  ASSERT_TRUE(content.ok());
  for (size_t at = 4096; at < content->size(); at += 4096) content->replace(at, 64, 64, '\x7f');
  ASSERT_TRUE(ReplaceFile(path_, *content).ok());
  // It has whole copies of the pages that were written last.
  ASSERT_TRUE(RemoveFile(path_ + "-wal").ok());
  auto database = Open();
  ASSERT_NE(database, nullptr);
  EXPECT_FALSE(database->damaged_copy().empty());
}

TEST_F(DatabaseTest, ANewerFileIsRefused) {
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, "test", kSteps).ok());
  absl::Status status = Migrate(*database, "test", std::span(kSteps).first(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST_F(DatabaseTest, AFailingMigrationChangesNothing) {
  auto database = Open();
  const char* const broken[] = {"CREATE TABLE a(x)", "CREATE TABLE a(x)"};
  EXPECT_FALSE(Migrate(*database, "broken", broken).ok());
  EXPECT_FALSE(database->Run("INSERT INTO a VALUES(1)").ok());
}

}  // namespace
}  // namespace crisp
