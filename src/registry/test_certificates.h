// For tests: a certificate authority of the test's own, and what it signs, as PEM files in a
// folder. Keys are P-256, made anew each time. One thread.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace crisp {

struct TestCertificate {
  std::string cert_file;
  std::string key_file;
};

class TestAuthority {
 public:
  // Its own certificate is <folder>/<name>.pem.
  TestAuthority(const std::string& folder, const std::string& name);

  const std::string& cert_file() const { return cert_file_; }
  // For a server at this address ("127.0.0.1") or, signed for clients, of this name.
  TestCertificate SignServer(const std::string& name, const std::string& address);
  TestCertificate SignClient(const std::string& name);

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  static Key MakeKey();
  Certificate Make(const std::string& name, EVP_PKEY* key);
  void Sign(X509* certificate);
  void Extend(X509* certificate, int kind, const std::string& value);
  TestCertificate Write(const std::string& name, Certificate certificate, Key key);

  const std::string folder_;
  const std::string cert_file_;
  Key key_;
  Certificate certificate_;
};

}  // namespace crisp
