#include "gateways/gateway_state.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "agent_bundle.hpp"
#include "core/error_text.hpp"
#include "core/escape.hpp"
#include "core/trace.hpp"
#include "gateways/line_writer.hpp"
#include "gateways/output_reader.hpp"

namespace gangway::detail {

namespace {

// The stream has ended: so long the process has to end by itself, for its exit status to
// be known; then its keeper is told to kill it; then the error goes out without a status.
constexpr std::chrono::milliseconds exit_patience{500};
constexpr std::chrono::milliseconds kill_patience{1000};

// The last lines of stderr that an error text shows; the death record has all that was kept.
constexpr std::size_t shown_stderr = 2000;

std::string_view last_lines(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.size() <= shown_stderr) return text;
  text.remove_prefix(text.size() - shown_stderr);
  return text.substr(std::min(text.size(), text.find('\n') + 1));
}

}  // namespace

GatewayState::GatewayState(const TransportContext& context, XSpec spec, NativeAgent native,
                           std::function<void()> on_exit)
    : runtime_(context.runtime),
      spec_(std::move(spec)),
      id_(spec_.id().value_or("")),
      bootstrap_(spec_, std::move(native), context.cookie),
      interpreters_(context.interpreters),
      start_deadline_(Clock::now() + spec_.connect_timeout()),
      transport_(open_transport(context, spec_, bootstrap_)),
      connection_(std::make_shared<Connection>(runtime_, transport_->take_stream(), bootstrap_.settings())),
      output_(spec_.stdout_mode() == OutputMode::callback || spec_.stderr_mode() == OutputMode::callback
                  ? std::make_shared<OutputQueue>()
                  : nullptr),
      on_exit_(std::move(on_exit)),
      liveness_(spec_.keepalive(), Clock::now()),
      ticker_(runtime_->io()),
      patience_(runtime_->io()) {}

std::shared_ptr<GatewayState> GatewayState::launch(const TransportContext& context, XSpec spec, NativeAgent native,
                                                   std::function<void()> on_exit) {
  std::shared_ptr<GatewayState> state(
      new GatewayState(context, std::move(spec), std::move(native), std::move(on_exit)));
  state->start();
  return state;
}

// In a forked child everything here is a copy of the parent's: nothing is closed in order.
GatewayState::~GatewayState() {
  if (output_) output_->abandon();
  if (!fork_.in_child()) transport_->close();
}

void GatewayState::start() {
  trace::log("gateway ", id_, ": started, ", transport_->description());
  const OutputReader::Sinks sinks{sink_for(OutputStream::out, spec_.stdout_mode()),
                                  sink_for(OutputStream::err, spec_.stderr_mode())};
  transport_->watch(
      [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->on_transport_end();
      },
      id_, sinks.err);
  connection_->start(weak_from_this(), bootstrap_.nonce(), Bytes(bootstrap_.first_bytes()), bootstrap_.hello());
  if (!bootstrap_.output_streams().empty()) {
    try {
      const auto channel = connection_->open_channel();
      std::make_shared<OutputReader>(connection_, channel, id_, sinks)->start();
    } catch (const ConnectionLost&) {  // over already: wait_ready() says why
    }
  }
  const std::lock_guard lock(mutex_);
  if (liveness_.interval() > Clock::duration::zero()) tick();
}

std::shared_ptr<OutputSink> GatewayState::sink_for(OutputStream stream, OutputMode mode) const {
  switch (mode) {
    case OutputMode::null: return nullptr;
    case OutputMode::callback: return output_;
    case OutputMode::inherit:
    case OutputMode::forward: break;
  }
  return LineWriter::shared(stream == OutputStream::out ? STDOUT_FILENO : STDERR_FILENO);
}

void GatewayState::set_output(OutputQueue::Function function) {
  check_process();
  if (!output_)
    throw_error(errc::bad_spec, "gateway " + id_ + " has neither stdout=callback nor stderr=callback in its spec");
  output_->set(std::move(function), connection_->callbacks());
}

std::size_t GatewayState::live_channels() {
  const std::size_t all = connection_->live_channels();
  return all - (all > 0 && !bootstrap_.output_streams().empty() ? 1 : 0);
}

void GatewayState::check_process() const {
  if (fork_.in_child())
    throw_error(errc::terminated, "gateway " + id_ + " belongs to the parent process: not usable after fork");
}

void GatewayState::wait_ready() {
  if (connection_->wait_ready(start_deadline_)) return;
  ConnectionEnd end{errc::bootstrap_timeout,
                    "the agent did not answer within " + std::to_string(spec_.connect_timeout().count()) + " ms",
                    transport_->death()};
  const std::string noise = connection_->noise();
  {
    const std::lock_guard lock(mutex_);  // its HELLO may arrive just now
    end = bootstrap_.explain(std::move(end), noise);
  }
  if (auto failure = transport_->failure()) {
    end.code = failure->code;
    end.text = std::move(failure->text) + Bootstrap::shown_noise(noise);
  }
  if (const auto shown = last_lines(end.death.stderr_tail); !shown.empty())
    end.text += "\nstderr:\n" + escape_for_display(shown);
  connection_->finish(end);
  transport_->ask_keeper();
  throw_error(end.code, "gateway " + id_ + ": " + end.text);
}

AgentInfo GatewayState::info() {
  wait_ready();
  const std::lock_guard lock(mutex_);
  return bootstrap_.info();
}

std::optional<std::string> GatewayState::on_hello(const Value& hello) {
  const std::lock_guard lock(mutex_);
  if (auto reason = bootstrap_.on_hello(hello)) return reason;
  connection_->set_peer_max_item(bootstrap_.peer_max_item());
  connection_->set_peer_arrays(bootstrap_.peer_arrays());
  if (interpreters_) interpreters_->remember(spec_, bootstrap_.info().executable);
  transport_->set_worker(static_cast<pid_t>(bootstrap_.info().pid));
  return {};
}

std::optional<Bytes> GatewayState::on_need(std::string_view part) {
  const std::string_view source = portable_part(part);
  if (source.empty() || bootstrap_.info().agent == "native") return {};
  return Bytes(source);
}

// --- liveness

void GatewayState::tick() {
  ticker_.expires_after(liveness_.interval());
  ticker_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->connection_->finished()) return;
    bool ping = false;
    {
      const std::lock_guard lock(self->mutex_);
      ping = self->liveness_.on_tick(Clock::now()) == Liveness::Action::send_ping;
      self->tick();
    }
    if (ping) self->connection_->send_ping();
  });
}

void GatewayState::on_pong() {
  const std::lock_guard lock(mutex_);
  liveness_.on_pong(Clock::now());
}

std::optional<Clock::duration> GatewayState::unresponsive() {
  check_process();
  const std::lock_guard lock(mutex_);
  return liveness_.unresponsive(Clock::now());
}

std::string GatewayState::silence(Clock::duration waited) {
  const auto silent = unresponsive().value_or(waited);
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%.3g s", std::chrono::duration<double>(std::max(silent, waited)).count());
  return "gateway " + id_ + ": the agent has been unresponsive for " + seconds;
}

// --- the end

void GatewayState::on_stream_end(ConnectionEnd end) {
  bool asked;
  {
    const std::lock_guard lock(mutex_);
    stream_end_ = std::move(end);
    asked = asked_to_end_;
  }
  transport_->on_stream_end(asked);
  // An agent that was asked to end may let its tasks finish; terminate() and the keeper
  // see to it that this does not take for ever.
  if (transport_->ended())
    conclude();
  else
    after(exit_patience, asked ? &GatewayState::conclude : &GatewayState::ask_keeper);
}

void GatewayState::on_transport_end() {
  trace::log("gateway ", id_, ": transport ended");
  bool stream_ended;
  {
    const std::lock_guard lock(mutex_);
    stream_ended = stream_end_.has_value();
  }
  if (stream_ended || connection_->finished())
    conclude();
  else
    after(exit_patience, &GatewayState::conclude);  // its last words are still in the pipe
}

// `what` after `time`, and conclude() if even that does not bring the end. At once when there
// is no memory to wait with.
void GatewayState::after(std::chrono::milliseconds time, void (GatewayState::*what)()) {
  try {
    const std::lock_guard lock(mutex_);
    patience_.expires_after(time);
    patience_.async_wait([weak = weak_from_this(), what](boost::system::error_code error) {
      const auto self = weak.lock();
      if (error || !self) return;
      ((*self).*what)();
      if (what != &GatewayState::conclude) self->after(kill_patience, &GatewayState::conclude);
    });
  } catch (const std::bad_alloc&) {
    transport_->ask_keeper();
    conclude();
  }
}

void GatewayState::conclude() {
  ConnectionEnd end{errc::connection_lost, {}, {}};
  bool asked;
  {
    const std::lock_guard lock(mutex_);
    if (stream_end_) end = std::exchange(*stream_end_, {stream_end_->code, {}, {}});
    asked = asked_to_end_;
    ticker_.cancel();
    if (transport_->ended()) patience_.cancel();
  }
  if (!connection_->finished()) {
    end.text = text_from([&] {
      describe(end, asked);
      return std::move(end.text);
    });
    connection_->finish(std::move(end));
  }
  if (transport_->ended()) transport_->close();
  const std::lock_guard lock(mutex_);
  concluded_ = transport_->ended();
  wake_waiters();
}

// Code, text and death record for the user.
void GatewayState::describe(ConnectionEnd& end, bool asked) {
  end.death = transport_->death();
  if (end.text.empty()) end.text = "the connection was lost";
  if (asked && end.code == errc::connection_lost) {
    end.code = errc::terminated;
    end.text = "the gateway was terminated";
  } else if (auto failure = transport_->failure(); failure && end.code == errc::connection_lost) {
    end.code = failure->code;
    end.text = std::move(failure->text);
    if (!connection_->ready()) {
      if (end.code == errc::connection_lost) end.code = errc::bootstrap_failed;
      end.text += Bootstrap::shown_noise(connection_->noise());
    }
  } else if (!connection_->ready()) {
    const std::string noise = connection_->noise();
    const std::lock_guard lock(mutex_);
    end = bootstrap_.explain(std::move(end), noise);
  } else if (end.death.known()) {
    end.text += ": " + end.death.summary();
  }
  end.text = "gateway " + id_ + ": " + end.text;
  const auto shown = last_lines(end.death.stderr_tail);
  if (!asked && !shown.empty()) end.text += "\nlast lines of its stderr:\n" + escape_for_display(shown);
  trace::log(end.text);
}

void GatewayState::exit() noexcept {
  if (fork_.in_child()) return;
  std::function<void()> on_exit;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(asked_to_end_, true)) return;
    on_exit = std::exchange(on_exit_, nullptr);
  }
  try {
    connection_->send_terminate();
  } catch (const std::exception& problem) {
    trace::log("gateway ", id_, ": terminate not sent: ", problem.what());
  }
  try {
    if (on_exit) on_exit();
  } catch (const std::exception& problem) {  // terminate() still waits for it
    trace::log("gateway ", id_, ": still a member of its group: ", problem.what());
  }
}

DeathRecord GatewayState::death() {
  check_process();
  return transport_->death();
}

void GatewayState::kill() noexcept {
  if (!fork_.in_child()) transport_->kill();
}

void GatewayState::wake_waiters() {
  for (Waiter* waiter : waiters_) waiter->notify();
}

bool GatewayState::gone() {
  const std::lock_guard lock(mutex_);
  return concluded_;
}

void GatewayState::add_end_waiter(Waiter& waiter) {
  const std::lock_guard lock(mutex_);
  waiters_.push_back(&waiter);
}

void GatewayState::remove_end_waiter(Waiter& waiter) {
  const std::lock_guard lock(mutex_);
  std::erase(waiters_, &waiter);
}

bool GatewayState::wait_gone(Deadline deadline) {
  check_process();
  if (Runtime::in_handler())
    throw_error(errc::would_deadlock, "waiting for a gateway's end on the thread that does the I/O");
  Waiter waiter(*runtime_);
  std::unique_lock lock(mutex_);
  waiters_.push_back(&waiter);
  bool in_time = true;
  while (!concluded_ && in_time) {
    waiter.rearm();
    lock.unlock();
    in_time = runtime_->wait(waiter, deadline);
    lock.lock();
  }
  std::erase(waiters_, &waiter);
  return concluded_;
}

bool GatewayState::enforce(Termination& termination) {
  switch (termination.resume(gone(), Clock::now())) {
    case Termination::Action::wait: return false;
    case Termination::Action::ask_keeper: transport_->ask_keeper(); return false;
    case Termination::Action::kill: transport_->kill(); return false;
    case Termination::Action::give_up:
      // Where a signal does not reach (a sudo'ed process), the end of the stream does: the agent's keeper sees it.
      connection_->finish({errc::terminated, "gateway " + id_ + ": the gateway was terminated", transport_->death()});
      return true;
    case Termination::Action::done: return true;
  }
  return true;
}

}  // namespace gangway::detail
