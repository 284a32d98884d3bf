#include "image/pull.h"

#include <atomic>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "base/log.h"
#include "base/status.h"
#include "image/import.h"
#include "registry/sha256.h"

namespace crisp {
namespace {

class RegistryBlobs : public BlobStore {
 public:
  RegistryBlobs(RegistryClient& client, const Reference& reference,
                const RegistryCredentials& credentials)
      : client_(client), reference_(reference), credentials_(credentials) {}
  absl::StatusOr<std::string> ReadSmall(const Descriptor& blob, const Call& call) override {
    return client_.FetchSmallBlob(reference_, blob, credentials_, call);
  }
  absl::Status Read(const Descriptor& blob, const Call& call,
                    const std::function<absl::Status(std::string_view)>& sink) override {
    return client_.FetchBlob(reference_, blob, credentials_, call, sink);
  }

 private:
  RegistryClient& client_;
  const Reference& reference_;
  const RegistryCredentials& credentials_;
};

std::string KeyOf(const Reference& reference, const RegistryCredentials& c) {
  std::string key = reference.Text();
  for (const std::string* part : {&c.username, &c.password, &c.auth, &c.server_address,
                                  &c.identity_token, &c.registry_token}) {
    key += Cat("\n", part->size(), ":", *part);
  }
  return Sha256::Of(key);
}

}  // namespace

struct Puller::Flight {
  Reference reference;
  RegistryCredentials credentials;
  PullProgress progress;
  std::atomic<bool> abandoned = false;
  absl::Mutex mutex;
  int waiters ABSL_GUARDED_BY(mutex) = 0;
  bool done ABSL_GUARDED_BY(mutex) = false;
  absl::StatusOr<std::string> result ABSL_GUARDED_BY(mutex) = absl::UnknownError("not done");
};

Puller::Puller(ImageCatalog& catalog, const ImageStoreOptions& options)
    : catalog_(catalog), options_(options), client_(options.registry) {}

Puller::~Puller() {
  absl::MutexLock lock(&mutex_);
  closing_ = true;
  for (const auto& [key, flight] : flights_) flight->abandoned = true;
  const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
  mutex_.Await(absl::Condition(&ended));
}

std::shared_ptr<Puller::Flight> Puller::Join(const std::string& key, const Reference& reference,
                                             const RegistryCredentials& credentials) {
  absl::MutexLock lock(&mutex_);
  if (const auto found = flights_.find(key); found != flights_.end()) {
    absl::MutexLock flight_lock(&found->second->mutex);
    ++found->second->waiters;
    return found->second;
  }
  auto flight = std::make_shared<Flight>();
  flight->reference = reference;
  flight->credentials = credentials;
  {
    absl::MutexLock flight_lock(&flight->mutex);
    flight->waiters = 1;
  }
  flight->abandoned = closing_;
  flights_[key] = flight;
  ++running_;
  std::thread([this, key, flight] { Run(key, flight); }).detach();
  return flight;
}

void Puller::Run(const std::string& key, const std::shared_ptr<Flight>& flight) {
  absl::StatusOr<std::string> result = Fetch(*flight);
  absl::MutexLock lock(&mutex_);
  if (const auto found = flights_.find(key); found != flights_.end() && found->second == flight)
    flights_.erase(found);
  {
    absl::MutexLock flight_lock(&flight->mutex);
    flight->result = std::move(result);
    flight->done = true;
  }
  --running_;
}

void Puller::Leave(const std::string& key, const std::shared_ptr<Flight>& flight) {
  absl::MutexLock lock(&mutex_);
  absl::MutexLock flight_lock(&flight->mutex);
  if (--flight->waiters > 0 || flight->done) return;
  flight->abandoned = true;
  // A new equal pull starts anew instead of joining one that is about to end.
  if (const auto found = flights_.find(key); found != flights_.end() && found->second == flight)
    flights_.erase(found);
}

absl::StatusOr<std::string> Puller::Pull(const PullRequest& request, const Call& call,
                                         const ProgressSink& progress) {
  ASSIGN_OR_RETURN(const Reference reference, Reference::Parse(request.reference));
  RETURN_IF_ERROR(call.Check());
  const std::string key = KeyOf(reference, request.credentials);
  const std::shared_ptr<Flight> flight = Join(key, reference, request.credentials);
  absl::Cleanup leave = [&] { Leave(key, flight); };
  absl::Time next_progress = absl::Now() + absl::Milliseconds(100);
  while (true) {
    const absl::Time until =
        std::min({call.deadline, next_progress, absl::Now() + absl::Milliseconds(50)});
    {
      absl::MutexLock lock(&flight->mutex);
      if (flight->mutex.AwaitWithDeadline(absl::Condition(&flight->done), until)) break;
    }
    RETURN_IF_ERROR(Annotate(call.Check(), Cat("pull of image ", reference.Text())));
    if (progress != nullptr && absl::Now() >= next_progress) {
      progress(flight->progress.Now());
      next_progress = absl::Now() + absl::Milliseconds(100);
    }
  }
  if (progress != nullptr) progress(flight->progress.Now());
  absl::MutexLock lock(&flight->mutex);
  return flight->result;
}

absl::StatusOr<std::string> Puller::Fetch(Flight& flight) {
  const absl::Time start = absl::Now();
  Call call;
  call.cancelled = [&flight] { return flight.abandoned.load(); };
  const Reference& reference = flight.reference;
  std::vector<std::string> tags;
  if (reference.digest.empty()) tags = {reference.NameWithTag()};
  // A HEAD request tells whether there is anything to do, and whether these credentials may.
  ASSIGN_OR_RETURN(const std::string digest,
                   client_.ResolveDigest(reference, flight.credentials, call));
  Reference exact = reference;
  if (!digest.empty()) {
    exact.digest = digest;
    if (const auto present = catalog_.ByName(reference.AtDigest(digest))) {
      RETURN_IF_ERROR(catalog_.AddNames(present->id, tags, {}));
      return present->id;
    }
  }
  ASSIGN_OR_RETURN(const ResolvedImage resolved,
                   client_.FetchImage(exact, flight.credentials, call));
  RegistryBlobs blobs(client_, reference, flight.credentials);
  const ImportRequest request{
      reference.Text(), resolved.manifest, tags, {reference.AtDigest(resolved.digest)}};
  ASSIGN_OR_RETURN(const std::string id,
                   ImportImage(request, blobs, catalog_, options_, call, flight.progress));
  LOG_INFO("image {} pulled as {} in {}", reference.Text(), id,
           absl::FormatDuration(absl::Now() - start));
  return id;
}

}  // namespace crisp
