// SendQueue: what a session has to send, in order, one gathering write after the other. Payloads
// are borrowed, so the queue copies nothing; each stream has one in it at most. Loop's thread.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace crisp::stream {

struct Outgoing {
  std::string head;       // owned
  std::string_view body;  // borrowed until sent
  std::function<void()> sent;
};

class SendQueue {
 public:
  void Push(Outgoing item) { waiting_.push_back(std::move(item)); }
  size_t size() const { return waiting_.size() + flying_.size(); }
  bool flying() const { return !flying_.empty(); }

  // Takes up to `most` items for one write; the pieces are valid until Landed.
  std::vector<std::string_view> TakeOff(size_t most) {
    while (!waiting_.empty() && flying_.size() < most) {
      flying_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    std::vector<std::string_view> pieces;
    for (const Outgoing& item : flying_) {
      if (!item.head.empty()) pieces.push_back(item.head);
      if (!item.body.empty()) pieces.push_back(item.body);
    }
    return pieces;
  }
  // The write has ended: who waited for it is told, and may push more.
  void Landed() {
    const auto landed = std::exchange(flying_, {});
    for (const Outgoing& item : landed) {
      if (item.sent) item.sent();
    }
  }
  // After the connection's end. What a write under way borrows is kept until DropFlying, which its
  // callback calls.
  void DropWaiting() { waiting_.clear(); }
  void DropFlying() { flying_.clear(); }

 private:
  std::deque<Outgoing> waiting_, flying_;
};

}  // namespace crisp::stream
