// What every part of a running streaming server shares. Made by the server, borrowed by the rest;
// everything but `stopping` belongs to the loop's thread or is safe by itself.
#pragma once

#include <atomic>
#include <map>
#include <memory>

#include "base/call.h"
#include "stream/backend.h"
#include "stream/loop.h"
#include "stream/server.h"
#include "stream/session.h"
#include "stream/ticket.h"
#include "stream/workers.h"

namespace crisp::stream {

// Holds every connection until it has ended.
class SessionSet {
 public:
  void Add(std::shared_ptr<Cuttable> session) {
    Cuttable* key = session.get();
    sessions_.emplace(key, std::move(session));
  }
  // Whoever calls this about itself keeps itself alive meanwhile.
  void Remove(Cuttable* session) { sessions_.erase(session); }
  size_t size() const { return sessions_.size(); }
  void CutAll(const absl::Status& why) {
    const auto all = sessions_;
    for (const auto& [key, session] : all) session->Cut(why);
  }

 private:
  std::map<Cuttable*, std::shared_ptr<Cuttable>> sessions_;
};

struct ServerContext {
  Loop& loop;
  Workers& workers;
  StreamBackend& backend;
  TicketTable& tickets;
  const StreamServerOptions& options;
  SessionSet sessions;
  std::atomic<bool> stopping = false;
};

// A call of the backend on behalf of a session: cancelled when the session has gone or the server
// stops.
inline Call BackendCall(const ServerContext& context,
                        std::shared_ptr<const std::atomic<bool>> gone) {
  Call call;
  call.deadline = absl::Now() + context.options.creation_timeout;
  call.cancelled = [&context, gone = std::move(gone)] { return context.stopping || *gone; };
  return call;
}

}  // namespace crisp::stream
