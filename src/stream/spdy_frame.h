// SPDY/3.1 frames (draft 3, section 2.2): SpdyFrameReader cuts a byte stream into them, the
// functions below make them. Data is passed on in the pieces in which it comes; a control frame is
// collected up to a bound. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace crisp::stream {

enum class SpdyType : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kNoop = 5,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

// Status codes of RST_STREAM (section 2.6.3); of GOAWAY, 0 is ok and 1 a protocol error.
enum class SpdyReset : uint32_t {
  kProtocolError = 1,
  kInvalidStream = 2,
  kRefused = 3,
  kCancel = 5,
  kInternal = 6,
};

inline constexpr uint8_t kSpdyFin = 1;
inline constexpr size_t kSpdyHead = 8;
inline constexpr size_t kSpdyMaxControl = 64 << 10;
inline constexpr size_t kSpdyMaxData = (1 << 24) - 1;

class SpdyFrameReader {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    // payload is valid during the call.
    virtual absl::Status OnControl(SpdyType type, uint8_t flags, std::string_view payload) = 0;
    // A piece of a data frame; fin with the last piece of a frame that ends the client's side.
    virtual absl::Status OnData(uint32_t stream, std::string_view piece, bool fin) = 0;
  };

  // InvalidArgument for what is not SPDY/3 or too large, and whatever the sink says; after an error
  // the reader is of no more use.
  absl::Status Feed(std::string_view bytes, Sink& sink);

 private:
  absl::Status BeginFrame(Sink& sink);
  absl::Status FeedData(std::string_view& bytes, Sink& sink);
  absl::Status FeedControl(std::string_view& bytes, Sink& sink);

  enum class State { kHead, kData, kControl };
  State state_ = State::kHead;
  std::string collected_;  // of a head or of a control frame's payload
  uint32_t word_ = 0;      // the head's first half
  uint8_t flags_ = 0;
  size_t left_ = 0;  // of the payload
};

// The head of a data frame; its payload follows.
std::string SpdyDataHead(uint32_t stream, size_t size, bool fin);
std::string SpdySynStream(uint32_t stream, std::string_view header_block, bool fin);
std::string SpdySynReply(uint32_t stream, std::string_view header_block);
std::string SpdyRstStream(uint32_t stream, SpdyReset status);
std::string SpdyPing(uint32_t id);
std::string SpdyGoAway(uint32_t last_stream, uint32_t status);
std::string SpdyControl(SpdyType type, uint8_t flags, std::string_view payload);

// Big-endian numbers of 32 bits, as all of SPDY's.
uint32_t SpdyNumber(std::string_view four_bytes);
void AppendSpdyNumber(std::string& out, uint32_t value);

}  // namespace crisp::stream
