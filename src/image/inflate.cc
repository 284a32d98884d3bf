#include "image/inflate.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "base/status.h"

namespace crisp {
namespace {

// zstd's window, and so its memory: 128 MiB is what containerd's and Docker's readers allow.
constexpr int kMaxZstdWindowLog = 27;

// A source whose first piece was already taken.
class Resumed : public ByteSource {
 public:
  Resumed(std::string_view first, ByteSource& rest) : first_(first), rest_(rest) {}
  absl::StatusOr<std::string_view> Next() override {
    if (!first_.empty()) return std::exchange(first_, std::string_view());
    return rest_.Next();
  }

 private:
  std::string_view first_;
  ByteSource& rest_;
};

absl::Status InflateGzip(ByteSource& source, ByteQueue& output) {
  auto state = std::make_unique<inflate_state>();
  isal_inflate_init(state.get());
  state->crc_flag = ISAL_GZIP;
  bool in_member = true;
  while (true) {
    if (state->avail_in == 0) {
      ASSIGN_OR_RETURN(const std::string_view piece, source.Next());
      if (piece.empty()) break;
      state->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(piece.data()));
      state->avail_in = piece.size();
    }
    if (!in_member) {
      // After a member comes another one, or padding of zeros, which gzip itself ignores.
      if (*state->next_in == 0) {
        ++state->next_in;
        --state->avail_in;
        continue;
      }
      isal_inflate_reset(state.get());
      state->crc_flag = ISAL_GZIP;
      in_member = true;
    }
    // Until the input is used up and no output waits inside.
    do {
      ASSIGN_OR_RETURN(const std::span<char> room, output.Room());
      state->next_out = reinterpret_cast<uint8_t*>(room.data());
      state->avail_out = room.size();
      const int result = isal_inflate(state.get());
      if (result < 0) return absl::DataLossError(Cat("the gzip stream is damaged (", result, ")"));
      output.Fill(room.size() - state->avail_out);
      if (state->block_state == ISAL_BLOCK_FINISH) {
        in_member = false;
        break;
      }
    } while (state->avail_in > 0 || state->avail_out == 0);
  }
  if (in_member) return absl::DataLossError("the gzip stream is cut off");
  return absl::OkStatus();
}

absl::Status InflateZstd(ByteSource& source, ByteQueue& output) {
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for zstd");
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxZstdWindowLog);
  size_t result = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view piece, source.Next());
    if (piece.empty()) break;
    ZSTD_inBuffer in{piece.data(), piece.size(), 0};
    bool more = true;
    while (in.pos < in.size || more) {
      ASSIGN_OR_RETURN(const std::span<char> room, output.Room());
      ZSTD_outBuffer out{room.data(), room.size(), 0};
      result = ZSTD_decompressStream(context.get(), &out, &in);
      if (ZSTD_isError(result)) {
        return absl::DataLossError(Cat("the zstd stream is damaged: ", ZSTD_getErrorName(result)));
      }
      output.Fill(out.pos);
      more = out.pos == out.size;
    }
  }
  if (result != 0) return absl::DataLossError("the zstd stream is cut off");
  return absl::OkStatus();
}

absl::Status Copy(ByteSource& source, ByteQueue& output) {
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view piece, source.Next());
    if (piece.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(output.Push(piece));
  }
}

}  // namespace

absl::Status Inflate(ByteSource& source, ByteQueue& output) {
  ASSIGN_OR_RETURN(const std::string_view first, source.Next());
  Resumed whole(first, source);
  if (first.starts_with("\x1f\x8b")) return InflateGzip(whole, output);
  if (first.starts_with("\x28\xb5\x2f\xfd")) return InflateZstd(whole, output);
  // A zstd stream may begin with a skippable frame, as zstd:chunked and pzstd write it.
  if (first.size() >= 4 && first.substr(1, 3) == "\x2a\x4d\x18" && (first[0] & 0xf0) == 0x50) {
    return InflateZstd(whole, output);
  }
  return Copy(whole, output);
}

}  // namespace crisp
