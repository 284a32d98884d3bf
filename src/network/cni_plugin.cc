#include "network/cni_plugin.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "network/cni_config.h"

namespace crisp {
namespace {

constexpr absl::Duration kLongestRun = absl::Minutes(2);
constexpr size_t kMostOutput = (1 << 20) + 1;  // one more than a result may have
constexpr size_t kLongestPluginError = 1024;
constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The specification's codes that mean "not now".
constexpr int64_t kTryAgainLater = 11;
constexpr int64_t kNotAvailable = 50;
constexpr int64_t kLimitedConnectivity = 51;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Plugins inherit the daemon's environment, as with the reference library, but for what is the
// daemon's own affair.
std::vector<std::string> Environment(const CniInvocation& invocation) {
  std::vector<std::string> variables;
  bool has_path = false;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    if (StartsWith(variable, "CNI_") || StartsWith(variable, "NOTIFY_SOCKET=") ||
        StartsWith(variable, "LISTEN_"))
      continue;
    has_path |= StartsWith(variable, "PATH=");
    variables.emplace_back(variable);
  }
  if (!has_path) variables.emplace_back(kDefaultPath);
  std::string path;
  for (const std::string& folder : invocation.bin_dirs)
    path += Cat(path.empty() ? "" : ":", folder);
  variables.push_back(Cat("CNI_COMMAND=", invocation.command));
  variables.push_back(Cat("CNI_PATH=", path));
  if (invocation.container_id.empty()) return variables;  // GC and STATUS concern no container
  variables.push_back(Cat("CNI_CONTAINERID=", invocation.container_id));
  variables.push_back(Cat("CNI_NETNS=", invocation.netns));
  variables.push_back(Cat("CNI_IFNAME=", invocation.interface_name));
  variables.push_back(Cat("CNI_ARGS=", invocation.args));
  return variables;
}

// Foreign text as part of an error: bounded, on one line.
std::string Quote(std::string_view text) {
  text = Trim(text);
  std::string quote(text.substr(0, kLongestPluginError));
  for (char& c : quote) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (text.size() > kLongestPluginError) quote += "...";
  return quote;
}

absl::Status Failure(const std::string& what, const ProcessResult& result) {
  const absl::StatusOr<Json> error = ParseJson(result.stdout_data, "error");
  if (error.ok() && JsonMember(*error, "msg") != nullptr) {
    const int64_t code = JsonInt(*error, "code");
    const std::string details = Quote(JsonString(*error, "details"));
    const std::string words = Cat(what, ": ", Quote(JsonString(*error, "msg")),
                                  details.empty() ? "" : "; ", details, " (CNI error ", code, ")");
    const bool later =
        code == kTryAgainLater || code == kNotAvailable || code == kLimitedConnectivity;
    return later ? absl::UnavailableError(words) : absl::InternalError(words);
  }
  const std::string& output =
      Trim(result.stderr_data).empty() ? result.stdout_data : result.stderr_data;
  const std::string quote = Quote(output);
  return absl::InternalError(Cat(what, " with exit code ", result.exit_code,
                                 quote.empty() ? " and no word" : ": ", quote));
}

}  // namespace

absl::StatusOr<std::string> FindCniPlugin(const std::vector<std::string>& bin_dirs,
                                          const std::string& type) {
  if (!IsCniName(type))
    return absl::InvalidArgumentError(
        Cat("CNI plugin type \"", Quote(type), "\" is no plain file name"));
  std::string searched;
  for (const std::string& folder : bin_dirs) {
    const std::string path = JoinPath(folder, type);
    struct stat facts;
    if (stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode)) return path;
    searched += Cat(searched.empty() ? "" : ", ", folder);
  }
  return absl::NotFoundError(Cat("CNI plugin ", type, " is not in ",
                                 searched.empty() ? "any folder" : searched,
                                 ": install it or correct the CNI configuration"));
}

absl::StatusOr<std::string> RunCniPlugin(const std::string& type, const CniInvocation& invocation,
                                         const Json& config, const Call& call) {
  ASSIGN_OR_RETURN(const std::string path, FindCniPlugin(invocation.bin_dirs, type));
  const std::string what = Cat("CNI plugin ", type, " (", invocation.command, ") failed");
  ProcessRequest request;
  request.argv = {path};
  request.environment = Environment(invocation);
  request.stdin_data = JsonText(config);
  request.max_output_bytes = kMostOutput;
  absl::StatusOr<ProcessResult> result = RunProcess(request, call.Within(kLongestRun));
  if (!result.ok()) return Annotate(result.status(), what);
  if (result->exit_code != 0) return Failure(what, *result);
  return std::move(result->stdout_data);
}

}  // namespace crisp
