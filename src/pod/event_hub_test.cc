#include "pod/event_hub.h"

#include <thread>

#include "gmock/gmock.h"

namespace crisp {
namespace {

using ::runtime::v1::ContainerEventResponse;

ContainerEventResponse Event(const std::string& id) {
  ContainerEventResponse event;
  event.set_container_id(id);
  return event;
}

std::string NextId(EventSubscription& subscription) {
  const auto event = subscription.Next(Call{}.Within(absl::Seconds(20)));
  return event.ok() ? (*event)->container_id() : event.status().ToString();
}

TEST(EventHub, EverySubscriberGetsEveryEventInOrder) {
  EventHub hub;
  hub.EndStart();
  EXPECT_FALSE(hub.Wanted());
  hub.Publish(Event("before"));
  const auto one = hub.Subscribe();
  const auto two = hub.Subscribe();
  EXPECT_TRUE(hub.Wanted());
  for (int i = 0; i < 100; ++i) hub.Publish(Event(std::to_string(i)));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(NextId(*one), std::to_string(i));
    EXPECT_EQ(NextId(*two), std::to_string(i));
  }
}

TEST(EventHub, OneThatHasGoneIsForgotten) {
  EventHub hub;
  hub.EndStart();
  hub.Subscribe();
  EXPECT_FALSE(hub.Wanted());
}

TEST(EventHub, ASlowOneIsCutAndTheOthersGoOn) {
  EventHub hub;
  hub.EndStart();
  const auto slow = hub.Subscribe();
  const auto quick = hub.Subscribe();
  for (size_t i = 0; i <= EventSubscription::kMostEvents; ++i) {
    hub.Publish(Event(std::to_string(i)));
    EXPECT_EQ(NextId(*quick), std::to_string(i));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(slow->Next(Call{}).status()));
  hub.Publish(Event("later"));
  EXPECT_EQ(NextId(*quick), "later");
  EXPECT_TRUE(absl::IsResourceExhausted(slow->Next(Call{}).status()));
}

TEST(EventHub, BigEventsCountByTheirBytes) {
  EventHub hub;
  hub.EndStart();
  const auto slow = hub.Subscribe();
  const std::string big(1 << 20, 'x');
  for (size_t i = 0; i <= EventSubscription::kMostBytes >> 20; ++i) hub.Publish(Event(big));
  EXPECT_TRUE(absl::IsResourceExhausted(slow->Next(Call{}).status()));
}

TEST(EventHub, EventsOfTheStartAreForAllWhoComeSoon) {
  EventHub hub;
  EXPECT_TRUE(hub.Wanted());
  hub.Publish(Event("exit"));
  hub.EndStart();
  hub.Publish(Event("nobody listens"));
  for (int i = 0; i < 2; ++i) {
    const auto subscription = hub.Subscribe();
    hub.Publish(Event("live"));
    EXPECT_EQ(NextId(*subscription), "exit");
    EXPECT_EQ(NextId(*subscription), "live");
  }
}

TEST(EventHub, ClosingEndsThoseWhoWaitAndThoseWhoHang) {
  EventHub hub;
  const auto waiting = hub.Subscribe();
  const auto hanging = hub.Subscribe();
  int aborted = 0;
  hanging->Sending([&] { ++aborted; });
  absl::Status end;
  std::thread reader([&] { end = waiting->Next(Call{}).status(); });
  hub.Close();
  reader.join();
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  EXPECT_EQ(aborted, 1);
  hanging->Sent();
  EXPECT_TRUE(absl::IsUnavailable(hub.Subscribe()->Next(Call{}).status()));
}

TEST(EventHub, ACallEndsTheWait) {
  EventHub hub;
  const auto subscription = hub.Subscribe();
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(subscription->Next(Call{}.Within(absl::Milliseconds(1))).status()));
}

}  // namespace
}  // namespace crisp
