#include "kernel/systemd_scope.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include <memory>
#include <system_error>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "kernel/unit_properties.h"

namespace crisp {
namespace {

constexpr char kService[] = "org.freedesktop.systemd1";
constexpr char kPath[] = "/org/freedesktop/systemd1";
constexpr char kInterface[] = "org.freedesktop.systemd1.Manager";
constexpr absl::Duration kPatience = absl::Seconds(30);

struct DropMessage {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, DropMessage>;
struct DropBus {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
using Bus = std::unique_ptr<sd_bus, DropBus>;
struct DropSlot {
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};

std::string Reason(int error) { return std::generic_category().message(error); }

absl::StatusOr<Bus> Connect() {
  sd_bus* bus = nullptr;
  const int result = sd_bus_open_system(&bus);
  if (result < 0) {
    return absl::UnavailableError(Cat("connect to the system bus: ", Reason(-result),
                                      "; the systemd cgroup driver needs D-Bus"));
  }
  sd_bus_set_method_call_timeout(bus, absl::ToInt64Microseconds(kPatience));
  return Bus(bus);
}

absl::StatusOr<Message> NewCall(sd_bus* bus, const char* method) {
  sd_bus_message* message = nullptr;
  const int result =
      sd_bus_message_new_method_call(bus, &message, kService, kPath, kInterface, method);
  if (result < 0) return Errno(-result, Cat("make the D-Bus call ", method));
  return Message(message);
}

// The answer. `unknown`, if not null, is set instead of an error when the unit does not exist;
// `exists` when it exists already.
absl::StatusOr<Message> Call(sd_bus* bus, sd_bus_message* message, std::string_view what,
                             bool* unknown = nullptr, bool* exists = nullptr) {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_message* reply = nullptr;
  const int result = sd_bus_call(bus, message, 0, &error, &reply);
  Message owned(reply);
  absl::Status status;
  if (result < 0) {
    const std::string_view name = error.name != nullptr ? error.name : "";
    if (unknown != nullptr && name == "org.freedesktop.systemd1.NoSuchUnit") {
      *unknown = true;
    } else if (exists != nullptr && name == "org.freedesktop.systemd1.UnitExists") {
      *exists = true;
    } else {
      status = absl::UnavailableError(
          Cat(what, ": systemd answers ",
              error.message != nullptr ? std::string(error.message) : Reason(-result)));
    }
  }
  sd_bus_error_free(&error);
  if (!status.ok()) return status;
  return owned;
}

// What sd_bus_message_append says, once for a chain of them.
absl::Status Appended(int result) {
  return result < 0 ? Errno(-result, "write a D-Bus message") : absl::OkStatus();
}

absl::Status AppendBytes(sd_bus_message* message, const std::string& name,
                         const std::vector<uint8_t>& bytes) {
  RETURN_IF_ERROR(Appended(sd_bus_message_open_container(message, 'r', "sv")));
  RETURN_IF_ERROR(Appended(sd_bus_message_append(message, "s", name.c_str())));
  RETURN_IF_ERROR(Appended(sd_bus_message_open_container(message, 'v', "ay")));
  RETURN_IF_ERROR(Appended(sd_bus_message_append_array(message, 'y', bytes.data(), bytes.size())));
  RETURN_IF_ERROR(Appended(sd_bus_message_close_container(message)));
  return Appended(sd_bus_message_close_container(message));
}

absl::Status AppendResources(sd_bus_message* message, const Json& resources) {
  ASSIGN_OR_RETURN(const std::vector<UnitProperty> properties, UnitProperties(resources));
  for (const UnitProperty& property : properties) {
    if (const auto* bytes = std::get_if<std::vector<uint8_t>>(&property.value)) {
      RETURN_IF_ERROR(AppendBytes(message, property.name, *bytes));
    } else {
      RETURN_IF_ERROR(Appended(sd_bus_message_append(message, "(sv)", property.name.c_str(), "t",
                                                     std::get<uint64_t>(property.value))));
    }
  }
  return absl::OkStatus();
}

// The end of a job, which systemd signals.
struct Job {
  std::string path;
  std::string result;  // "done", "failed", ...; empty while it runs

  static int Removed(sd_bus_message* message, void* self, sd_bus_error*) {
    uint32_t id = 0;
    const char *path = nullptr, *unit = nullptr, *result = nullptr;
    if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) < 0) return 0;
    Job& job = *static_cast<Job*>(self);
    // It may end before its path is known: all ends are kept until then.
    if (job.path.empty() || job.path == path) job.ended.emplace_back(path, result);
    return 0;
  }
  std::vector<std::pair<std::string, std::string>> ended;

  bool Ended() {
    for (const auto& [path_of_one, result_of_one] : ended) {
      if (path_of_one == path) result = result_of_one;
    }
    return !result.empty();
  }
};

absl::Status AwaitJob(sd_bus* bus, Job& job, std::string_view what) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!job.Ended()) {
    const int processed = sd_bus_process(bus, nullptr);
    if (processed < 0) return Errno(-processed, Cat(what, ": listen to systemd"));
    if (processed > 0) continue;
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          Cat(what, ": systemd has not done it within ", absl::FormatDuration(kPatience)));
    }
    const int waited = sd_bus_wait(bus, static_cast<uint64_t>(absl::ToInt64Microseconds(left)));
    if (waited < 0 && waited != -EINTR) return Errno(-waited, Cat(what, ": wait for systemd"));
  }
  if (job.result == "done") return absl::OkStatus();
  return absl::UnavailableError(
      Cat(what, ": systemd's job ended as \"", job.result, "\"; its journal says more"));
}

// A call that answers with a job, which is waited for.
absl::Status CallForJob(sd_bus* bus, sd_bus_message* message, std::string_view what,
                        bool* unknown = nullptr, bool* exists = nullptr) {
  Job job;
  sd_bus_slot* slot = nullptr;
  const int matched = sd_bus_match_signal(bus, &slot, kService, kPath, kInterface, "JobRemoved",
                                          Job::Removed, &job);
  if (matched < 0) return Errno(-matched, Cat(what, ": listen to systemd"));
  const std::unique_ptr<sd_bus_slot, DropSlot> owned(slot);
  ASSIGN_OR_RETURN(const Message reply, Call(bus, message, what, unknown, exists));
  if ((unknown != nullptr && *unknown) || (exists != nullptr && *exists)) return absl::OkStatus();
  const char* path = nullptr;
  if (const int result = sd_bus_message_read(reply.get(), "o", &path); result < 0) {
    return Errno(-result, Cat(what, ": read systemd's answer"));
  }
  job.path = path;
  return AwaitJob(bus, job, what);
}

absl::StatusOr<Message> ScopeCall(sd_bus* bus, const ScopeRequest& request, bool by_pidfd) {
  ASSIGN_OR_RETURN(Message message, NewCall(bus, "StartTransientUnit"));
  sd_bus_message* const m = message.get();
  RETURN_IF_ERROR(Appended(sd_bus_message_append(m, "ss", request.name.c_str(), "fail")));
  RETURN_IF_ERROR(Appended(sd_bus_message_open_container(m, 'a', "(sv)")));
  RETURN_IF_ERROR(
      Appended(sd_bus_message_append(m, "(sv)", "Description", "s", request.description.c_str())));
  RETURN_IF_ERROR(Appended(sd_bus_message_append(m, "(sv)", "Slice", "s", request.slice.c_str())));
  RETURN_IF_ERROR(Appended(sd_bus_message_append(m, "(sv)", "Delegate", "b", 1)));
  // No dependencies of a usual unit: a container is no service of the boot's.
  RETURN_IF_ERROR(Appended(sd_bus_message_append(m, "(sv)", "DefaultDependencies", "b", 0)));
  RETURN_IF_ERROR(
      Appended(sd_bus_message_append(m, "(sv)", "CollectMode", "s", "inactive-or-failed")));
  for (const char* controller :
       {"MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"}) {
    RETURN_IF_ERROR(Appended(sd_bus_message_append(m, "(sv)", controller, "b", 1)));
  }
  if (by_pidfd) {
    RETURN_IF_ERROR(Appended(sd_bus_message_append(m, "(sv)", "PIDFDs", "ah", 1, request.pidfd)));
  } else {
    RETURN_IF_ERROR(Appended(
        sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, static_cast<uint32_t>(request.pid))));
  }
  RETURN_IF_ERROR(AppendResources(m, request.resources));
  RETURN_IF_ERROR(Appended(sd_bus_message_close_container(m)));
  RETURN_IF_ERROR(Appended(sd_bus_message_append(m, "a(sa(sv))", 0)));
  return message;
}

absl::Status StartOnce(sd_bus* bus, const ScopeRequest& request, bool* exists) {
  const std::string what = Cat("start the scope ", request.name);
  ASSIGN_OR_RETURN(const Message message, ScopeCall(bus, request, true));
  absl::Status status = CallForJob(bus, message.get(), what, nullptr, exists);
  // An older systemd refuses the property that it does not know.
  if (status.ok() || *exists || status.message().find("PIDFDs") == std::string::npos) return status;
  ASSIGN_OR_RETURN(const Message again, ScopeCall(bus, request, false));
  return CallForJob(bus, again.get(), what, nullptr, exists);
}

}  // namespace

absl::Status CheckSystemd() {
  if (sd_booted() <= 0) {
    return absl::FailedPreconditionError(
        "systemd is not this host's init (no /run/systemd/system)");
  }
  const absl::StatusOr<Bus> bus = Connect();
  return bus.ok() ? absl::OkStatus() : absl::FailedPreconditionError(bus.status().message());
}

absl::Status StartScope(const ScopeRequest& request) {
  ASSIGN_OR_RETURN(const Bus bus, Connect());
  bool exists = false;
  RETURN_IF_ERROR(StartOnce(bus.get(), request, &exists));
  if (!exists) return absl::OkStatus();
  RETURN_IF_ERROR(StopUnit(request.name));
  exists = false;
  RETURN_IF_ERROR(StartOnce(bus.get(), request, &exists));
  if (!exists) return absl::OkStatus();
  return absl::AlreadyExistsError(Cat("start the scope ", request.name,
                                      ": systemd has one of this name that cannot be stopped"));
}

absl::Status SetScopeResources(const std::string& name, const Json& resources) {
  ASSIGN_OR_RETURN(const Bus bus, Connect());
  ASSIGN_OR_RETURN(const Message message, NewCall(bus.get(), "SetUnitProperties"));
  RETURN_IF_ERROR(Appended(sd_bus_message_append(message.get(), "sb", name.c_str(), 1)));
  RETURN_IF_ERROR(Appended(sd_bus_message_open_container(message.get(), 'a', "(sv)")));
  RETURN_IF_ERROR(AppendResources(message.get(), resources));
  RETURN_IF_ERROR(Appended(sd_bus_message_close_container(message.get())));
  return Call(bus.get(), message.get(), Cat("set the limits of ", name)).status();
}

absl::Status StopUnit(const std::string& name) {
  ASSIGN_OR_RETURN(const Bus bus, Connect());
  bool unknown = false;
  {
    ASSIGN_OR_RETURN(const Message message, NewCall(bus.get(), "StopUnit"));
    RETURN_IF_ERROR(Appended(sd_bus_message_append(message.get(), "ss", name.c_str(), "replace")));
    RETURN_IF_ERROR(CallForJob(bus.get(), message.get(), Cat("stop ", name), &unknown));
  }
  if (unknown) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Message message, NewCall(bus.get(), "ResetFailedUnit"));
  RETURN_IF_ERROR(Appended(sd_bus_message_append(message.get(), "s", name.c_str())));
  return Call(bus.get(), message.get(), Cat("forget ", name), &unknown).status();
}

}  // namespace crisp
