// The daemon's log: LOG_INFO("pod {} stopped", id) and so on, formatted by fmt, written by spdlog
// to stderr. Any thread. The monitor does not use this (it has monitor/monitor_log.h): it stays
// small. Formatting and writing are in log.cc alone, for spdlog is slow to compile.
#pragma once

#include <fmt/core.h>

#include <string>

#include "absl/status/status.h"

namespace crisp {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

// Sets level ("trace", "debug", "info", "warn", "error", "off") and the line format;
// InvalidArgument for another word.
absl::Status StartLog(const std::string& level);

void WriteLog(LogLevel level, fmt::string_view format, fmt::format_args arguments);

template <typename... T>
void Log(LogLevel level, fmt::format_string<T...> format, T&&... arguments) {
  WriteLog(level, format, fmt::make_format_args(arguments...));
}

#define LOG_DEBUG(...) ::crisp::Log(::crisp::LogLevel::kDebug, __VA_ARGS__)
#define LOG_INFO(...) ::crisp::Log(::crisp::LogLevel::kInfo, __VA_ARGS__)
#define LOG_WARN(...) ::crisp::Log(::crisp::LogLevel::kWarn, __VA_ARGS__)
#define LOG_ERROR(...) ::crisp::Log(::crisp::LogLevel::kError, __VA_ARGS__)

}  // namespace crisp
