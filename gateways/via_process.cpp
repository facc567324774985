#include "gateways/via_process.hpp"

#include <csignal>

#include <gangway/limits.hpp>
#include <gangway/value.hpp>

#include "agent_bundle.hpp"
#include "core/escape.hpp"
#include "core/item_codec.hpp"
#include "core/trace.hpp"
#include "gateways/channel_stream.hpp"
#include "gateways/client_failure.hpp"
#include "gateways/gateway_state.hpp"

namespace gangway::detail {

namespace {

std::shared_ptr<ChannelHandle> open_channel(Connection& connection) {
  return connection.handle_of(connection.open_channel());
}

// Without waiting, in order.
void send(const ChannelHandle& channel, ItemKind kind, Bytes payload) {
  (void)channel.connection->send_later(channel.state, kind, std::move(payload), nullptr);
}

ChannelRef reference(const std::shared_ptr<ChannelHandle>& channel) { return {channel->state->id, channel}; }

// "RuntimeError: no more threads" of a traceback.
std::string_view last_line(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

ViaProcess::ViaProcess(std::shared_ptr<GatewayState> hop, const XSpec& spec, const std::vector<std::string>& argv,
                       const Environment& environment)
    : hop_(std::move(hop)), spec_(spec) {
  Connection& connection = hop_->connection();
  try {
    control_ = open_channel(connection);
    data_ = open_channel(connection);
    errors_ = open_channel(connection);
    send(*control_, ItemKind::exec, encode_pickle(Dict{{"source", relay_source}, {"file", "<via>"}}));
    List words(argv.begin(), argv.end());
    Dict variables;
    for (const auto& [name, value] : environment) variables[name] = value;
    send(*control_, ItemKind::pickle,
         encode_pickle(Tuple{std::move(words), std::move(variables), reference(data_), reference(errors_)},
                       &connection));
  } catch (const ConnectionLost& error) {
    throw StartError(errc::bootstrap_failed, "via=" + hop_->id() + ": " + error.what());
  }
  stream_ = std::make_unique<ChannelStream>(data_);
  news_ = std::make_shared<ChannelWatch>(control_);
  data_end_ = std::make_shared<ChannelWatch>(data_);
  more_errors_ = std::make_shared<ChannelWatch>(errors_);
}

std::string ViaProcess::description() const { return "via " + hop_->id(); }

void ViaProcess::watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) {
  {
    const std::lock_guard lock(mutex_);
    on_end_ = std::move(on_end);
    stderr_.start(std::move(gateway), std::move(sink));
  }
  wait_for_news();
  read_errors();
}

// --- the end

void ViaProcess::wait_for_news() {
  const std::lock_guard lock(mutex_);
  if (!control_) return;
  news_->wait_item([weak = weak_from_this()](boost::system::error_code) {
    if (const auto self = weak.lock()) self->on_news();
  });
}

void ViaProcess::on_news() {
  Handle control;
  {
    const std::lock_guard lock(mutex_);
    control = control_;
  }
  if (!control) return;
  try {
    const auto item = control->connection->try_receive(*control->state);
    if (!item) return wait_for_news();
    if (!take_news(decode_item(item->kind, item->payload.span(), nullptr)))
      lost_relay(control, "what it says of the process is not understood");
  } catch (const RemoteError& error) {
    lost_relay(control, error.formatted());
  } catch (const Error&) {
    lost_relay(control, {});
  } catch (const std::exception& problem) {  // memory, most likely: the end goes out without its story
    trace::log("news from ", hop_->id(), ": ", problem.what());
    over();
  }
}

bool ViaProcess::take_news(const Value& news) {
  if (!news.is_tuple() || news.as_tuple().size() != 2 || !news.as_tuple()[0].is_str()) return false;
  const auto& kind = news.as_tuple()[0].as_str();
  const Value& what = news.as_tuple()[1];
  if (kind == "failed" && what.is_str()) {
    {
      const std::lock_guard lock(mutex_);
      failure_ = ConnectionEnd{errc::spawn_failed,
                               "cannot be started at its hop " + hop_->id() + ": " + escape_for_display(what.as_str()),
                               {}};
    }
    over();
    return true;
  }
  if (kind != "ended" || !what.is_int()) return false;
  const std::lock_guard lock(mutex_);
  const auto status = static_cast<int>(what.as_int());
  if (status < 0)
    death_.signal = -status;
  else
    death_.exit_status = status;
  // Its last bytes may still be on their way.
  if (data_)
    data_end_->wait_end([weak = weak_from_this()](boost::system::error_code) {
      if (const auto self = weak.lock()) self->over();
    });
  return true;
}

// Nobody there tells how the process ends any more.
void ViaProcess::lost_relay(const Handle& control, std::optional<std::string> error) {
  const auto hop_end = control->connection->end_text();
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) {
      if (hop_end)
        failure_ = ConnectionEnd{errc::connection_lost, "lost with its hop: " + *hop_end, {}};
      else if (error)
        failure_ = ConnectionEnd{errc::bootstrap_failed,
                                 "its hop " + hop_->id() + " cannot relay: " + escape_for_display(last_line(*error)),
                                 {}};
      else
        failure_ = ConnectionEnd{errc::connection_lost, "its hop " + hop_->id() + " is ending", {}};
    }
  }
  over();
}

void ViaProcess::over() {
  std::function<void()> on_end;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    on_end = std::exchange(on_end_, nullptr);
  }
  if (on_end) on_end();
}

bool ViaProcess::ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

DeathRecord ViaProcess::death() {
  read_errors();
  const std::lock_guard lock(mutex_);
  DeathRecord record = death_;
  record.stderr_tail = stderr_.tail();
  record.killed_here = killed_here_ && record.signal;
  return record;
}

std::optional<ConnectionEnd> ViaProcess::failure() {
  DeathRecord record = death();
  {
    const std::lock_guard lock(mutex_);
    if (failure_ || answered_) return failure_;
  }
  auto refusal = client_failure(spec_, record);
  if (refusal) refusal->text = "at its hop " + hop_->id() + ": " + refusal->text;
  return refusal;
}

// --- stderr

void ViaProcess::read_errors(bool has_room) {
  const std::lock_guard lock(mutex_);
  refused_ = refused_ && !has_room;
  if (!errors_ || refused_) return;
  const auto on_room = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->read_errors(true);
  };
  (void)more_errors_->cancel();
  try {
    while (stderr_.pass_on(on_room)) {
      const auto item = errors_->connection->try_receive(*errors_->state);
      if (!item)
        return more_errors_->wait_item([weak = weak_from_this()](boost::system::error_code) {
          if (const auto self = weak.lock()) self->read_errors();
        });
      if (item->kind == ItemKind::bytes) stderr_.add(item->payload.view());
    }
    refused_ = true;
  } catch (const Error&) {  // nothing more will come
    stderr_.complete();
    refused_ = !stderr_.pass_on(on_room);
  }
}

// --- by force

void ViaProcess::ask_keeper() noexcept { send_signal(SIGTERM); }
void ViaProcess::kill() noexcept { send_signal(SIGKILL); }

void ViaProcess::send_signal(int number) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (!control_ || death_.known()) return;
    Bytes scratch;
    const EncodedItem item = encode_item(Value(number), scratch, nullptr);
    send(*control_, item.kind, Bytes(item.payload));
    killed_here_ = true;
  } catch (const std::exception& problem) {
    trace::log("no signal through ", hop_->id(), ": ", problem.what());
  }
}

void ViaProcess::close() noexcept {
  Handle data, errors, control;  // released without the mutex
  try {
    const std::lock_guard lock(mutex_);
    stderr_.push();
    for (auto* const watch : {&news_, &data_end_, &more_errors_}) {
      if (*watch) (void)(*watch)->cancel();
      watch->reset();
    }
    data = std::move(data_);
    errors = std::move(errors_);
    control = std::move(control_);
  } catch (const std::exception& problem) {
    trace::log("closing what went through ", hop_->id(), ": ", problem.what());
  }
}

}  // namespace gangway::detail
