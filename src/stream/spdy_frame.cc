#include "stream/spdy_frame.h"

#include <algorithm>

#include "base/status.h"

namespace crisp::stream {
namespace {

constexpr uint32_t kControlBit = 0x80000000u;
constexpr uint32_t kVersion = 3;

}  // namespace

uint32_t SpdyNumber(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

void AppendSpdyNumber(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

absl::Status SpdyFrameReader::Feed(std::string_view bytes, Sink& sink) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHead: {
        const size_t count = std::min(bytes.size(), kSpdyHead - collected_.size());
        collected_.append(bytes.substr(0, count));
        bytes.remove_prefix(count);
        if (collected_.size() == kSpdyHead) RETURN_IF_ERROR(BeginFrame(sink));
        break;
      }
      case State::kData:
        RETURN_IF_ERROR(FeedData(bytes, sink));
        break;
      case State::kControl:
        RETURN_IF_ERROR(FeedControl(bytes, sink));
        break;
    }
  }
  return absl::OkStatus();
}

absl::Status SpdyFrameReader::BeginFrame(Sink& sink) {
  word_ = SpdyNumber(collected_);
  const uint32_t tail = SpdyNumber(std::string_view(collected_).substr(4));
  flags_ = static_cast<uint8_t>(tail >> 24);
  left_ = tail & 0xffffff;
  collected_.clear();
  if ((word_ & kControlBit) == 0) {
    if (left_ == 0) return sink.OnData(word_, "", (flags_ & kSpdyFin) != 0);
    state_ = State::kData;
    return absl::OkStatus();
  }
  const uint32_t version = (word_ & ~kControlBit) >> 16;
  if (version != kVersion)
    return absl::InvalidArgumentError(Cat("a SPDY frame of version ", version, ", not 3"));
  if (left_ > kSpdyMaxControl) {
    return absl::InvalidArgumentError(
        Cat("a SPDY control frame of ", left_, " bytes, more than ", kSpdyMaxControl));
  }
  if (left_ == 0) return sink.OnControl(static_cast<SpdyType>(word_ & 0xffff), flags_, "");
  state_ = State::kControl;
  return absl::OkStatus();
}

absl::Status SpdyFrameReader::FeedData(std::string_view& bytes, Sink& sink) {
  const std::string_view piece = bytes.substr(0, left_);
  bytes.remove_prefix(piece.size());
  left_ -= piece.size();
  const bool last = left_ == 0;
  if (last) state_ = State::kHead;
  return sink.OnData(word_, piece, last && (flags_ & kSpdyFin) != 0);
}

absl::Status SpdyFrameReader::FeedControl(std::string_view& bytes, Sink& sink) {
  const size_t count = std::min(bytes.size(), left_ - collected_.size());
  collected_.append(bytes.substr(0, count));
  bytes.remove_prefix(count);
  if (collected_.size() < left_) return absl::OkStatus();
  state_ = State::kHead;
  std::string payload;
  payload.swap(collected_);
  return sink.OnControl(static_cast<SpdyType>(word_ & 0xffff), flags_, payload);
}

std::string SpdyDataHead(uint32_t stream, size_t size, bool fin) {
  std::string out;
  AppendSpdyNumber(out, stream & ~kControlBit);
  AppendSpdyNumber(out, (fin ? uint32_t{kSpdyFin} << 24 : 0) | static_cast<uint32_t>(size));
  return out;
}

std::string SpdyControl(SpdyType type, uint8_t flags, std::string_view payload) {
  std::string out;
  AppendSpdyNumber(out, kControlBit | kVersion << 16 | static_cast<uint32_t>(type));
  AppendSpdyNumber(out, uint32_t{flags} << 24 | static_cast<uint32_t>(payload.size()));
  out.append(payload);
  return out;
}

std::string SpdySynStream(uint32_t stream, std::string_view header_block, bool fin) {
  std::string payload;
  AppendSpdyNumber(payload, stream);
  AppendSpdyNumber(payload, 0);  // associated with no stream
  payload.append(2, '\0');       // priority, slot
  payload.append(header_block);
  return SpdyControl(SpdyType::kSynStream, fin ? kSpdyFin : 0, payload);
}

std::string SpdySynReply(uint32_t stream, std::string_view header_block) {
  std::string payload;
  AppendSpdyNumber(payload, stream);
  payload.append(header_block);
  return SpdyControl(SpdyType::kSynReply, 0, payload);
}

std::string SpdyRstStream(uint32_t stream, SpdyReset status) {
  std::string payload;
  AppendSpdyNumber(payload, stream);
  AppendSpdyNumber(payload, static_cast<uint32_t>(status));
  return SpdyControl(SpdyType::kRstStream, 0, payload);
}

std::string SpdyPing(uint32_t id) {
  std::string payload;
  AppendSpdyNumber(payload, id);
  return SpdyControl(SpdyType::kPing, 0, payload);
}

std::string SpdyGoAway(uint32_t last_stream, uint32_t status) {
  std::string payload;
  AppendSpdyNumber(payload, last_stream);
  AppendSpdyNumber(payload, status);
  return SpdyControl(SpdyType::kGoAway, 0, payload);
}

}  // namespace crisp::stream
