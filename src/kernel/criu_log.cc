#include "kernel/criu_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kTail = 64 << 10;
constexpr size_t kMaxErrors = 3;
constexpr size_t kMaxLine = 300;

// Lines that are written in every run, or that only say that there was an error before.
bool IsNoise(std::string_view words) {
  for (const std::string_view noise :
       {"setup RLIMIT_NOFILE", "Unable to create tun", "cgroupd: recv req"}) {
    if (words.find(noise) != words.npos) return true;
  }
  return words.starts_with("exited, status=") || words.ends_with("FAILED.");
}

}  // namespace

// "(00.012345)      1: Error (criu/files.c:17): words"
std::string CriuErrors(std::string_view log) {
  std::vector<std::string> errors;
  for (const std::string_view line : SplitWords(log, '\n')) {
    const size_t error = line.find("Error (");
    if (error == line.npos) continue;
    const size_t close = line.find("): ", error);
    if (close == line.npos) continue;
    const std::string_view words = Trim(line.substr(close + 3)).substr(0, kMaxLine);
    if (words.empty() || IsNoise(words)) continue;
    std::string clean(words);
    // What a container chose, such as a path, shall not reach a terminal as control characters.
    std::replace_if(
        clean.begin(), clean.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
    errors.push_back(std::move(clean));
    if (errors.size() > kMaxErrors) errors.erase(errors.begin());
  }
  std::string joined;
  for (const std::string& one : errors) joined += Cat(joined.empty() ? "" : "; ", one);
  return joined;
}

std::string CriuErrorsOf(const std::string& path) {
  const absl::StatusOr<UniqueFd> file = OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat info = {};
  if (!file.ok() || fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  std::string tail(kTail, '\0');
  const off_t from = std::max<off_t>(0, info.st_size - static_cast<off_t>(kTail));
  const ssize_t count = pread(file->get(), tail.data(), tail.size(), from);
  if (count <= 0) return "";
  tail.resize(static_cast<size_t>(count));
  return CriuErrors(tail);
}

}  // namespace crisp
