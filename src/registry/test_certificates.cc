#include "registry/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/text.h"

namespace crisp {
namespace {

// A test cannot go on without its certificates.
void Require(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "test certificates: %s failed\n", what);
  std::abort();
}

template <typename Writer>
void WritePem(const std::string& path, mode_t mode, Writer writer) {
  FILE* file = std::fopen(path.c_str(), "we");
  Require(file != nullptr, path.c_str());
  Require(writer(file) == 1, "writing PEM");
  std::fclose(file);
  chmod(path.c_str(), mode);
}

}  // namespace

TestAuthority::Key TestAuthority::MakeKey() {
  Key key(EVP_EC_gen("P-256"));
  Require(key != nullptr, "making a key");
  return key;
}

TestAuthority::Certificate TestAuthority::Make(const std::string& name, EVP_PKEY* key) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);  // version 3
  uint32_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial | 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return certificate;
}

void TestAuthority::Extend(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate_ != nullptr ? certificate_.get() : certificate, certificate,
                 nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  Require(extension != nullptr, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void TestAuthority::Sign(X509* certificate) {
  X509* issuer = certificate_ != nullptr ? certificate_.get() : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  Require(X509_sign(certificate, key_.get(), EVP_sha256()) > 0, "signing");
}

TestCertificate TestAuthority::Write(const std::string& name, Certificate certificate, Key key) {
  TestCertificate files{Cat(folder_, "/", name, ".pem"), Cat(folder_, "/", name, ".key")};
  WritePem(files.cert_file, 0644,
           [&](FILE* file) { return PEM_write_X509(file, certificate.get()); });
  WritePem(files.key_file, 0600, [&](FILE* file) {
    return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return files;
}

TestAuthority::TestAuthority(const std::string& folder, const std::string& name)
    : folder_(folder), cert_file_(Cat(folder, "/", name, ".pem")), key_(MakeKey()) {
  Certificate certificate = Make(name, key_.get());
  Extend(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  Sign(certificate.get());
  WritePem(cert_file_, 0644, [&](FILE* file) { return PEM_write_X509(file, certificate.get()); });
  certificate_ = std::move(certificate);
}

TestCertificate TestAuthority::SignServer(const std::string& name, const std::string& address) {
  Key key = MakeKey();
  Certificate certificate = Make(name, key.get());
  Extend(certificate.get(), NID_subject_alt_name, Cat("IP:", address));
  Extend(certificate.get(), NID_ext_key_usage, "serverAuth");
  Sign(certificate.get());
  return Write(name, std::move(certificate), std::move(key));
}

TestCertificate TestAuthority::SignClient(const std::string& name) {
  Key key = MakeKey();
  Certificate certificate = Make(name, key.get());
  Extend(certificate.get(), NID_ext_key_usage, "clientAuth");
  Sign(certificate.get());
  return Write(name, std::move(certificate), std::move(key));
}

}  // namespace crisp
