// Signals by all the names they have: CRI's enum (SIGRTMINPLUS3), an image's StopSignal ("SIGTERM",
// "term", "15", "RTMIN+3") and the kernel's numbers. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"

namespace crisp {

struct StopSignal {
  int number = 15;
  runtime::v1::Signal cri = runtime::v1::SIGNAL_SIGTERM;
};

// 1..64. InvalidArgument for a word that names no signal of Linux.
absl::StatusOr<int> SignalNumber(std::string_view name);
// "SIGTERM", "SIGRTMIN+3"; empty if there is no such signal.
std::string SignalName(int number);
// InvalidArgument for SIGNAL_RUNTIME_DEFAULT and for numbers that the enum does not have.
absl::StatusOr<int> NumberOfCriSignal(runtime::v1::Signal signal);
// SIGNAL_RUNTIME_DEFAULT if there is none.
runtime::v1::Signal CriSignalOf(int number);

// What StopContainer sends: the container's own stop_signal, else the image's, else SIGTERM.
absl::StatusOr<StopSignal> EffectiveStopSignal(runtime::v1::Signal requested,
                                               std::string_view of_image);

}  // namespace crisp
