#include <gtest/gtest.h>

#include <algorithm>

#include <gangway/limits.hpp>

#include "gateways/server_greeting.hpp"

namespace gangway::detail {
namespace {

std::string without_line_feed(std::string line) {
  EXPECT_TRUE(line.ends_with('\n'));
  line.pop_back();
  EXPECT_EQ(line.find('\n'), line.npos);
  return line;
}

TEST(ServerGreeting, request_is_read_as_it_was_written) {
  for (const bool bytecode : {true, false}) {
    const std::string line = without_line_feed(ServerRequest{bytecode}.line());
    EXPECT_LT(line.size(), limits::greeting_line);
    EXPECT_TRUE(line.starts_with(ServerRequest::prefix));
    EXPECT_EQ(ServerRequest::parse(line), ServerRequest{bytecode});
  }
  const std::string token = "0123456789abcdef0123456789abcdef";
  for (const ServerRequest& request : {ServerRequest{true, true}, ServerRequest{true, false, token}})
    EXPECT_EQ(ServerRequest::parse(without_line_feed(request.line())), request);
  EXPECT_EQ(ServerRequest::parse(R"('# gangway 1 death=0123\n')"), ServerRequest{});  // no token
  EXPECT_EQ(ServerRequest::parse(R"('# gangway 1 something  new nobytecode\nwhatever')"), ServerRequest{false});
}

TEST(ServerGreeting, other_lines_are_no_requests) {
  for (const char* const line : {"", "GET / HTTP/1.1", "'# gangway ", "'# gangway 1", R"('# gangway 2\n')",
                                 R"("# gangway 1\n")", R"('# gangway  \n')", R"('# gangway 11\n')"})
    EXPECT_FALSE(ServerRequest::parse(line)) << line;
}

TEST(ServerGreeting, reply_is_read_as_it_was_written) {
  using Kind = ServerReply::Kind;
  for (const Kind kind : {Kind::native, Kind::portable, Kind::execnet})
    EXPECT_EQ(ServerReply::parse(without_line_feed(ServerReply{kind, {}}.line())), (ServerReply{kind, {}}));
  EXPECT_EQ(ServerReply::parse("GW1 native new words"), (ServerReply{Kind::native, {}}));
  const ServerReply with_token{Kind::native, {}, "0123456789abcdef0123456789abcdef"};
  EXPECT_EQ(with_token.line(), "GW1 native death=0123456789abcdef0123456789abcdef\n");
  EXPECT_EQ(ServerReply::parse(without_line_feed(with_token.line())), with_token);
  for (const char* const token : {"", "0123", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdef0"})
    EXPECT_EQ(ServerReply::parse(std::string("GW1 native death=") + token), (ServerReply{Kind::native, {}}));
  EXPECT_EQ(ServerReply::parse("GW1 refused not you"), (ServerReply{Kind::refused, "not you"}));
  ServerReply too_long;
  too_long.text.assign(5000, 'x');
  too_long.text.push_back('\n');
  const std::string longest = without_line_feed(too_long.line());
  EXPECT_LT(longest.size(), limits::greeting_line);
  EXPECT_EQ(without_line_feed(ServerReply{Kind::refused, "a\nb"}.line()), "GW1 refused a b");
  for (const char* const line : {"", "GW1", "GW1 ", "GW1 nativ", "GW2 native", "gw1 native"})
    EXPECT_FALSE(ServerReply::parse(line)) << line;
}

TEST(ServerGreeting, death_is_read_as_it_was_written) {
  ServerReply reply;
  reply.kind = ServerReply::Kind::death;
  reply.death.exit_status = 255;
  EXPECT_EQ(reply.line(), "GW1 death exit=255 stderr=0\n");
  EXPECT_EQ(ServerReply::parse(without_line_feed(reply.line())), reply);
  reply.death = {{}, 9, {}, false, true};
  reply.stderr_size = limits::stderr_tail;
  EXPECT_EQ(reply.line(), "GW1 death signal=9 oom=1 stderr=32768\n");
  EXPECT_EQ(ServerReply::parse(without_line_feed(reply.line())), reply);
  for (const char* const words :
       {"", "stderr=0", "exit=3", "exit=-1 stderr=0", "exit=256 stderr=0", "exit=3x stderr=0", "exit= stderr=0",
        "signal=0 stderr=0", "signal=65 stderr=0", "exit=3 signal=9 stderr=0", "exit=3 stderr=32769",
        "exit=3 stderr=99999999999999999999", "exit=3 stderr=-1"})
    EXPECT_FALSE(ServerReply::parse(std::string("GW1 death ") + words)) << words;
}

}  // namespace
}  // namespace gangway::detail
