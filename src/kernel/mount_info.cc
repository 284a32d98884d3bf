#include "kernel/mount_info.h"

#include <charconv>

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kMaxMountInfo = 64 << 20;  // a node with 100000 mounts has about 20 MiB

bool Number(std::string_view text, int& number) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

bool ParseLine(std::string_view line, MountInfo& info) {
  const std::vector<std::string_view> words = SplitWords(line, ' ');
  if (words.size() < 9) return false;
  if (!Number(words[0], info.id) || !Number(words[1], info.parent)) return false;
  info.root = UnescapeMountInfo(words[3]);
  info.point = UnescapeMountInfo(words[4]);
  info.options = words[5];
  size_t next = 6;
  for (; next < words.size() && words[next] != "-"; ++next) {
    const std::string_view field = words[next];
    if (field.rfind("shared:", 0) == 0) Number(field.substr(7), info.shared);
    if (field.rfind("master:", 0) == 0) Number(field.substr(7), info.master);
  }
  if (next + 1 >= words.size()) return false;
  info.type = words[next + 1];
  if (next + 2 < words.size()) info.source = UnescapeMountInfo(words[next + 2]);
  return true;
}

}  // namespace

std::string UnescapeMountInfo(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;  // unsigned: a sign is no digit
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 1] + 3, code, 8).ptr == &text[i + 1] + 3) {
      result += static_cast<char>(code);
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::vector<MountInfo> ParseMountInfo(std::string_view text) {
  std::vector<MountInfo> mounts;
  for (const std::string_view line : SplitWords(text, '\n')) {
    MountInfo info;
    if (ParseLine(line, info)) mounts.push_back(std::move(info));
  }
  return mounts;
}

absl::StatusOr<std::vector<MountInfo>> ReadMountInfo() {
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/mountinfo", kMaxMountInfo));
  return ParseMountInfo(text);
}

const MountInfo* MountOf(const std::vector<MountInfo>& mounts, std::string_view path) {
  const MountInfo* best = nullptr;
  for (const MountInfo& info : mounts) {
    const std::string_view point = info.point;
    const bool above = point == "/" || path == point ||
                       (path.size() > point.size() && path.substr(0, point.size()) == point &&
                        path[point.size()] == '/');
    if (above && (best == nullptr || point.size() >= best->point.size())) best = &info;
  }
  return best;
}

}  // namespace crisp
