// Images from registries that speak TLS, with the keys of [[registry]] as an operator writes them.
// Two real registries serve the same images: one shows its certificate, the other wants one as
// well.
#include "base/file.h"
#include "base/text.h"
#include "registry/test_certificates.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class RegistryTls : public NodeTest {
 protected:
  std::string ExtraConfig() override {
    const std::string certs = folder() / "certs";
    EXPECT_TRUE(MakeFolders(certs).ok());
    TestAuthority authority(certs, "authority"), stranger(certs, "stranger");
    const TestCertificate server = authority.SignServer("server", "127.0.0.1");
    const TestCertificate client = authority.SignClient("client");
    const TestCertificate fake = stranger.SignClient("fake");
    const std::string tls = Cat("certificate: ", server.cert_file, ", key: ", server.key_file);
    open_ = std::make_unique<RegistryProcess>(registry().storage(), Cat("tls: {", tls, "}"));
    mutual_ = std::make_unique<RegistryProcess>(
        registry().storage(), Cat("tls: {", tls, ", clientcas: [", authority.cert_file(), "]}"));
    const auto host = [](const std::string& name, const RegistryProcess& process,
                         const std::string& keys) {
      return Cat("[[registry]]\nhost = \"", name, "\"\nmirrors = [\"https://", process.address(),
                 "\"]\n", keys);
    };
    const std::string ca = Cat("ca_file = \"", authority.cert_file(), "\"\n");
    const auto shows = [](const TestCertificate& certificate) {
      return Cat("client_cert = \"", certificate.cert_file, "\"\nclient_key = \"",
                 certificate.key_file, "\"\n");
    };
    return host("own.test", *open_, ca) + host("unknown.test", *open_, "") +
           host("insecure.test", *open_, "insecure = true\n") +
           host("mutual.test", *mutual_, ca + shows(client)) + host("nameless.test", *mutual_, ca) +
           host("fake.test", *mutual_, ca + shows(fake)) +
           // Not as a mirror: the host itself.
           Cat("[[registry]]\nhost = \"", open_->address(), "\"\n", ca) +
           "[image]\nattempts = 3\nconnect_seconds = 2\n";
  }

  std::string RunFrom(const std::string& image) {
    EXPECT_THAT(cri().Pull(image), IsOk());
    v1::ContainerConfig config = ContainerConfig("main", Shell("echo ran"));
    config.mutable_image()->set_image(image);
    return RunToEnd(RunPod("from-tls"), config);
  }

  std::unique_ptr<RegistryProcess> open_, mutual_;
};

TEST_F(RegistryTls, OwnAuthority) { EXPECT_EQ(RunFrom("own.test/busybox:latest"), "ran\n"); }

TEST_F(RegistryTls, TheHostItself) {
  EXPECT_EQ(RunFrom(open_->address() + "/busybox:latest"), "ran\n");
}

TEST_F(RegistryTls, ClientCertificate) {
  EXPECT_EQ(RunFrom("mutual.test/busybox:latest"), "ran\n");
}

TEST_F(RegistryTls, Insecure) { EXPECT_EQ(RunFrom("insecure.test/busybox:latest"), "ran\n"); }

TEST_F(RegistryTls, AnUnknownAuthorityIsRefusedWithTheRemedy) {
  const absl::Status status = cri().Pull("unknown.test/busybox:latest").status();
  EXPECT_THAT(status, Fails(StatusCode::kFailedPrecondition, "unknown.test/busybox:latest"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("ca_file"));
}

TEST_F(RegistryTls, AMissingOrForeignClientCertificateIsRefusedWithTheRemedy) {
  for (const char* image : {"nameless.test/busybox:latest", "fake.test/busybox:latest"}) {
    EXPECT_THAT(cri().Pull(image),
                Fails(StatusCode::kFailedPrecondition, "client_cert and client_key"))
        << image;
    EXPECT_FALSE(Must(cri().ImageStatus(image)).has_value());
  }
}

}  // namespace
}  // namespace crisp
