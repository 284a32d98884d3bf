// ByteStream: the bytes of one client, whatever carries them. Socket: TCP, with TLS if the server
// has a certificate. Loop's thread. Operations hold the object until their callback has run; after
// Close they end with an error. One read and one write at a time.
#pragma once

#include <boost/system/error_code.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "stream/loop.h"

namespace crisp::stream {

using IoDone = absl::AnyInvocable<void(boost::system::error_code, size_t)>;

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // At least one byte, or an error; the end of the stream is one.
  virtual void ReadSome(char* data, size_t size, IoDone done) = 0;
  // All of the pieces, in one go where the system allows; they are borrowed until done.
  virtual void Write(const std::vector<std::string_view>& pieces, IoDone done) = 0;
  // Says good-bye as the carrier does; may be called while a read is under way, which goes on.
  virtual void Finish() = 0;
  virtual void Close() = 0;
};

// The certificate and key of the server. Any thread once made.
class TlsContext {
 public:
  static absl::StatusOr<std::unique_ptr<TlsContext>> Load(const std::string& cert_file,
                                                          const std::string& key_file);
  ~TlsContext();
  // Of the server's own certificate, in hex.
  std::string Sha256() const;
  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  explicit TlsContext(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

class Socket final : public ByteStream, public std::enable_shared_from_this<Socket> {
 public:
  // tls may be null, and outlives the socket.
  Socket(Loop& loop, UniqueFd fd, TlsContext* tls);
  ~Socket() override;

  void Handshake(IoDone done);  // at once without TLS
  // The next read gives these bytes first.
  void Unread(std::string bytes);

  void ReadSome(char* data, size_t size, IoDone done) override;
  void Write(const std::vector<std::string_view>& pieces, IoDone done) override;
  // As Write, but once, and maybe only a part.
  void WriteSome(const std::vector<std::string_view>& pieces, IoDone done);
  void Finish() override;
  void Close() override;

  boost::asio::io_context& context();

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace crisp::stream
