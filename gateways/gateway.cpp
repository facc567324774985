#include <gangway/gateway.hpp>

#include <cerrno>
#include <fstream>
#include <ostream>
#include <sstream>

#include "channels/channel_handle.hpp"
#include "core/escape.hpp"
#include "core/item_codec.hpp"
#include "gateways/dedent.hpp"
#include "gateways/gateway_state.hpp"
#include "gateways/status_reader.hpp"

namespace gangway {

using detail::GatewayState;

namespace {

// A question to the agent itself. One that it does not answer says for how long.
template <class Ask>
auto answered(GatewayState& gateway, std::optional<Channel::Timeout> timeout, Ask ask) {
  gateway.check_process();
  try {
    return ask(gateway.connection(), detail::deadline_after(timeout));
  } catch (const TimeoutError& error) {
    throw TimeoutError(error.code(), gateway.silence(timeout.value_or(Channel::Timeout())));
  }
}

}  // namespace

Source Source::from_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // An empty file is no error, and inserting nothing would set failbit.
  if (file && file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (!file.is_open() || file.bad() || text.fail())
    throw_error({errno != 0 ? errno : EIO, boost::system::system_category()}, "cannot read " + path.string());
  return {std::move(text).str(), path.string(), {}};
}

Source Source::of_function(std::string_view text, std::string_view name, std::string_view file) {
  return {std::string(text), std::string(file), std::string(name)};
}

GatewayState& Gateway::state() const {
  if (!state_) throw_error(errc::group_error, "this Gateway refers to no gateway");
  return *state_;
}

const std::string& Gateway::id() const { return state().id(); }
const XSpec& Gateway::spec() const { return state().spec(); }
AgentInfo Gateway::info() const { return state().info(); }

Channel Gateway::remote_exec(std::string_view source) { return remote_exec(Source{std::string(source), {}, {}}); }

Channel Gateway::remote_exec(const Source& source, const Dict& kwargs) {
  state().check_process();
  auto& connection = state().connection();
  if (source.function.empty() && !kwargs.empty())
    throw_error(errc::cannot_serialize, "keyword arguments are for functions only");
  Dict request{{"source", detail::dedent(source.text)}};
  if (!source.file.empty()) request["file"] = source.file;
  if (!source.function.empty()) request["function"] = source.function;
  if (!kwargs.empty()) request["kwargs"] = kwargs;
  const Bytes encoded = detail::encode_pickle(request, &connection);
  const auto channel = connection.open_channel();
  auto handle = connection.handle_of(channel);
  connection.send(channel, {detail::ItemKind::exec, encoded});
  return Channel(std::move(handle));
}

Channel Gateway::newchannel() {
  state().check_process();
  auto& connection = state().connection();
  return Channel(connection.handle_of(connection.open_channel()));
}

RemoteStatus Gateway::remote_status(std::optional<Channel::Timeout> timeout) {
  return answered(state(), timeout, [&](detail::Connection& connection, detail::Deadline deadline) {
    RemoteStatus status = detail::read_status(std::move(connection.status(deadline).as_dict()));
    status.executable = info().executable;
    status.details[Value("executable")] = status.executable;
    return status;
  });
}

std::string Gateway::stacks(std::optional<Channel::Timeout> timeout) {
  return answered(state(), timeout, [](detail::Connection& connection, detail::Deadline deadline) {
    return detail::escape_for_display(connection.stacks(deadline));
  });
}

std::chrono::nanoseconds Gateway::ping(std::optional<Channel::Timeout> timeout) {
  return answered(state(), timeout, [&](detail::Connection& connection, detail::Deadline deadline) {
    const auto begin = detail::Clock::now();
    connection.ping(deadline);
    return std::chrono::nanoseconds(detail::Clock::now() - begin);
  });
}

void Gateway::reconfigure(bool py2str_as_py3str, bool py3str_as_py2str) {
  state().check_process();
  state().connection().reconfigure({py2str_as_py3str, py3str_as_py2str});
}

void Gateway::set_output(std::function<void(const Output&)> function) { state().set_output(std::move(function)); }

std::optional<std::chrono::nanoseconds> Gateway::unresponsive() const { return state().unresponsive(); }
void Gateway::exit() noexcept {
  if (state_) state_->exit();
}
void Gateway::kill() noexcept {
  if (state_) state_->kill();
}
bool Gateway::join(std::optional<Channel::Timeout> timeout) {
  return state().wait_gone(detail::deadline_after(timeout));
}
bool Gateway::hasreceiver() const { return !state().connection().finished(); }
DeathRecord Gateway::death() const { return state().death(); }

std::ostream& operator<<(std::ostream& out, const Gateway& gateway) {
  if (!gateway) return out << "<Gateway none>";
  return out << "<Gateway id='" << gateway.id() << "' " << (gateway.hasreceiver() ? "receive-live" : "not-receiving")
             << ", thread model, " << gateway.state().live_channels() << " active channels>";
}

}  // namespace gangway
