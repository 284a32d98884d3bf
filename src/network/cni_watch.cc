#include "network/cni_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include <system_error>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr absl::Duration kQuiet = absl::Milliseconds(50);
constexpr absl::Duration kLongestUnrest = absl::Seconds(2);
constexpr absl::Duration kLookAgain = absl::Seconds(2);  // for a folder that is not there
constexpr absl::Duration kStatusWhenReady = absl::Seconds(30);
constexpr absl::Duration kStatusWhenNot = absl::Seconds(5);
constexpr absl::Duration kLongestStatus = absl::Seconds(10);
// Not IN_CREATE: a file that has just been created is empty.
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                             IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR;

}  // namespace

absl::StatusOr<std::unique_ptr<CniWatch>> CniWatch::Start(const std::string& folder,
                                                          std::shared_ptr<CniNetwork> network) {
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return ErrnoStatus("watching CNI folder ", folder);
  UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return ErrnoStatus("watching CNI folder ", folder);
  std::unique_ptr<CniWatch> watch(
      new CniWatch(folder, std::move(network), std::move(inotify), std::move(stop)));
  watch->Watch();
  watch->Load();
  try {
    watch->thread_ = std::thread([raw = watch.get()] { raw->Run(); });
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(Cat("watching CNI folder ", folder, ": ", error.what()));
  }
  return watch;
}

CniWatch::CniWatch(std::string folder, std::shared_ptr<CniNetwork> network, UniqueFd inotify,
                   UniqueFd stop)
    : folder_(std::move(folder)),
      network_(std::move(network)),
      inotify_(std::move(inotify)),
      stop_(std::move(stop)) {}

CniWatch::~CniWatch() {
  eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void CniWatch::Watch() {
  const int folder = inotify_add_watch(inotify_.get(), folder_.c_str(), kEvents);
  // Links, as a ConfigMap's volume has them, change with the folder; a network's own subfolder has
  // to be watched too.
  if (folder >= 0) {
    if (const auto config = network_->Config(); config != nullptr) {
      inotify_add_watch(inotify_.get(), JoinPath(folder_, config->name).c_str(), kEvents);
    }
  }
  watching_ = folder >= 0;
}

void CniWatch::Load() {
  CniFolder found = LoadCniFolder(folder_);
  any_file_ = found.any_file;
  std::string now = found.valid.empty() ? "" : found.valid.front().text;
  absl::Status why_not = absl::FailedPreconditionError(Cat("no configuration in ", folder_));
  for (const CniProblem& problem : found.problems) {
    now += problem.reason.ToString();
    if (&problem == &found.problems.front()) why_not = problem.reason;
  }
  if (now == loaded_) return;
  loaded_ = now;
  for (const CniProblem& problem : found.problems)
    LOG_WARN("network: skipped: {}", problem.reason.ToString());
  if (found.valid.empty()) {
    network_->SetConfig(nullptr, why_not);
    return;
  }
  CniConfig& first = found.valid.front();
  LOG_INFO("network: CNI network {} (version {}, {} plugins) from {}", first.name, first.version,
           first.plugins.size(), folder_);
  network_->SetConfig(std::make_shared<const CniConfig>(std::move(first)), absl::OkStatus());
}

bool CniWatch::Wait(absl::Duration limit, bool* changed) {
  pollfd waits[] = {{stop_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};
  const int count = poll(waits, 2, static_cast<int>(absl::ToInt64Milliseconds(limit)) + 1);
  *changed = false;
  if (count > 0 && waits[0].revents != 0) return false;
  alignas(inotify_event) char events[4096];
  while (read(inotify_.get(), events, sizeof(events)) > 0) *changed = true;
  return true;
}

void CniWatch::Run() {
  absl::Time next_status = absl::InfinitePast();
  for (;;) {
    if (absl::Now() >= next_status) {
      Call call;
      call.cancelled = [this] {
        pollfd stop = {stop_.get(), POLLIN, 0};
        return poll(&stop, 1, 0) > 0;
      };
      network_->AskStatus(call.Within(kLongestStatus));
      next_status = absl::Now() + (network_->Ready().ok() ? kStatusWhenReady : kStatusWhenNot);
    }
    absl::Duration limit = next_status - absl::Now();
    if (!watching_) limit = std::min(limit, kLookAgain);
    bool changed = false;
    if (!Wait(std::max(limit, absl::ZeroDuration()), &changed)) return;
    if (!changed && watching_) continue;
    const absl::Time start = absl::Now();
    while (changed && absl::Now() - start < kLongestUnrest) {
      if (!Wait(kQuiet, &changed)) return;
    }
    const std::string before = loaded_;
    Watch();  // again: the folder may be another one by now, and the network's subfolder new
    Load();
    if (loaded_ == before) continue;
    Watch();
    next_status = absl::InfinitePast();
  }
}

}  // namespace crisp
