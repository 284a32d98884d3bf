// A database on a disk that fills up, which a small tmpfs stands for: writes are refused with the
// right words, what is there stays readable, and removing goes on.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "db/database.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class FullDisk : public ::testing::Test {
 protected:
  ~FullDisk() override {
    database_.reset();
    umount2(folder_.c_str(), MNT_DETACH);
    rmdir(folder_.c_str());
  }
  void Mount(const char* size) {
    char pattern[] = "/tmp/crisp-db-full.XXXXXX";
    folder_ = mkdtemp(pattern);
    ASSERT_EQ(mount("tmpfs", folder_.c_str(), "tmpfs", 0, size), 0);
    Open();
  }
  void Open() {
    database_.reset();
    auto database = Database::Open(folder_ + "/crisp.db");
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    ASSERT_TRUE(Migrate(*database_, "test", kSteps).ok());
  }
  void Fill() {
    const UniqueFd file(open((folder_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string block(4096, 'f');
    while (write(file.get(), block.data(), block.size()) > 0) {
    }
    ASSERT_EQ(errno, ENOSPC);
  }
  absl::Status Insert(int64_t id) {
    return database_->Run("INSERT INTO t VALUES(?,?)", id, Blob(std::string(2000, 'd')));
  }
  int64_t Count() {
    int64_t count = -1;
    const absl::Status status = database_->Query("SELECT count(*) FROM t", {}, [&](const Row& row) {
      count = row.Int(0);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return count;
  }

  static constexpr const char* kSteps[] = {"CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)"};
  std::string folder_;
  std::unique_ptr<Database> database_;
};

TEST_F(FullDisk, AWriteIsRefusedAndNothingOfItStays) {
  Mount("size=1m");  // less than the log would like to reserve
  absl::Status refused;
  int64_t written = 0;
  while (refused.ok() && written < 1000) {
    refused = Insert(written);
    if (refused.ok()) ++written;
  }
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr(folder_ + "/crisp.db"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("full"));
  EXPECT_EQ(Count(), written);
  const absl::Status transaction = database_->Transaction([&](Connection& connection) {
    absl::Status status = connection.Run("INSERT INTO t VALUES(5000, NULL)");
    for (int i = 0; status.ok() && i < 1000; ++i)
      status = connection.Run("INSERT INTO t VALUES(?,?)", 6000 + i, Blob(std::string(4000, 'd')));
    return status;
  });
  EXPECT_EQ(transaction.code(), absl::StatusCode::kResourceExhausted) << transaction;
  EXPECT_EQ(Count(), written);
  // There is room again.
  ASSERT_EQ(mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT, "size=20m"), 0);
  EXPECT_TRUE(Insert(written).ok());
  Open();
  EXPECT_EQ(Count(), written + 1);
}

TEST_F(FullDisk, RowsAreRemovedAndChangedThoughTheDiskIsFull) {
  Mount("size=16m");
  for (int64_t i = 0; i < 500; ++i) ASSERT_TRUE(Insert(i).ok());
  Fill();
  // More than the log has room for, were it never written back.
  for (int round = 0; round < 20; ++round) {
    for (int64_t i = 0; i < 250; ++i) {
      const absl::Status status =
          database_->Run("UPDATE t SET data=? WHERE id=?", Blob(std::string(1990, 'e')), i);
      ASSERT_TRUE(status.ok()) << status;
    }
  }
  for (int64_t i = 0; i < 250; ++i) ASSERT_TRUE(database_->Run("DELETE FROM t WHERE id=?", i).ok());
  EXPECT_EQ(Count(), 250);
  // Also after the next start, which finds the disk full.
  Open();
  EXPECT_EQ(Count(), 250);
  EXPECT_TRUE(database_->Run("DELETE FROM t").ok());
  EXPECT_EQ(Count(), 0);
}

}  // namespace
}  // namespace crisp
