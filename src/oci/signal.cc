#include "oci/signal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/status.h"

namespace crisp {
namespace {

constexpr int kRealtimeMin = 34;  // what glibc calls SIGRTMIN
constexpr int kRealtimeMax = 64;

// Linux on every architecture that Debian runs Kubernetes on (x86-64, arm64, riscv64, ...). Where a
// number has two names, the one that is printed comes first.
constexpr std::array<std::pair<std::string_view, int>, 35> kSignals = {{
    {"HUP", 1},   {"INT", 2},   {"QUIT", 3},  {"ILL", 4},     {"TRAP", 5},    {"ABRT", 6},
    {"IOT", 6},   {"BUS", 7},   {"FPE", 8},   {"KILL", 9},    {"USR1", 10},   {"SEGV", 11},
    {"USR2", 12}, {"PIPE", 13}, {"ALRM", 14}, {"TERM", 15},   {"STKFLT", 16}, {"CHLD", 17},
    {"CLD", 17},  {"CONT", 18}, {"STOP", 19}, {"TSTP", 20},   {"TTIN", 21},   {"TTOU", 22},
    {"URG", 23},  {"XCPU", 24}, {"XFSZ", 25}, {"VTALRM", 26}, {"PROF", 27},   {"WINCH", 28},
    {"IO", 29},   {"POLL", 29}, {"PWR", 30},  {"SYS", 31},    {"UNUSED", 31},
}};

// "3" after "RTMIN+", "RTMINPLUS", ...; -1 if it is no small number.
int Offset(std::string_view text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : -1;
}

// The number of "RTMIN", "RTMIN+3", "RTMINPLUS3", "RTMAX-1", "RTMAXMINUS1"; 0 if it is none.
int RealtimeNumber(std::string_view name) {
  const bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return 0;
  name.remove_prefix(5);
  if (name.empty()) return from_min ? kRealtimeMin : kRealtimeMax;
  for (const std::string_view sign : from_min ? std::array<std::string_view, 2>{"+", "PLUS"}
                                              : std::array<std::string_view, 2>{"-", "MINUS"}) {
    if (!name.starts_with(sign)) continue;
    const int offset = Offset(name.substr(sign.size()));
    if (offset < 0 || offset > kRealtimeMax - kRealtimeMin) return 0;
    return from_min ? kRealtimeMin + offset : kRealtimeMax - offset;
  }
  return 0;
}

}  // namespace

absl::StatusOr<int> SignalNumber(std::string_view name) {
  std::string upper(Trim(name));
  for (char& letter : upper) {
    if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
  }
  std::string_view rest = upper;
  if (const int number = Offset(rest); number >= 1 && number <= kRealtimeMax) return number;
  if (rest.starts_with("SIG")) rest.remove_prefix(3);
  for (const auto& [signal, number] : kSignals) {
    if (rest == signal) return number;
  }
  if (const int number = RealtimeNumber(rest); number != 0) return number;
  return absl::InvalidArgumentError(Cat("\"", name.substr(0, 64), "\" is no signal of Linux"));
}

std::string SignalName(int number) {
  for (const auto& [signal, value] : kSignals) {
    if (value == number) return Cat("SIG", signal);
  }
  if (number < kRealtimeMin || number > kRealtimeMax) return "";
  if (number == kRealtimeMin) return "SIGRTMIN";
  if (number == kRealtimeMax) return "SIGRTMAX";
  // As bash and the CRI do: the first half counts from the start.
  return number < 50 ? Cat("SIGRTMIN+", number - kRealtimeMin)
                     : Cat("SIGRTMAX-", kRealtimeMax - number);
}

absl::StatusOr<int> NumberOfCriSignal(runtime::v1::Signal signal) {
  constexpr std::string_view kPrefix = "SIGNAL_";
  const std::string& name = runtime::v1::Signal_Name(signal);
  if (signal == runtime::v1::SIGNAL_RUNTIME_DEFAULT || !name.starts_with(kPrefix)) {
    return absl::InvalidArgumentError(
        Cat("stop_signal: ", static_cast<int>(signal), " is no signal of the CRI"));
  }
  return SignalNumber(std::string_view(name).substr(kPrefix.size()));
}

runtime::v1::Signal CriSignalOf(int number) {
  static const auto* const kBySignal = [] {
    auto* table = new std::map<int, runtime::v1::Signal>;
    for (int value = 1; value <= runtime::v1::Signal_MAX; ++value) {
      const auto signal = static_cast<runtime::v1::Signal>(value);
      const absl::StatusOr<int> known = NumberOfCriSignal(signal);
      if (!known.ok()) continue;
      // Of two names for a number, the usual one.
      std::string usual = SignalName(*known);
      const bool is_usual = runtime::v1::Signal_Name(signal) == Cat("SIGNAL_", usual);
      if (is_usual) (*table)[*known] = signal;
      table->emplace(*known, signal);
    }
    return table;
  }();
  const auto found = kBySignal->find(number);
  return found == kBySignal->end() ? runtime::v1::SIGNAL_RUNTIME_DEFAULT : found->second;
}

absl::StatusOr<StopSignal> EffectiveStopSignal(runtime::v1::Signal requested,
                                               std::string_view of_image) {
  StopSignal signal;
  if (requested != runtime::v1::SIGNAL_RUNTIME_DEFAULT) {
    ASSIGN_OR_RETURN(signal.number, NumberOfCriSignal(requested));
    signal.cri = requested;
  } else if (!of_image.empty()) {
    const absl::StatusOr<int> number = SignalNumber(of_image);
    if (!number.ok()) return Annotate(number.status(), "the image's StopSignal");
    signal.number = *number;
    signal.cri = CriSignalOf(signal.number);
  }
  return signal;
}

}  // namespace crisp
