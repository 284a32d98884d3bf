// DatabaseFixture: a table of network/ in a database of the test's own, opened again as a restart
// of the daemon does. For tests only.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "db/database.h"

namespace crisp {

// TableType has Open(Database&), which returns a StatusOr of a unique_ptr.
template <typename TableType>
class DatabaseFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-network-XXXXXX";
    folder_ = mkdtemp(name);
    Open();
  }
  void TearDown() override {
    table_.reset();
    database_.reset();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  void Open() {
    table_.reset();
    database_.reset();
    database_ = *Database::Open(JoinPath(folder_, "crisp.db"));
    auto table = TableType::Open(*database_);
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    table_ = *std::move(table);
  }

  std::string folder_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<TableType> table_;
};

}  // namespace crisp
