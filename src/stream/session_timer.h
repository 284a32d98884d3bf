// SessionTimer: ends a session in time, be it one that nobody has used for long or one that has
// said good-bye to a client that does not go. Owned by its session, which it does not keep alive.
// Loop's thread.
#pragma once

#include <memory>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "stream/loop.h"
#include "stream/session.h"

namespace crisp::stream {

class SessionTimer {
 public:
  SessionTimer(Loop& loop, absl::Duration idle_limit) : idle_limit_(idle_limit), alarm_(loop) {}

  // From now on: the session fails once it has not been touched for the limit.
  void Watch(std::weak_ptr<Session> session);
  // Something went in or out.
  void Touch() { touched_ = absl::Now(); }
  // The watched session is ending: it is cut after this time, touched or not. Replaces what was
  // set before.
  void CutAfter(absl::Duration after);
  void Cancel() { alarm_.Cancel(); }

 private:
  void WaitFor(absl::Duration after);

  const absl::Duration idle_limit_;
  Alarm alarm_;
  std::weak_ptr<Session> session_;
  absl::Time touched_;
};

}  // namespace crisp::stream
