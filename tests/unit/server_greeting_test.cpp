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
  EXPECT_EQ(ServerReply::parse("GW1 refused not you"), (ServerReply{Kind::refused, "not you"}));
  const std::string longest = without_line_feed(ServerReply{Kind::refused, std::string(5000, 'x') + "\n"}.line());
  EXPECT_LT(longest.size(), limits::greeting_line);
  EXPECT_EQ(without_line_feed(ServerReply{Kind::refused, "a\nb"}.line()), "GW1 refused a b");
  for (const char* const line : {"", "GW1", "GW1 ", "GW1 nativ", "GW1 native ", "GW2 native", "gw1 native"})
    EXPECT_FALSE(ServerReply::parse(line)) << line;
}

}  // namespace
}  // namespace gangway::detail
