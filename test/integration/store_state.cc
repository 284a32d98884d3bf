#include "test/integration/store_state.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/test_image.h"

namespace crisp {
namespace {

using Columns = std::vector<std::string>;

// Every row of the query; a query that fails gives one row that says why.
std::vector<Columns> Rows(sqlite3* database, const char* sql) {
  std::vector<Columns> rows;
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(database, sql, -1, &statement, nullptr);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(statement);
    if (code != SQLITE_ROW) break;
    Columns columns;
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
      columns.emplace_back(text != nullptr ? text : "");
    }
    rows.push_back(std::move(columns));
  }
  if (code != SQLITE_DONE) rows.push_back({"cannot be read", sqlite3_errmsg(database), "", ""});
  sqlite3_finalize(statement);
  return rows;
}

// Names, kinds, owners and modes of everything below the folder, and the files' content, which is
// read once of a file with many names, as busybox is.
std::string TreeDigest(const std::string& folder) {
  std::vector<std::string> entries;
  std::map<ino_t, std::string> contents;
  std::error_code error;
  for (auto it = std::filesystem::recursive_directory_iterator(folder, error);
       !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    struct stat info;
    if (lstat(it->path().c_str(), &info) != 0) continue;
    std::string& content = contents[info.st_ino];
    if (content.empty() && S_ISREG(info.st_mode)) {
      content = Sha256Digest(ReadFile(it->path(), size_t{1} << 30).value_or("?"));
    }
    entries.push_back(Cat(it->path().string().substr(folder.size()), " ", info.st_mode, " ",
                          info.st_uid, ":", info.st_gid, " ", content));
  }
  std::sort(entries.begin(), entries.end());
  std::string all;
  for (const std::string& entry : entries) all += entry + "\n";
  return Sha256Digest(all).substr(7, 16);
}

}  // namespace

std::multiset<std::string> StoreState(const std::string& root) {
  std::multiset<std::string> lines;
  sqlite3* database = nullptr;
  sqlite3_open_v2((root + "/crisp.db").c_str(), &database, SQLITE_OPEN_READWRITE, nullptr);
  std::map<std::string, std::string> layers;  // diff id by number
  for (const Columns& row : Rows(database, "SELECT number, diff_id, bytes, inodes FROM layers")) {
    layers[row[0]] = row[1];
    lines.insert(Cat("layer ", row[1], " ", row[2], " bytes ", row[3], " inodes"));
  }
  const auto layer = [&](const std::string& number) {
    return layers.contains(number) ? layers[number] : Cat("unknown ", number);
  };
  for (const Columns& row : Rows(database, "SELECT id, size FROM images"))
    lines.insert(Cat("image ", row[0], " ", row[1]));
  for (const Columns& row : Rows(database, "SELECT image, position, layer FROM image_layers"))
    lines.insert(Cat("layer ", row[1], " of ", row[0], ": ", layer(row[2])));
  for (const Columns& row : Rows(database, "SELECT name, image FROM image_names"))
    lines.insert(Cat("name ", row[0], " of ", row[1]));
  for (const Columns& row : Rows(database, "SELECT holder, layer FROM layer_leases"))
    lines.insert(Cat("lease of ", row[0], " on ", layer(row[1])));
  sqlite3_close(database);
  std::error_code error;
  for (const auto& folder : std::filesystem::directory_iterator(root + "/layers", error)) {
    const std::string number = folder.path().filename();
    lines.insert(Cat("folder of ", layer(number), ": ", TreeDigest(folder.path())));
  }
  return lines;
}

}  // namespace crisp
