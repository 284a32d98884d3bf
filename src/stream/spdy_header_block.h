// Header blocks of SPDY/3 (draft 3, section 2.6.10): name and value pairs, compressed with one zlib
// stream for each direction that lives as long as the connection. So every block that comes must be
// decoded, wanted or not. One thread.
#pragma once

#include <zlib.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp::stream {

// Names in lower case; several values of one name are joined by NUL.
using SpdyHeaders = std::vector<std::pair<std::string, std::string>>;

// The value, or "" if there is none.
std::string_view SpdyHeader(const SpdyHeaders& headers, std::string_view name);

// The dictionary that both ends give to zlib before anything else.
const std::string& SpdyDictionary();

class SpdyHeaderDecoder {
 public:
  static constexpr size_t kMaxBytes = 256 << 10;  // inflated
  static constexpr size_t kMaxHeaders = 1000;

  SpdyHeaderDecoder() = default;
  ~SpdyHeaderDecoder();
  SpdyHeaderDecoder(const SpdyHeaderDecoder&) = delete;
  SpdyHeaderDecoder& operator=(const SpdyHeaderDecoder&) = delete;

  // InvalidArgument for a block that cannot be inflated, exceeds the bounds or lies about lengths.
  // The connection is of no more use then.
  absl::StatusOr<SpdyHeaders> Decode(std::string_view block);

 private:
  absl::StatusOr<std::string> Inflate(std::string_view block);

  z_stream zlib_ = {};
  bool ready_ = false;
};

class SpdyHeaderEncoder {
 public:
  SpdyHeaderEncoder() = default;
  ~SpdyHeaderEncoder();
  SpdyHeaderEncoder(const SpdyHeaderEncoder&) = delete;
  SpdyHeaderEncoder& operator=(const SpdyHeaderEncoder&) = delete;

  std::string Encode(const SpdyHeaders& headers);

 private:
  z_stream zlib_ = {};
  bool ready_ = false;
};

}  // namespace crisp::stream
