// crisp events: what happens to pods and containers, a line each, until it is interrupted.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

const char* TypeText(cri::ContainerEventType type) {
  switch (type) {
    case cri::CONTAINER_CREATED_EVENT:
      return "created";
    case cri::CONTAINER_STARTED_EVENT:
      return "started";
    case cri::CONTAINER_STOPPED_EVENT:
      return "stopped";
    case cri::CONTAINER_DELETED_EVENT:
      return "deleted";
    default:
      return "unknown";
  }
}

// "2026-01-02T03:04:05Z stopped container 0123456789abc default/web/main exit 1 Error".
std::string Line(const cri::ContainerEventResponse& event) {
  const cri::PodSandboxStatus& pod = event.pod_sandbox_status();
  const bool of_pod = event.container_id() == pod.id();
  std::string name = Cat(pod.metadata().namespace_(), "/", pod.metadata().name());
  std::string result;
  for (const cri::ContainerStatus& container : event.containers_statuses()) {
    if (container.id() != event.container_id()) continue;
    name += Cat("/", container.metadata().name());
    if (event.container_event_type() == cri::CONTAINER_STOPPED_EVENT) {
      result = Cat(" exit ", container.exit_code(), " ", container.reason());
    }
  }
  return Printable(Cat(TimeText(event.created_at()), " ", TypeText(event.container_event_type()),
                       of_pod ? " pod " : " container ", ShortId(event.container_id()), " ", name,
                       result));
}

absl::Status Events(Session& session) {
  return session.client().Events([&](const cri::ContainerEventResponse& event) {
    Print((session.json() ? JsonText(MessageJson(event)) : Line(event)) + "\n");
  });
}

}  // namespace

void AddEvents(CLI::App& app, Session& session) {
  CLI::App* command =
      AddCommand(app, session, "events", "Show what happens to pods and containers, as it happens");
  command->callback([&session] { session.Finish(Events(session)); });
}

}  // namespace crisp
