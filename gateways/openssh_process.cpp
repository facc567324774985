#include "gateways/openssh_process.hpp"

#include <boost/asio/post.hpp>

#include <utility>

#include "core/trace.hpp"
#include "gateways/client_failure.hpp"

namespace gangway::detail {

namespace {

using std::chrono::milliseconds;

// How often the one that logs in looks whether its connection can be shared: sooner than its agent
// answers, which an interpreter has to be started for.
constexpr milliseconds look_interval{20};

}  // namespace

OpensshProcess::OpensshProcess(Runtime& runtime, const XSpec& spec, SpawnRequest request,
                               std::shared_ptr<SshControl> control, std::string control_path)
    : ClientProcess(runtime, spec, std::move(request), Start::later),
      runtime_(runtime),
      control_(std::move(control)),
      control_path_(std::move(control_path)),
      // Whoever waited in vain still has the time for a login of its own.
      patience_(spec.connect_timeout() / 3),
      // Somewhat before the gateway gives up: what the last ssh said explains more.
      deadline_(Clock::now() + spec.connect_timeout() - std::min(spec.connect_timeout() / 10, milliseconds(500))),
      timer_(runtime.io()),
      look_timer_(runtime.io()) {}

std::shared_ptr<OpensshProcess> OpensshProcess::open(Runtime& runtime, const XSpec& spec, SpawnRequest request,
                                                     std::shared_ptr<SshControl> control, std::string control_path) {
  auto process =
      std::make_shared<OpensshProcess>(runtime, spec, std::move(request), std::move(control), std::move(control_path));
  process->begin();
  return process;
}

void OpensshProcess::begin() {
  auto turn = SshControl::Turn::start;
  waits_ = true;  // the turn may come before enter() has returned
  if (!control_path_.empty())
    turn = control_->enter(control_path_, [weak = weak(), &io = runtime_.io()] {
      boost::asio::post(io, [weak] {
        if (const auto self = weak.lock()) self->take_turn();
      });
    });
  leads_ = turn == SshControl::Turn::log_in;
  const std::lock_guard lock(turn_mutex_);
  if (turn != SshControl::Turn::wait) {
    waits_ = false;
    start();
    if (leads_) look_later();
  } else if (waits_) {
    after(patience_, &OpensshProcess::take_turn);
  }
  runtime_.keep_going();
}

// The other one's login is over, or takes too long.
void OpensshProcess::take_turn() {
  {
    const std::lock_guard lock(turn_mutex_);
    if (!std::exchange(waits_, false)) return;
    timer_.cancel();
  }
  try_to_start();
}

void OpensshProcess::try_to_start() {
  try {
    const std::lock_guard lock(turn_mutex_);
    if (given_up_) return;
    start();
    if (leads_) look_later();
    return;
  } catch (const std::exception& problem) {
    const std::lock_guard lock(turn_mutex_);
    failed_ = problem.what();
  }
  login_over();
  finish();
}

void OpensshProcess::look_for_master() {
  if (!leads_) return;
  const bool logged_in = control_->has_master(control_path_);
  if (logged_in) login_over();
  const std::lock_guard lock(turn_mutex_);
  if (logged_in)
    turned_away_.reset();  // what goes wrong now has another reason
  else if (!given_up_)
    look_later();
}

bool OpensshProcess::again() {
  if (!answered() && hung_up_before_login(death())) {
    const std::lock_guard lock(turn_mutex_);
    const auto pause = backoff_.next();
    if (!given_up_ && Clock::now() + pause < deadline_) {
      turned_away_ = ClientProcess::failure();
      trace::log(description(), ": the server hung up before the login, again in ", pause.count(), " ms");
      after(pause, &OpensshProcess::try_to_start);
      return true;
    }
  }
  login_over();
  return false;
}

void OpensshProcess::login_over() noexcept {
  if (!fork_.in_child() && leads_.exchange(false)) control_->login_over(control_path_);
}

void OpensshProcess::set_worker(pid_t pid) {
  ClientProcess::set_worker(pid);
  keep_this_one();
  login_over();
}

std::optional<ConnectionEnd> OpensshProcess::failure() {
  {
    const std::lock_guard lock(turn_mutex_);
    if (!failed_.empty()) return ConnectionEnd{errc::spawn_failed, failed_, {}};
    // The time is over, and the last attempt has come to nothing yet.
    if (turned_away_ && !answered() && !death().known()) return turned_away_;
  }
  return ClientProcess::failure();
}

// What waits for its turn or for another attempt is at its end.
void OpensshProcess::give_up() noexcept {
  const std::lock_guard lock(turn_mutex_);
  if (std::exchange(given_up_, true)) return;
  try {
    boost::asio::post(runtime_.io(), [weak = weak()] {
      const auto self = weak.lock();
      if (!self) return;
      self->login_over();
      self->finish();
    });
  } catch (const std::exception& problem) {  // the gateway ends all the same, later
    trace::log(description(), ": ", problem.what());
  }
}

void OpensshProcess::ask_keeper() noexcept {
  give_up();
  ClientProcess::ask_keeper();
}

void OpensshProcess::kill() noexcept {
  give_up();
  ClientProcess::kill();
}

void OpensshProcess::close() noexcept {
  {
    const std::lock_guard lock(turn_mutex_);
    given_up_ = true;
    timer_.cancel();
    look_timer_.cancel();
  }
  ClientProcess::close();
}

// With the mutex held, as the next one.
void OpensshProcess::after(milliseconds time, void (OpensshProcess::*what)()) { set(timer_, time, what); }

// By a timer of its own: a look that is due already cannot be taken back, and must not displace another attempt.
void OpensshProcess::look_later() { set(look_timer_, look_interval, &OpensshProcess::look_for_master); }

void OpensshProcess::set(boost::asio::steady_timer& timer, milliseconds time, void (OpensshProcess::*what)()) {
  timer.expires_after(time);
  timer.async_wait([weak = weak(), what](boost::system::error_code error) {
    const auto self = weak.lock();
    if (!error && self) ((*self).*what)();
  });
}

}  // namespace gangway::detail
