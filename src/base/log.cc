#include "base/log.h"

#include "base/text.h"
#include "spdlog/sinks/stdout_color_sinks.h"

namespace crisp {

absl::Status StartLog(const std::string& level) {
  const auto parsed = spdlog::level::from_str(level);
  if (parsed == spdlog::level::off && level != "off") {
    return absl::InvalidArgumentError(
        Cat("log level \"", level, "\" is unknown; use trace, debug, info, warn, error or off"));
  }
  auto logger = std::make_shared<spdlog::logger>(
      "crisp", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_level(parsed);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

}  // namespace crisp
