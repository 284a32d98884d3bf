// The daemon's log: LOG_INFO("pod {} stopped", id) and so on, formatted by fmt, written by spdlog
// to stderr. Any thread. The monitor does not use this (it has monitor/monitor_log.h): it stays
// small.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "spdlog/spdlog.h"

namespace crisp {

// Sets level ("trace", "debug", "info", "warn", "error") and the line format; InvalidArgument for
// another word.
absl::Status StartLog(const std::string& level);

#define LOG_DEBUG(...) SPDLOG_DEBUG(__VA_ARGS__)
#define LOG_INFO(...) SPDLOG_INFO(__VA_ARGS__)
#define LOG_WARN(...) SPDLOG_WARN(__VA_ARGS__)
#define LOG_ERROR(...) SPDLOG_ERROR(__VA_ARGS__)

}  // namespace crisp
