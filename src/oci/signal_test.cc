#include "oci/signal.h"

#include "gtest/gtest.h"

namespace crisp {
namespace {

TEST(Signal, NumberOfEveryName) {
  const std::pair<const char*, int> names[] = {
      {"SIGTERM", 15},    {"TERM", 15},
      {"term", 15},       {" SIGKILL\n", 9},
      {"15", 15},         {"1", 1},
      {"64", 64},         {"SIGRTMIN", 34},
      {"RTMIN+3", 37},    {"SIGRTMIN+15", 49},
      {"RTMAX", 64},      {"SIGRTMAX-14", 50},
      {"RTMINPLUS1", 35}, {"SIGRTMAXMINUS1", 63},
      {"SIGPOLL", 29},    {"CLD", 17},
      {"iot", 6},
  };
  for (const auto& [name, number] : names) {
    const absl::StatusOr<int> found = SignalNumber(name);
    ASSERT_TRUE(found.ok()) << name;
    EXPECT_EQ(*found, number) << name;
  }
}

TEST(Signal, RefusesWhatIsNone) {
  for (const char* name : {"", "SIG", "0", "65", "-1", "SIGTERMX", "RTMIN+31", "RTMIN-1", "RTMIN+",
                           "RTMAX+1", "RTMIN+x", "9999999999999", "SIGSIGTERM", "RTMIN+-1"}) {
    EXPECT_EQ(SignalNumber(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(Signal, EveryCriSignalThereAndBack) {
  EXPECT_FALSE(NumberOfCriSignal(runtime::v1::SIGNAL_RUNTIME_DEFAULT).ok());
  EXPECT_FALSE(NumberOfCriSignal(static_cast<runtime::v1::Signal>(999)).ok());
  int known = 0;
  for (int value = 1; value <= runtime::v1::Signal_MAX; ++value) {
    const auto number = NumberOfCriSignal(static_cast<runtime::v1::Signal>(value));
    ASSERT_TRUE(number.ok()) << value << " " << number.status();
    EXPECT_EQ(*NumberOfCriSignal(CriSignalOf(*number)), *number);
    EXPECT_EQ(*SignalNumber(SignalName(*number)), *number);
    ++known;
  }
  EXPECT_EQ(known, 65);
  EXPECT_EQ(CriSignalOf(17), runtime::v1::SIGNAL_SIGCHLD) << "the usual one of two names";
  EXPECT_EQ(CriSignalOf(37), runtime::v1::SIGNAL_SIGRTMINPLUS3);
  EXPECT_EQ(CriSignalOf(50), runtime::v1::SIGNAL_SIGRTMAXMINUS14);
  EXPECT_EQ(CriSignalOf(32), runtime::v1::SIGNAL_RUNTIME_DEFAULT);
  EXPECT_EQ(SignalName(37), "SIGRTMIN+3");
  EXPECT_EQ(SignalName(0), "");
}

TEST(Signal, EffectiveStopSignal) {
  EXPECT_EQ(EffectiveStopSignal(runtime::v1::SIGNAL_RUNTIME_DEFAULT, "")->number, 15);
  EXPECT_EQ(EffectiveStopSignal(runtime::v1::SIGNAL_RUNTIME_DEFAULT, "SIGRTMIN+3")->number, 37);
  EXPECT_EQ(EffectiveStopSignal(runtime::v1::SIGNAL_RUNTIME_DEFAULT, "3")->cri,
            runtime::v1::SIGNAL_SIGQUIT);
  const auto own = EffectiveStopSignal(runtime::v1::SIGNAL_SIGUSR1, "nonsense");
  ASSERT_TRUE(own.ok()) << "the image's is not looked at";
  EXPECT_EQ(own->number, 10);
  EXPECT_EQ(own->cri, runtime::v1::SIGNAL_SIGUSR1);
  EXPECT_EQ(EffectiveStopSignal(runtime::v1::SIGNAL_RUNTIME_DEFAULT, "nonsense").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace crisp
