// Sha256: a running hash by OpenSSL, which uses the processor's SHA instructions. One thread at a
// time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace crisp {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Add(std::string_view bytes);
  // "sha256:<hex>" of all that was added; ends the hash.
  std::string Digest();

  static std::string Of(std::string_view bytes);

 private:
  evp_md_ctx_st* context_;
};

}  // namespace crisp
