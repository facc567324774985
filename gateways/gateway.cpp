#include <gangway/gateway.hpp>

#include <cerrno>
#include <fstream>
#include <ostream>
#include <sstream>

#include "channels/channel_handle.hpp"
#include "core/item_codec.hpp"
#include "gateways/dedent.hpp"
#include "gateways/gateway_state.hpp"

namespace gangway {

using detail::GatewayState;

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
  state().check_process();
  Value answer = state().connection().status(detail::deadline_after(timeout));
  RemoteStatus status;
  status.details = std::move(answer.as_dict());
  status.numchannels = status.details.at("numchannels").as_int();
  status.numexecuting = status.details.at("numexecuting").as_int();
  status.execmodel = status.details.at("execmodel").as_str();
  return status;
}

std::chrono::nanoseconds Gateway::ping(std::optional<Channel::Timeout> timeout) {
  state().check_process();
  const auto begin = detail::Clock::now();
  state().connection().ping(detail::deadline_after(timeout));
  return detail::Clock::now() - begin;
}

std::optional<std::chrono::nanoseconds> Gateway::unresponsive() const { return state().unresponsive(); }
void Gateway::exit() noexcept {
  if (state_) state_->exit();
}
bool Gateway::join(std::optional<Channel::Timeout> timeout) {
  return state().wait_gone(detail::deadline_after(timeout));
}
bool Gateway::hasreceiver() const { return !state().connection().finished(); }
DeathRecord Gateway::death() const { return state().death(); }

std::ostream& operator<<(std::ostream& out, const Gateway& gateway) {
  if (!gateway) return out << "<Gateway none>";
  return out << "<Gateway id='" << gateway.id() << "' " << (gateway.hasreceiver() ? "receive-live" : "not-receiving")
             << ", thread model, " << gateway.state().connection().live_channels() << " active channels>";
}

}  // namespace gangway
