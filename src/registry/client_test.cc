#include "registry/client.h"

#include <atomic>

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "registry/sha256.h"
#include "registry/test_server.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using Request = TestHttpRequest;
std::string Answer(int status, const std::string& body = "",
                   const std::vector<std::string>& headers = {}) {
  return TestHttpServer::Answer(status, body, headers);
}

class ClientTest : public ::testing::Test {
 protected:
  void Serve(TestHttpServer::Handler handler) {
    server_ = std::make_unique<TestHttpServer>(std::move(handler));
  }
  RegistryOptions Options() const {
    RegistryOptions options;
    options.retry_delay = absl::Milliseconds(1);
    options.hosts = {{.host = "reg.test", .mirrors = {server_->url()}}};
    // Nothing answers to the host itself; it must not be asked for long either.
    options.connect_timeout = absl::Milliseconds(500);
    options.attempts = 3;
    return options;
  }
  // As if the server were the host itself.
  RegistryOptions Direct() const {
    RegistryOptions options = Options();
    options.hosts = {{.host = server_->address(), .plain_http = true}};
    return options;
  }
  Reference Ref(const std::string& rest = "app:1") const {
    return *Reference::Parse(server_->address() + "/" + rest);
  }
  static Descriptor Of(const std::string& blob) {
    return {"", Sha256::Of(blob), static_cast<int64_t>(blob.size())};
  }
  absl::StatusOr<std::string> Fetch(RegistryClient& client, const Descriptor& blob,
                                    const RegistryCredentials& credentials = {}) {
    std::string got;
    absl::Status status =
        client.FetchBlob(Ref(), blob, credentials, Call{}, [&](std::string_view bytes) {
          got.append(bytes);
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    return got;
  }
  std::vector<std::string> Paths() const {
    std::vector<std::string> paths;
    for (const Request& request : server_->Requests())
      paths.push_back(request.method + " " + request.path);
    return paths;
  }

  std::unique_ptr<TestHttpServer> server_;
};

// "bytes=5-9" -> 5
size_t RangeStart(const Request& request) {
  const auto range = request.headers.find("range");
  return range == request.headers.end() ? 0 : std::stoul(range->second.substr(6));
}

TEST_F(ClientTest, ResumesWhereTheConnectionBroke) {
  std::string blob(100'000, 'x');
  for (size_t i = 0; i < blob.size(); ++i) blob[i] = static_cast<char>(i * 7);
  Serve([&](const Request& request) {
    const size_t start = RangeStart(request);
    const std::string rest = blob.substr(start);
    std::string whole =
        Answer(start > 0 ? 206 : 200, rest,
               {Cat("Content-Range: bytes ", start, "-", blob.size() - 1, "/", blob.size())});
    return whole.substr(0, whole.size() - rest.size() + std::min<size_t>(rest.size(), 30'000));
  });
  RegistryClient client(Direct());
  const auto got = Fetch(client, Of(blob));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, blob);
  EXPECT_EQ(server_->Requests().size(), 4u);
  EXPECT_EQ(server_->Requests()[1].headers.at("range"), "bytes=30000-99999");
  EXPECT_THAT(server_->Requests()[0].headers.at("user-agent"), StartsWith("crisp/"));
}

TEST_F(ClientTest, ResumesAlsoWithoutRanges) {
  const std::string blob = std::string(50'000, 'a') + std::string(50'000, 'b');
  std::atomic<int> count = 0;
  Serve([&](const Request&) {
    std::string whole = Answer(200, blob);
    return count++ == 0 ? whole.substr(0, whole.size() - 40'000) : whole;
  });
  RegistryClient client(Direct());
  const auto got = Fetch(client, Of(blob));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, blob);
}

TEST_F(ClientTest, ALyingRangeIsRefused) {
  const std::string blob(100'000, 'x');
  Serve([&](const Request& request) {
    if (RangeStart(request) > 0)
      return Answer(206, blob.substr(10), {"Content-Range: bytes 10-99999/100000"});
    std::string whole = Answer(200, blob);
    return whole.substr(0, whole.size() - 5000);
  });
  RegistryClient client(Direct());
  EXPECT_EQ(Fetch(client, Of(blob)).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ClientTest, SizesAndDigestsAreHeldAgainstTheManifest) {
  const std::string blob = "what was promised";
  std::string sent;
  Serve([&](const Request&) { return Answer(200, sent); });
  RegistryClient client(Direct());
  sent = blob + " and more";
  EXPECT_EQ(Fetch(client, Of(blob)).status().code(), absl::StatusCode::kDataLoss);
  sent = "what was promisEd";
  const auto wrong = Fetch(client, Of(blob));
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr(Of(blob).digest));
  sent = "";
  EXPECT_EQ(Fetch(client, Of(blob)).status().code(), absl::StatusCode::kDataLoss);
  sent = blob;
  EXPECT_TRUE(Fetch(client, Of(blob)).ok());
}

TEST_F(ClientTest, ServerErrorsAreRetriedThenNamed) {
  std::atomic<int> count = 0;
  int failures = 2;
  Serve([&](const Request&) { return count++ < failures ? Answer(503) : Answer(200, "blob"); });
  RegistryClient client(Direct());
  EXPECT_TRUE(Fetch(client, Of("blob")).ok());
  count = 0;
  failures = 1000;
  const auto down = Fetch(client, Of("blob"));
  EXPECT_EQ(down.status().code(), absl::StatusCode::kUnknown);
  EXPECT_THAT(std::string(down.status().message()), StartsWith("RegistryUnavailable: "));
  EXPECT_EQ(count, 3);
}

TEST_F(ClientTest, CodesTellWhatIsWrong) {
  int status = 404;
  Serve([&](const Request&) {
    return Answer(status,
                  R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such\u0007tag"}]})");
  });
  RegistryClient client(Direct());
  const auto missing = client.FetchImage(Ref(), {}, Call{});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("MANIFEST_UNKNOWN: no such tag"));
  status = 403;
  EXPECT_EQ(client.FetchImage(Ref(), {}, Call{}).status().code(),
            absl::StatusCode::kPermissionDenied);
  status = 401;
  EXPECT_EQ(client.FetchImage(Ref(), {}, Call{}).status().code(),
            absl::StatusCode::kUnauthenticated);
  status = 200;
  EXPECT_EQ(client.FetchImage(Ref(), {}, Call{}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ClientTest, MirrorsAreAskedInOrderThenTheHost) {
  TestHttpServer empty([](const Request&) { return Answer(404); });
  TestHttpServer broken([](const Request&) { return Answer(500); });
  Serve([](const Request&) { return Answer(200, "blob"); });
  RegistryOptions options = Direct();
  options.hosts[0].mirrors = {"http://127.0.0.1:1", empty.url() + "/prefix/", broken.url()};
  RegistryClient client(options);
  EXPECT_TRUE(Fetch(client, Of("blob")).ok());
  ASSERT_EQ(empty.Requests().size(), 1u);
  EXPECT_EQ(empty.Requests()[0].path, "/prefix/v2/app/blobs/" + Of("blob").digest);
  EXPECT_EQ(broken.Requests().size(), 1u);  // only the last one is asked again after a 5xx
}

TEST_F(ClientTest, AMirrorReplacesTheHostAndKeepsTheRepository) {
  Serve([](const Request&) { return Answer(200, "blob"); });
  RegistryClient client(Options());
  const auto reference = Reference::Parse("reg.test/team/app:1");
  EXPECT_TRUE(client.FetchSmallBlob(*reference, Of("blob"), {}, Call{}).ok());
  EXPECT_EQ(server_->Requests()[0].path, "/v2/team/app/blobs/" + Of("blob").digest);
}

// A registry that wants a token of its own token service, and that service.
std::string TokenRegistry(const TestHttpServer& self, const Request& request,
                          const std::string& token_answer, int post_status) {
  if (request.path.starts_with("/token")) {
    if (request.method == "POST" && post_status != 200) return Answer(post_status);
    return Answer(200, token_answer);
  }
  const auto authorization = request.headers.find("authorization");
  if (authorization != request.headers.end() && authorization->second == "Bearer good")
    return Answer(200, "blob");
  return Answer(401, "",
                {Cat("WWW-Authenticate: Bearer realm=\"", self.url(),
                     "/token\",service=\"the service\",scope=\"repository:app:pull,push\"")});
}

TEST_F(ClientTest, GetsATokenWithoutCredentialsAndKeepsIt) {
  Serve([this](const Request& request) {
    return TokenRegistry(*server_, request, R"({"token":"good","expires_in":300})", 200);
  });
  RegistryClient client(Direct());
  EXPECT_TRUE(Fetch(client, Of("blob")).ok());
  EXPECT_TRUE(Fetch(client, Of("blob")).ok());
  EXPECT_THAT(Paths(), ::testing::ElementsAre(
                           "GET /v2/app/blobs/" + Of("blob").digest,
                           "GET /token?service=the%20service&scope=repository%3Aapp%3Apull%2Cpush",
                           "GET /v2/app/blobs/" + Of("blob").digest,
                           "GET /v2/app/blobs/" + Of("blob").digest));
}

TEST_F(ClientTest, PostsCredentialsForATokenAndFallsBackToGet) {
  int post_status = 200;
  Serve([&](const Request& request) {
    return TokenRegistry(*server_, request, R"({"access_token":"good"})", post_status);
  });
  RegistryCredentials credentials;
  credentials.auth = "dXNlcjpwJncA";  // "user:p&w\0"
  {
    RegistryClient client(Direct());
    EXPECT_TRUE(Fetch(client, Of("blob"), credentials).ok());
    EXPECT_EQ(server_->Requests()[1].method, "POST");
    EXPECT_THAT(server_->Requests()[1].body,
                HasSubstr("grant_type=password&username=user&password=p%26w"));
  }
  post_status = 405;
  RegistryClient client(Direct());
  EXPECT_TRUE(Fetch(client, Of("blob"), credentials).ok());
  const auto requests = server_->Requests();
  EXPECT_EQ(requests[requests.size() - 2].headers.at("authorization"), "Basic dXNlcjpwJnc=");
}

TEST_F(ClientTest, IdentityAndRegistryTokens) {
  Serve([this](const Request& request) {
    return TokenRegistry(*server_, request, R"({"access_token":"good"})", 200);
  });
  RegistryClient client(Direct());
  RegistryCredentials identity;
  identity.identity_token = "refresh me";
  EXPECT_TRUE(Fetch(client, Of("blob"), identity).ok());
  EXPECT_THAT(server_->Requests()[1].body,
              HasSubstr("grant_type=refresh_token&refresh_token=refresh%20me"));
  RegistryCredentials bearer;
  bearer.registry_token = "good";
  EXPECT_TRUE(Fetch(client, Of("blob"), bearer).ok());
  EXPECT_EQ(server_->Requests().size(), 4u);
  bearer.registry_token = "bad";
  EXPECT_EQ(Fetch(client, Of("blob"), bearer).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(ClientTest, BasicCredentialsAreSentOnlyWhenAskedAndOnlyForTheirServer) {
  Serve([](const Request& request) {
    const auto authorization = request.headers.find("authorization");
    if (authorization != request.headers.end() && authorization->second == "Basic dTpw")
      return Answer(200, "blob");
    return Answer(401, "", {"WWW-Authenticate: Basic realm=\"x\""});
  });
  RegistryCredentials credentials{.username = "u", .password = "p"};
  {
    RegistryClient client(Direct());
    EXPECT_TRUE(Fetch(client, Of("blob"), credentials).ok());
    EXPECT_FALSE(server_->Requests()[0].headers.contains("authorization"));
    EXPECT_EQ(Fetch(client, Of("blob"), {.username = "u", .password = "wrong"}).status().code(),
              absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(Fetch(client, Of("blob")).status().code(), absl::StatusCode::kUnauthenticated);
  }
  RegistryClient client(Direct());
  credentials.server_address = "other.test";
  EXPECT_EQ(Fetch(client, Of("blob"), credentials).status().code(),
            absl::StatusCode::kUnauthenticated);
  credentials.server_address = "https://" + server_->address() + "/v1/";
  EXPECT_TRUE(Fetch(client, Of("blob"), credentials).ok());
}

TEST_F(ClientTest, ARedirectElsewhereGetsNoCredentials) {
  TestHttpServer store(
      [](const Request& request) {
        return request.headers.contains("authorization") ? Answer(400) : Answer(200, "blob");
      },
      "127.0.0.2");
  Serve([&](const Request& request) {
    if (!request.headers.contains("authorization"))
      return Answer(401, "", {"WWW-Authenticate: Basic realm=\"x\""});
    if (request.path == "/here") return Answer(307, "", {"Location: " + store.url() + "/there"});
    return Answer(302, "", {"Location: /here"});
  });
  RegistryClient client(Direct());
  EXPECT_TRUE(Fetch(client, Of("blob"), {.username = "u", .password = "p"}).ok());
  EXPECT_EQ(store.Requests().size(), 1u);
}

TEST_F(ClientTest, BadRedirectsEnd) {
  std::string location = "/again";
  Serve([&](const Request&) { return Answer(302, "", {"Location: " + location}); });
  RegistryClient client(Direct());
  EXPECT_THAT(std::string(Fetch(client, Of("blob")).status().message()),
              HasSubstr("redirects more than"));
  location = "file:///etc/passwd";
  EXPECT_THAT(std::string(Fetch(client, Of("blob")).status().message()),
              HasSubstr("redirects badly"));
}

TEST_F(ClientTest, HugeManifestsAreCutOff) {
  Serve([](const Request&) { return Answer(200, std::string(5 << 20, ' ')); });
  RegistryClient client(Direct());
  EXPECT_THAT(std::string(client.FetchImage(Ref(), {}, Call{}).status().message()),
              HasSubstr("larger than"));
}

TEST_F(ClientTest, AManifestAskedByDigestMustHaveIt) {
  Serve([](const Request&) { return Answer(200, "{}"); });
  RegistryClient client(Direct());
  const auto image = client.FetchImage(Ref("app@sha256:" + std::string(64, 'a')), {}, Call{});
  EXPECT_EQ(image.status().code(), absl::StatusCode::kDataLoss) << image.status();
}

TEST_F(ClientTest, SilenceAndCallersEndATransfer) {
  const auto stop =
      std::make_shared<std::atomic<bool>>(false);  // the server outlives this function
  Serve([stop](const Request&) {
    while (!*stop) absl::SleepFor(absl::Milliseconds(5));
    return std::string();
  });
  RegistryOptions options = Direct();
  options.silence_timeout = absl::Milliseconds(100);
  options.attempts = 1;
  RegistryClient client(options);
  EXPECT_THAT(std::string(Fetch(client, Of("blob")).status().message()),
              HasSubstr("nothing came for"));
  Call call;
  std::atomic<int> asked = 0;
  call.cancelled = [&] { return ++asked > 2; };
  EXPECT_EQ(client.FetchImage(Ref(), {}, call).status().code(), absl::StatusCode::kCancelled);
  call = Call{.deadline = absl::Now() + absl::Milliseconds(20)};
  EXPECT_EQ(client.FetchImage(Ref(), {}, call).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  *stop = true;
}

TEST_F(ClientTest, TheReceiversErrorIsTheResult) {
  Serve([](const Request&) { return Answer(200, "blob"); });
  RegistryClient client(Direct());
  const absl::Status status = client.FetchBlob(Ref(), Of("blob"), {}, Call{}, [](std::string_view) {
    return absl::ResourceExhaustedError("disk full");
  });
  EXPECT_EQ(status, absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(server_->Requests().size(), 1u);
}

TEST(Challenges, AreParsed) {
  const auto parse = [](const std::string& text) { return ParseChallenges({text}); };
  const auto two = parse(
      R"(Basic realm="a \"b\", c", Bearer realm="https://x/t?y=1",service=s,scope="p:q:r,s")");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].scheme, "basic");
  EXPECT_EQ(two[0].parameters.at("realm"), "a \"b\", c");
  EXPECT_EQ(two[1].parameters.at("realm"), "https://x/t?y=1");
  EXPECT_EQ(two[1].parameters.at("scope"), "p:q:r,s");
  EXPECT_EQ(parse("Negotiate").size(), 1u);
  EXPECT_EQ(parse("Bearer realm = \"x\"")[0].parameters.at("realm"), "x");
  EXPECT_THAT(parse(""), IsEmpty());
  EXPECT_THAT(parse("=\"\"\x01"), IsEmpty());
  parse("Bearer realm=\"unterminated");
  parse("Bearer realm=\"\\");
}

}  // namespace
}  // namespace crisp
