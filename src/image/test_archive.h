// For tests: tar archives, gzip and zstd written byte by byte as the test wants them, also wrongly.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace crisp {

// One entry as a ustar header, its data and padding; with pax records if any are given.
struct TestEntry {
  std::string path;
  char type = '0';
  std::string data;
  std::string link;
  unsigned mode = 0644;
  unsigned uid = 0;
  unsigned gid = 0;
  int64_t mtime = 1'600'000'000;
  unsigned major = 0;
  unsigned minor = 0;
  std::map<std::string, std::string> pax;
  int64_t lying_size = -1;  // in the header, instead of the data's
};

std::string TarOf(const TestEntry& entry);
std::string TarEnd();
template <typename Entries>
std::string TarOfAll(const Entries& entries) {
  std::string tar;
  for (const TestEntry& entry : entries) tar += TarOf(entry);
  return tar + TarEnd();
}
std::string Gzip(std::string_view data, int level = 1);
std::string Zstd(std::string_view data);

}  // namespace crisp
