#include "monitor/exit_record.h"

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxRecordBytes = 64 << 10;
constexpr mode_t kRecordMode = 0600;

}  // namespace

std::string ExitRecordPath(const std::string& bundle) { return JoinPath(bundle, "exit"); }

absl::Status WriteExitRecord(const std::string& bundle, const monitor::ExitRecord& record) {
  return ReplaceFile(ExitRecordPath(bundle), record.SerializeAsString(), kRecordMode,
                     Durability::kSurvivesPower);
}

absl::StatusOr<monitor::ExitRecord> ReadExitRecord(const std::string& bundle) {
  const std::string path = ExitRecordPath(bundle);
  ASSIGN_OR_RETURN(const std::string data, ReadFile(path, kMaxRecordBytes));
  monitor::ExitRecord record;
  if (!record.ParseFromString(data) || record.container_id().empty()) {
    return absl::DataLossError(Cat("the exit record ", path, " is damaged"));
  }
  return record;
}

}  // namespace crisp
