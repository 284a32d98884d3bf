#include "launch/runtime_log.h"

#include "base/json.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxSentence = 1 << 10;

std::string OneSentence(std::string_view text) {
  std::string sentence;
  for (const char character : Trim(text).substr(0, kMaxSentence)) {
    const bool control = static_cast<unsigned char>(character) < ' ' || character == '\x7f';
    sentence += control ? ' ' : character;
  }
  return sentence;
}

}  // namespace

std::string LastRuntimeMessage(std::string_view log) {
  std::string last, last_error;
  for (const std::string_view line : SplitWords(log, '\n')) {
    if (Trim(line).empty()) continue;
    const absl::StatusOr<Json> entry = ParseJson(line, "a line of the runtime's log");
    if (!entry.ok() || !entry->is_object()) {
      last = OneSentence(line);
      continue;
    }
    last = OneSentence(JsonString(*entry, "msg"));
    const std::string level = JsonString(*entry, "level");
    if (level == "error" || level == "fatal") last_error = last;
  }
  return last_error.empty() ? last : last_error;
}

absl::Status RuntimeFailure(std::string_view message) {
  const auto says = [&](std::string_view words) {
    return message.find(words) != std::string_view::npos;
  };
  // crun: "executable file `x` not found in $PATH"; runc: "exec: \"x\": executable file not found",
  // "exec: \"/x\": stat /x: no such file or directory"; runsc: "failed to load /x: no such file or
  // directory", "error finding executable \"x\" in PATH [/bin]: no such file or directory".
  const bool program = says("executable file") || says("exec: ") || says("exec failed") ||
                       says("failed to load ") || says("finding executable ");
  const bool absent =
      says("not found") || says("No such file or directory") || says("no such file or directory");
  const absl::StatusCode code =
      program && absent ? absl::StatusCode::kNotFound : absl::StatusCode::kInternal;
  return absl::Status(code, ToAbsl(message));
}

}  // namespace crisp
