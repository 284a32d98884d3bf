// Registries over TLS: whom the client trusts, how it shows who it is, and what it says otherwise.
#include <stdlib.h>

#include <filesystem>

#include "base/file.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "registry/client.h"
#include "registry/sha256.h"
#include "registry/test_certificates.h"
#include "registry/test_server.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kBlob[] = "what the registry holds";

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() {
    char pattern[] = "/tmp/crisp-tls-test.XXXXXX";
    folder_ = mkdtemp(pattern);
    authority_ = std::make_unique<TestAuthority>(folder_, "authority");
    stranger_ = std::make_unique<TestAuthority>(folder_, "stranger");
    server_cert_ = authority_->SignServer("server", "127.0.0.1");
  }
  ~TlsTest() override { std::filesystem::remove_all(folder_); }

  void Serve(
      TestTls tls, TestHttpServer::Handler handler = [](const TestHttpRequest&) {
        return TestHttpServer::Answer(200, kBlob);
      }) {
    server_ = std::make_unique<TestHttpServer>(std::move(handler), "127.0.0.1", tls);
  }
  TestTls Plain() const { return {server_cert_.cert_file, server_cert_.key_file, ""}; }
  TestTls Mutual() const {
    return {server_cert_.cert_file, server_cert_.key_file, authority_->cert_file()};
  }

  // Fetches from the server with these settings for its host. The server is a mirror, so that it
  // alone is asked by https, and the host itself is nobody.
  absl::StatusOr<std::string> Fetch(RegistryHost settings) {
    RegistryOptions options;
    options.retry_delay = absl::Milliseconds(1);
    options.attempts = 3;
    settings.host = "registry.invalid:1";
    settings.mirrors = {server_->url()};
    settings.plain_http = true;
    options.hosts = {settings};
    options.connect_timeout = absl::Seconds(5);
    RegistryClient client(options);
    const Descriptor blob{"", Sha256::Of(kBlob), sizeof kBlob - 1};
    return client.FetchSmallBlob(*Reference::Parse("registry.invalid:1/app:1"), blob, {}, Call{});
  }
  std::string Refusal(const RegistryHost& settings) {
    const auto got = Fetch(settings);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kFailedPrecondition) << got.status();
    const std::string words(got.status().message());
    EXPECT_THAT(words, HasSubstr("registry.invalid:1/app:1"));
    EXPECT_THAT(words, HasSubstr(server_->address()));
    return words;
  }

  std::string folder_;
  std::unique_ptr<TestAuthority> authority_, stranger_;
  TestCertificate server_cert_;
  std::unique_ptr<TestHttpServer> server_;
};

TEST_F(TlsTest, AnOwnAuthorityIsTrusted) {
  Serve(Plain());
  const auto got = Fetch({.ca_file = authority_->cert_file()});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, kBlob);
}

TEST_F(TlsTest, AnUnknownAuthorityIsRefusedBeforeAnythingIsAsked) {
  Serve(Plain());
  EXPECT_THAT(Refusal({}), HasSubstr("ca_file"));
  EXPECT_THAT(Refusal({.ca_file = stranger_->cert_file()}), HasSubstr("certificate"));
  EXPECT_THAT(server_->Requests(), IsEmpty());
}

TEST_F(TlsTest, InsecureAcceptsAnyCertificate) {
  server_cert_ = stranger_->SignServer("elsewhere", "127.0.0.9");
  Serve(Plain());
  EXPECT_TRUE(Fetch({.insecure_skip_verify = true}).ok());
}

TEST_F(TlsTest, ACertificateForAnotherNameIsRefused) {
  server_cert_ = authority_->SignServer("elsewhere", "127.0.0.9");
  Serve(Plain());
  EXPECT_THAT(Refusal({.ca_file = authority_->cert_file()}), HasSubstr("subject name"));
  EXPECT_THAT(server_->Requests(), IsEmpty());
}

TEST_F(TlsTest, AClientShowsItsCertificate) {
  Serve(Mutual());
  const TestCertificate client = authority_->SignClient("client");
  const auto got = Fetch({.ca_file = authority_->cert_file(),
                          .client_cert = client.cert_file,
                          .client_key = client.key_file});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, kBlob);
}

TEST_F(TlsTest, AClientWithoutACertificateIsToldWhichKeysAreMissing) {
  Serve(Mutual());
  EXPECT_THAT(Refusal({.ca_file = authority_->cert_file()}),
              HasSubstr("client_cert and client_key"));
  EXPECT_THAT(server_->Requests(), IsEmpty());
}

TEST_F(TlsTest, AClientsCertificateOfAStrangerIsRefused) {
  Serve(Mutual());
  const TestCertificate client = stranger_->SignClient("client");
  EXPECT_THAT(Refusal({.ca_file = authority_->cert_file(),
                       .client_cert = client.cert_file,
                       .client_key = client.key_file}),
              HasSubstr("a certificate that it trusts"));
  EXPECT_THAT(server_->Requests(), IsEmpty());
}

TEST_F(TlsTest, FilesThatAreNoCertificatesAreNamedByTheirKeys) {
  Serve(Plain());
  const std::string rubbish = folder_ + "/rubbish.pem";
  ASSERT_TRUE(ReplaceFile(rubbish, "this is no PEM").ok());
  EXPECT_THAT(Refusal({.ca_file = rubbish}), HasSubstr("ca_file"));
  const TestCertificate one = authority_->SignClient("one"), other = authority_->SignClient("two");
  EXPECT_THAT(
      Refusal(
          {.ca_file = authority_->cert_file(), .client_cert = rubbish, .client_key = one.key_file}),
      HasSubstr("client_cert"));
  EXPECT_THAT(Refusal({.ca_file = authority_->cert_file(),
                       .client_cert = one.cert_file,
                       .client_key = other.key_file}),
              HasSubstr("belong together"));
}

TEST_F(TlsTest, AServerWithoutTlsIsTold) {
  Serve({});
  const std::string address = server_->address();
  RegistryOptions options;
  options.attempts = 1;
  options.hosts = {
      {.host = "registry.invalid:1", .mirrors = {"https://" + address}, .plain_http = true}};
  RegistryClient client(options);
  const Descriptor blob{"", Sha256::Of(kBlob), sizeof kBlob - 1};
  const auto got =
      client.FetchSmallBlob(*Reference::Parse("registry.invalid:1/app:1"), blob, {}, Call{});
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("plain_http"));
}

// A blob store elsewhere, to which registries like to redirect, learns nothing that is for the
// registry: neither the client's certificate nor its password.
TEST_F(TlsTest, ARedirectElsewhereIsFollowedWithoutTheClientsCertificate) {
  const TestCertificate elsewhere = authority_->SignServer("elsewhere", "127.0.0.2");
  const auto blob = [](const TestHttpRequest&) { return TestHttpServer::Answer(200, kBlob); };
  TestHttpServer open(blob, "127.0.0.2", {elsewhere.cert_file, elsewhere.key_file, ""});
  TestHttpServer wants(blob, "127.0.0.2",
                       {elsewhere.cert_file, elsewhere.key_file, authority_->cert_file()});
  std::string target = open.url();
  Serve(Mutual(), [&](const TestHttpRequest&) {
    return TestHttpServer::Answer(307, "", {"Location: " + target + "/blob"});
  });
  const TestCertificate client = authority_->SignClient("client");
  const RegistryHost settings{.ca_file = authority_->cert_file(),
                              .client_cert = client.cert_file,
                              .client_key = client.key_file};
  const auto got = Fetch(settings);
  EXPECT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(open.Requests(), SizeIs(1));
  target = wants.url();
  EXPECT_FALSE(Fetch(settings).ok());
  EXPECT_THAT(wants.Requests(), IsEmpty());
}

TEST_F(TlsTest, ARedirectToPlainHttpIsRefused) {
  TestHttpServer plain([](const TestHttpRequest&) { return TestHttpServer::Answer(200, kBlob); });
  Serve(Plain(), [&](const TestHttpRequest&) {
    return TestHttpServer::Answer(302, "", {"Location: " + plain.url() + "/blob"});
  });
  const auto got = Fetch({.ca_file = authority_->cert_file()});
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("plain http"));
  EXPECT_THAT(plain.Requests(), IsEmpty());
  EXPECT_THAT(std::string(got.status().message()), Not(HasSubstr("ca_file")));
}

}  // namespace
}  // namespace crisp
