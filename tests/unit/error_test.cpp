#include <gangway/error.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <typeindex>
#include <typeinfo>

namespace gangway {
namespace {

/// One line per value of errc.
const struct {
  errc code;
  std::type_index thrown;
} codes[] = {
    {errc::cannot_serialize, typeid(DumpError)},
    {errc::too_deep, typeid(DumpError)},
    {errc::item_too_large, typeid(DumpError)},
    {errc::bad_item, typeid(LoadError)},
    {errc::bad_text, typeid(LoadError)},
    {errc::bad_channel, typeid(DumpError)},
    {errc::bad_cast, typeid(Error)},
    {errc::end_of_channel, typeid(EndOfChannel)},
    {errc::channel_closed, typeid(ChannelClosed)},
    {errc::remote_error, typeid(RemoteError)},
    {errc::timed_out, typeid(TimeoutError)},
    {errc::cancelled, typeid(Error)},
    {errc::too_many_channels, typeid(Error)},
    {errc::connection_lost, typeid(ConnectionLost)},
    {errc::protocol_error, typeid(ConnectionLost)},
    {errc::terminated, typeid(ConnectionLost)},
    {errc::would_deadlock, typeid(Error)},
    {errc::has_callback, typeid(Error)},
    {errc::bad_argument, typeid(Error)},
    {errc::bad_spec, typeid(SpecError)},
    {errc::spawn_failed, typeid(StartError)},
    {errc::bootstrap_timeout, typeid(StartError)},
    {errc::bootstrap_noise, typeid(StartError)},
    {errc::bootstrap_failed, typeid(StartError)},
    {errc::version_mismatch, typeid(StartError)},
    {errc::host_not_found, typeid(HostNotFound)},
    {errc::group_error, typeid(Error)},
    {errc::connection_refused, typeid(HostNotFound)},
    {errc::connect_timeout, typeid(HostNotFound)},
    {errc::host_unreachable, typeid(HostNotFound)},
    {errc::host_key_unknown, typeid(HostNotFound)},
    {errc::host_key_changed, typeid(HostNotFound)},
    {errc::auth_failed, typeid(HostNotFound)},
    {errc::server_limit, typeid(StartError)},
    {errc::shell_refused, typeid(StartError)},
    {errc::python_not_found, typeid(StartError)},
    {errc::python_too_old, typeid(StartError)},
};

/// What throw_error(code, text) throws, as `check` sees it.
void thrown(boost::system::error_code code, const std::string& text, const std::function<void(const Error&)>& check,
            DeathRecord death = {}) {
  try {
    throw_error(code, text, std::move(death));
  } catch (const Error& error) {
    check(error);
  }
}

TEST(ErrorCode, has_a_message_of_its_own_for_every_value) {
  std::set<std::string> messages;
  for (const auto& [code, type] : codes) {
    const std::string message = make_error_code(code).message();
    EXPECT_NE(message, "unknown error") << static_cast<int>(code);
    EXPECT_TRUE(messages.insert(message).second) << message;
  }
}

TEST(ErrorCode, the_table_of_this_test_has_every_value) {
  // Values are numbered from 1 without a gap, so a new one is the first without a line here.
  const int next = static_cast<int>(std::size(codes)) + 1;
  EXPECT_EQ(boost::system::error_code(next, error_category()).message(), "unknown error");
  EXPECT_EQ(boost::system::error_code(0, error_category()).message(), "unknown error");
}

TEST(ErrorCode, converts_and_compares) {
  const boost::system::error_code code = errc::timed_out;
  EXPECT_EQ(code, errc::timed_out);
  EXPECT_NE(code, errc::cancelled);
  EXPECT_STREQ(code.category().name(), "gangway");
  EXPECT_TRUE(code.failed());
}

TEST(ThrowError, throws_the_class_that_belongs_to_the_code) {
  for (const auto& [code, type] : codes) {
    bool caught = false;
    thrown(code, "text", [&, &code = code, &type = type](const Error& error) {
      caught = true;
      EXPECT_EQ(std::type_index(typeid(error)), type) << make_error_code(code).message();
      EXPECT_EQ(error.code(), code);
      EXPECT_STREQ(error.what(), "text");
    });
    EXPECT_TRUE(caught);
  }
}

TEST(ThrowError, uses_the_message_of_the_code_where_there_is_no_text) {
  thrown(errc::channel_closed, "", [](const Error& error) { EXPECT_STREQ(error.what(), "channel is closed"); });
}

TEST(ThrowError, throws_the_base_for_codes_of_other_categories) {
  const boost::system::error_code code(ENOENT, boost::system::system_category());
  thrown(code, "", [&](const Error& error) {
    EXPECT_EQ(std::type_index(typeid(error)), typeid(Error));
    EXPECT_EQ(error.code(), code);
    EXPECT_EQ(error.what(), code.message());
  });
}

TEST(ConnectionLost, carries_what_is_known_of_the_process) {
  const auto check = [](const Error& error) {
    EXPECT_EQ(dynamic_cast<const ConnectionLost&>(error).death(), (DeathRecord{3, {}, "last words"}));
  };
  thrown(errc::connection_lost, "lost", check, {3, {}, "last words"});
}

TEST(ConnectionLost, is_an_end_of_channel) { EXPECT_THROW(throw_error(errc::connection_lost), EndOfChannel); }

TEST(HostNotFound, is_a_start_error) { EXPECT_THROW(throw_error(errc::host_not_found), StartError); }

TEST(RemoteError, shows_no_control_characters_but_keeps_them) {
  const RemoteError error("Traceback\n\x1b[31mValueError");
  EXPECT_STREQ(error.what(), "Traceback\n\\x1b[31mValueError");
  EXPECT_EQ(error.formatted(), "Traceback\n\x1b[31mValueError");
}

TEST(Error, is_a_value) {
  const RemoteError error("text");
  const RemoteError copy = error;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(copy.formatted(), "text");
  EXPECT_EQ(copy.code(), error.code());
}

}  // namespace
}  // namespace gangway
