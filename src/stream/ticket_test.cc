#include "stream/ticket.h"

#include <gtest/gtest.h>

#include <set>

namespace crisp {
namespace {

Ticket Exec(std::string id) { return ExecTicket{{.container_id = std::move(id)}}; }

class TicketTest : public testing::Test {
 protected:
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  TicketTable table_{[this] { return now_; }};
};

TEST_F(TicketTest, ATokenServesOnce) {
  const auto token = table_.Issue(Exec("abc"));
  ASSERT_TRUE(token.ok()) << token.status();
  const auto ticket = table_.Redeem(*token);
  ASSERT_TRUE(ticket.ok()) << ticket.status();
  EXPECT_EQ(std::get<ExecTicket>(*ticket).request.container_id, "abc");
  EXPECT_EQ(table_.Redeem(*token).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TicketTest, TokensAreUrlSafeAndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 500; ++i) {
    const auto token = table_.Issue(Exec("abc"));
    ASSERT_TRUE(token.ok()) << token.status();
    EXPECT_EQ(token->size(), 24u);
    EXPECT_EQ(token->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_"),
              std::string::npos)
        << *token;
    EXPECT_TRUE(seen.insert(*token).second);
  }
}

TEST_F(TicketTest, AnUnusedTokenExpiresAfterAMinute) {
  const auto early = table_.Issue(Exec("early"));
  now_ += absl::Seconds(30);
  const auto late = table_.Issue(Exec("late"));
  now_ += absl::Seconds(30);
  EXPECT_EQ(table_.Redeem(*early).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(table_.Redeem(*late).ok());
}

TEST_F(TicketTest, TooManyUnusedTokensAreRefusedUntilSomeExpireOrAreUsed) {
  std::string first;
  for (size_t i = 0; i < TicketTable::kMaxPending; ++i) {
    const auto token = table_.Issue(Exec("abc"));
    ASSERT_TRUE(token.ok()) << token.status();
    if (i == 0) first = *token;
  }
  EXPECT_EQ(table_.Issue(Exec("abc")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(table_.Redeem(first).ok());
  EXPECT_TRUE(table_.Issue(Exec("abc")).ok());
  EXPECT_EQ(table_.Issue(Exec("abc")).status().code(), absl::StatusCode::kResourceExhausted);
  now_ += TicketTable::kLife;
  EXPECT_TRUE(table_.Issue(Exec("abc")).ok());
}

TEST_F(TicketTest, ManyUsesWithinAMinuteDoNotPushOutWhatWaits) {
  const auto waiting = table_.Issue(Exec("waiting"));
  for (int i = 0; i < 10'000; ++i) {
    const auto token = table_.Issue(Exec("abc"));
    ASSERT_TRUE(token.ok() && table_.Redeem(*token).ok());
  }
  EXPECT_TRUE(table_.Redeem(*waiting).ok());
}

}  // namespace
}  // namespace crisp
