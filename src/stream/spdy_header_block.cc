#include "stream/spdy_header_block.h"

#include "base/status.h"
#include "stream/spdy_frame.h"

namespace crisp::stream {
namespace {

// The dictionary's first part: words, each behind its length.
constexpr std::string_view kWords =
    "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,"
    "accept-ranges,age,allow,authorization,cache-control,connection,content-base,content-encoding,"
    "content-language,content-length,content-location,content-md5,content-range,content-type,date,"
    "etag,expect,expires,from,host,if-match,if-modified-since,if-none-match,if-range,"
    "if-unmodified-since,last-modified,location,max-forwards,pragma,proxy-authenticate,"
    "proxy-authorization,range,referer,retry-after,server,te,trailer,transfer-encoding,upgrade,"
    "user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,HTTP/1.1,url,"
    "public,set-cookie,keep-alive,origin";
// Its second part: text.
constexpr std::string_view kText =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

const Bytef* Bytes(std::string_view text) { return reinterpret_cast<const Bytef*>(text.data()); }
Bytef* Bytes(char* text) { return reinterpret_cast<Bytef*>(text); }

// Takes a length-prefixed string off the front.
bool TakeString(std::string_view& bytes, std::string& out) {
  if (bytes.size() < 4) return false;
  const uint32_t size = SpdyNumber(bytes);
  bytes.remove_prefix(4);
  if (size > bytes.size()) return false;
  out = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

}  // namespace

std::string_view SpdyHeader(const SpdyHeaders& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

const std::string& SpdyDictionary() {
  static const std::string& dictionary = *[] {
    auto* out = new std::string;
    for (std::string_view word : Split(kWords, ',')) {
      AppendSpdyNumber(*out, static_cast<uint32_t>(word.size()));
      out->append(word);
    }
    out->append(kText);
    return out;
  }();
  return dictionary;
}

SpdyHeaderDecoder::~SpdyHeaderDecoder() {
  if (ready_) ::inflateEnd(&zlib_);
}

absl::StatusOr<std::string> SpdyHeaderDecoder::Inflate(std::string_view block) {
  if (!ready_) {
    if (::inflateInit(&zlib_) != Z_OK)
      return absl::ResourceExhaustedError("inflate SPDY headers: no memory");
    ready_ = true;
  }
  zlib_.next_in = const_cast<Bytef*>(Bytes(block));
  zlib_.avail_in = static_cast<uInt>(block.size());
  std::string out;
  char buffer[4096];
  for (;;) {
    zlib_.next_out = Bytes(buffer);
    zlib_.avail_out = sizeof buffer;
    int result = ::inflate(&zlib_, Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      const std::string& dictionary = SpdyDictionary();
      result =
          ::inflateSetDictionary(&zlib_, Bytes(dictionary), static_cast<uInt>(dictionary.size()));
      if (result == Z_OK) continue;
    }
    if (result != Z_OK && result != Z_BUF_ERROR) {
      return absl::InvalidArgumentError(
          Cat("SPDY headers cannot be inflated: ",
              zlib_.msg != nullptr ? zlib_.msg : "another dictionary, or the stream's end"));
    }
    out.append(buffer, sizeof buffer - zlib_.avail_out);
    if (out.size() > kMaxBytes) {
      return absl::InvalidArgumentError(Cat("SPDY headers of more than ", kMaxBytes, " bytes"));
    }
    if (zlib_.avail_out != 0) break;  // took all there was
  }
  return out;
}

absl::StatusOr<SpdyHeaders> SpdyHeaderDecoder::Decode(std::string_view block) {
  ASSIGN_OR_RETURN(const std::string plain, Inflate(block));
  std::string_view bytes = plain;
  if (bytes.size() < 4) return absl::InvalidArgumentError("SPDY headers without a count");
  const uint32_t count = SpdyNumber(bytes);
  bytes.remove_prefix(4);
  if (count > kMaxHeaders) {
    return absl::InvalidArgumentError(
        Cat(count, " SPDY headers in one block, more than ", kMaxHeaders));
  }
  SpdyHeaders headers;
  for (uint32_t i = 0; i < count; ++i) {
    std::string name, value;
    if (!TakeString(bytes, name) || !TakeString(bytes, value) || name.empty())
      return absl::InvalidArgumentError("SPDY headers that lie about their lengths");
    headers.emplace_back(std::move(name), std::move(value));
  }
  return headers;
}

SpdyHeaderEncoder::~SpdyHeaderEncoder() {
  if (ready_) ::deflateEnd(&zlib_);
}

std::string SpdyHeaderEncoder::Encode(const SpdyHeaders& headers) {
  if (!ready_) {
    // The smallest window that holds the dictionary, and little memory: replies are tiny.
    const std::string& dictionary = SpdyDictionary();
    if (::deflateInit2(&zlib_, Z_BEST_COMPRESSION, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
    ready_ = true;
    ::deflateSetDictionary(&zlib_, Bytes(dictionary), static_cast<uInt>(dictionary.size()));
  }
  std::string plain;
  AppendSpdyNumber(plain, static_cast<uint32_t>(headers.size()));
  for (const auto& [name, value] : headers) {
    for (const std::string* text : {&name, &value}) {
      AppendSpdyNumber(plain, static_cast<uint32_t>(text->size()));
      plain.append(*text);
    }
  }
  zlib_.next_in = const_cast<Bytef*>(Bytes(plain));
  zlib_.avail_in = static_cast<uInt>(plain.size());
  std::string out;
  char buffer[1024];
  do {
    zlib_.next_out = Bytes(buffer);
    zlib_.avail_out = sizeof buffer;
    ::deflate(&zlib_, Z_SYNC_FLUSH);
    out.append(buffer, sizeof buffer - zlib_.avail_out);
  } while (zlib_.avail_out == 0);
  return out;
}

}  // namespace crisp::stream
