// SPDY from a hostile client: frames, and the headers in them. However the bytes are cut, the same
// must come out.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/text.h"
#include "stream/spdy_frame.h"
#include "stream/spdy_header_block.h"

namespace {

using crisp::Cat;
using namespace crisp::stream;  // NOLINT

class Log final : public SpdyFrameReader::Sink {
 public:
  absl::Status OnControl(SpdyType type, uint8_t flags, std::string_view payload) override {
    text += Cat("control ", static_cast<int>(type), " ", static_cast<int>(flags), "\n");
    const size_t skip = type == SpdyType::kSynStream                                ? 10
                        : type == SpdyType::kSynReply || type == SpdyType::kHeaders ? 4
                                                                                    : SIZE_MAX;
    if (skip == SIZE_MAX) return absl::OkStatus();
    if (payload.size() < skip) return absl::InvalidArgumentError("short");
    const auto headers = decoder.Decode(payload.substr(skip));
    if (!headers.ok()) return headers.status();
    if (headers->size() > SpdyHeaderDecoder::kMaxHeaders) std::abort();
    for (const auto& [name, value] : *headers) text += Cat(name, "=", value, "\n");
    return absl::OkStatus();
  }
  absl::Status OnData(uint32_t stream, std::string_view piece, bool fin) override {
    if ((stream & 0x80000000u) != 0) std::abort();
    if (!piece.empty()) text += Cat("data ", stream, " ", static_cast<int>(piece.back()), "\n");
    bytes += piece.size();
    if (fin) text += "fin\n";
    return absl::OkStatus();
  }
  SpdyHeaderDecoder decoder;
  std::string text;
  size_t bytes = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Log whole;
  const bool ok = SpdyFrameReader().Feed(bytes, whole).ok();
  Log cut;
  SpdyFrameReader reader;
  bool cut_ok = true;
  for (size_t at = 0; at < bytes.size() && cut_ok; at += 7)
    cut_ok = reader.Feed(bytes.substr(at, 7), cut).ok();
  if (ok != cut_ok || whole.bytes != cut.bytes) std::abort();
  return 0;
}
