#include "oci/apparmor.h"

#include "base/text.h"
#include "gmock/gmock.h"
#include "oci/spec_fixture.h"
#include "oci/validate.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

namespace v1 = ::runtime::v1;

// A host with AppArmor is a folder with the kernel's list in it.
class AppArmorTest : public SpecFixture {
 protected:
  void SetUp() override {
    SpecFixture::SetUp();
    limits_.apparmor = true;
    limits_.apparmor_securityfs = folder_;
    ASSERT_TRUE(ReplaceFile(JoinPath(folder_, "profiles"),
                            "crisp-default (enforce)\n/usr/bin/man (complain)\n"
                            "odd name (1) (enforce)\n")
                    .ok());
  }
  std::string Profile() {
    const Json config = Config();
    return config.is_null() ? "(refused)" : JsonString(config["process"], "apparmorProfile");
  }
  void Set(v1::SecurityProfile::ProfileType type, const std::string& reference = "") {
    Context()->mutable_apparmor()->set_profile_type(type);
    Context()->mutable_apparmor()->set_localhost_ref(reference);
  }
  void SetDeprecated(const std::string& text) {
    const auto* field = Context()->GetDescriptor()->FindFieldByName("apparmor_profile");
    Context()->GetReflection()->SetString(Context(), field, text);
  }
};

TEST_F(AppArmorTest, EveryTypeOfProfile) {
  EXPECT_EQ(Profile(), "crisp-default") << "nothing said is the default";
  Set(v1::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(Profile(), "crisp-default");
  Set(v1::SecurityProfile::Unconfined);
  EXPECT_EQ(Profile(), "");
  Set(v1::SecurityProfile::Localhost, "/usr/bin/man");
  EXPECT_EQ(Profile(), "/usr/bin/man");
  Set(v1::SecurityProfile::Localhost, "localhost/odd name (1)");
  EXPECT_EQ(Profile(), "odd name (1)");
  Set(v1::SecurityProfile::Localhost, "odd name");
  EXPECT_THAT(Refused(), HasSubstr("\"odd name\" is not loaded"));
  Set(v1::SecurityProfile::Localhost, "");
  EXPECT_THAT(Refused(), HasSubstr("localhost_ref"));
}

TEST_F(AppArmorTest, TheDeprecatedFieldAndWhichWins) {
  SetDeprecated("runtime/default");
  EXPECT_EQ(Profile(), "crisp-default");
  SetDeprecated("unconfined");
  EXPECT_EQ(Profile(), "");
  SetDeprecated("localhost//usr/bin/man");
  EXPECT_EQ(Profile(), "/usr/bin/man");
  SetDeprecated("localhost/absent");
  EXPECT_THAT(Refused(), HasSubstr("\"absent\" is not loaded"));
  Set(v1::SecurityProfile::Unconfined);
  EXPECT_EQ(Profile(), "") << "the new field wins";
  SetDeprecated("nonsense");
  Context()->clear_apparmor();
  EXPECT_THAT(Refused(), HasSubstr("nonsense"));
}

TEST_F(AppArmorTest, PrivilegedIsUnconfined) {
  pod_.mutable_linux()->mutable_security_context()->set_privileged(true);
  Context()->set_privileged(true);
  Set(v1::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(Profile(), "");
}

TEST_F(AppArmorTest, AHostWithoutAppArmor) {
  limits_.apparmor = false;
  Set(v1::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(Profile(), "");
  Set(v1::SecurityProfile::Localhost, "/usr/bin/man");
  EXPECT_THAT(Refused(), HasSubstr("no AppArmor"));
}

TEST_F(AppArmorTest, ADefaultThatCouldNotBeLoadedIsNotPassedOver) {
  limits_.apparmor_default = absl::InternalError("apparmor_parser exited with 1");
  EXPECT_THAT(std::string(Build().status().message()), HasSubstr("exited with 1"));
  ASSERT_TRUE(RemoveFile(JoinPath(folder_, "profiles")).ok());
  Set(v1::SecurityProfile::Localhost, "/usr/bin/man");
  EXPECT_EQ(Build().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(AppArmorTest, TheParserGetsTheProfile) {
  const std::string parser = JoinPath(folder_, "parser"), seen = JoinPath(folder_, "seen");
  ASSERT_TRUE(
      ReplaceFile(parser, Cat("#!/bin/sh\necho \"$@\" >", seen, "\ncat >>", seen, "\n"), 0755)
          .ok());
  EXPECT_TRUE(LoadDefaultAppArmorProfile(parser, Call{}).ok());
  const std::string text = ReadFile(seen).value_or("");
  EXPECT_THAT(text, HasSubstr("--replace"));
  EXPECT_THAT(text, HasSubstr("profile crisp-default"));
  ASSERT_TRUE(
      ReplaceFile(parser, "#!/bin/sh\ncat >/dev/null\necho no such abi >&2\nexit 3\n", 0755).ok());
  const absl::Status failed = LoadDefaultAppArmorProfile(parser, Call{});
  EXPECT_THAT(std::string(failed.message()), HasSubstr("exited with 3: no such abi"));
}

}  // namespace
}  // namespace crisp
