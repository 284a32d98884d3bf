#include "registry/sha256.h"

#include <openssl/evp.h>

#include "base/id.h"
#include "base/text.h"

namespace crisp {

// These calls fail only without memory, and a failed hash equals no digest.
Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ != nullptr) EVP_DigestInit_ex(context_, EVP_sha256(), nullptr);
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::Add(std::string_view bytes) {
  if (context_ != nullptr) EVP_DigestUpdate(context_, bytes.data(), bytes.size());
}

std::string Sha256::Digest() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (context_ == nullptr || EVP_DigestFinal_ex(context_, bytes, &size) != 1)
    return "sha256:unknown";
  return Cat("sha256:", Hex(std::string_view(reinterpret_cast<const char*>(bytes), size)));
}

std::string Sha256::Of(std::string_view bytes) {
  Sha256 hash;
  hash.Add(bytes);
  return hash.Digest();
}

}  // namespace crisp
