#include "stream/exit_status.h"

#include "base/json.h"
#include "base/text.h"

namespace crisp::stream {

std::string ExitStatusText(int protocol_version, const absl::StatusOr<int>& outcome) {
  const bool success = outcome.ok() && *outcome == 0;
  const std::string message = outcome.ok() ? Cat("command terminated with exit code ", *outcome)
                                           : std::string(FromAbsl(outcome.status().message()));
  if (protocol_version < 4) return success ? "" : message;
  Json status = {{"metadata", Json::object()}, {"status", success ? "Success" : "Failure"}};
  if (outcome.ok() && !success) {
    status["message"] = message;
    status["reason"] = "NonZeroExitCode";
    status["details"] = {
        {"causes", {{{"reason", "ExitCode"}, {"message", std::to_string(*outcome)}}}}};
  } else if (!outcome.ok()) {
    status["message"] = message;
    status["reason"] = "InternalError";
    status["code"] = 500;
    status["details"] = {{"causes", {{{"message", message}}}}};
  }
  return JsonText(status);
}

}  // namespace crisp::stream
