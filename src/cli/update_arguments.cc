#include "cli/update_arguments.h"

#include <cmath>
#include <cstdlib>
#include <string>

#include "base/text.h"
#include "cli/run_arguments.h"

namespace crisp {
namespace {

constexpr double kPeriod = 100'000;

// A plain number at the front ("1", "1.5"), which is cut off; negative if there is none.
double TakeNumber(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string digits(text.substr(0, end));
  char* rest = nullptr;
  const double value = std::strtod(digits.c_str(), &rest);
  if (digits.empty() || *rest != '\0' || digits.size() > 20) return -1;
  text.remove_prefix(end);
  return value;
}

}  // namespace

absl::StatusOr<int64_t> ParseBytes(std::string_view text) {
  const absl::Status wrong =
      WrongArgument("size", text, "a number with K, M, G or T, such as 64M, or max");
  if (text == "max") return -1;
  std::string_view rest = text;
  double value = TakeNumber(rest);
  if (value <= 0) return wrong;
  if (!rest.empty() && rest != "B") {
    const size_t power = std::string_view("KMGT").find(static_cast<char>(toupper(rest.front())));
    if (power == std::string_view::npos) return wrong;
    value *= std::pow(1024, static_cast<double>(power + 1));
    rest.remove_prefix(1);
    if (rest != "" && rest != "i" && rest != "B" && rest != "iB") return wrong;
  }
  if (value < 1 || value >= std::ldexp(1, 62)) return wrong;
  return static_cast<int64_t>(value);
}

absl::StatusOr<int64_t> ParseCpus(std::string_view text) {
  if (text == "max") return -1;
  std::string_view rest = text;
  const double value = TakeNumber(rest);
  if (value < 0.01 || value > 100'000 || !rest.empty()) {
    return WrongArgument("processors", text, "a number from 0.01 on, such as 1.5, or max");
  }
  return static_cast<int64_t>(std::llround(value * kPeriod));
}

}  // namespace crisp
