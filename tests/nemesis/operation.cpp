#include "tests/nemesis/operation.hpp"

#include <algorithm>
#include <numeric>

namespace gangway::nemesis {

namespace {

constexpr std::array<ActionKind, 38> kinds = {{
    {Action::send, "send", 200},
    {Action::try_send, "try_send", 60},
    {Action::send_many, "send many", 60},
    {Action::async_send, "async_send", 60},
    {Action::receive, "receive", 160},
    {Action::receive_some, "receive some", 160},
    {Action::receive_for_ever, "receive without a deadline", 20},
    {Action::async_receive, "async_receive", 60},
    {Action::waitclose, "waitclose", 25},
    {Action::setcallback, "setcallback", 20},
    {Action::send_each, "send_each", 30},
    {Action::make_queue, "make_receive_queue", 10},
    {Action::read_queue, "ReceiveQueue::get", 60},
    {Action::stop, "stop", 25},
    {Action::close, "close", 10},
    {Action::close_with_error, "close with an error", 10},
    {Action::drop, "drop", 15},
    {Action::pass_channel, "pass a channel", 25},
    {Action::ask_for_channel, "ask for a channel", 15},
    {Action::interrupt, "interrupt", 15},
    {Action::echo, "echo", 50},
    {Action::flood, "flood", 30},
    {Action::lines, "lines", 20},
    {Action::print, "print", 15},
    {Action::sleep, "sleep", 6},
    {Action::loop, "loop", 3},
    {Action::hold_gil, "hold the GIL", 3},
    {Action::spawn, "spawn", 6},
    {Action::raise, "raise", 10},
    {Action::ping, "ping", 15},
    {Action::status, "remote_status", 10},
    {Action::start, "start", 20},
    {Action::exit, "exit", 3},
    {Action::terminate, "terminate", 1},
    {Action::pause, "pause", 3},
    {Action::kill, "kill", 3},
    {Action::segfault, "segfault", 2},
    {Action::leave, "os._exit", 2},
}};

static_assert(std::ranges::is_sorted(kinds, {}, &ActionKind::action));

}  // namespace

const std::array<ActionKind, 38>& action_kinds() { return kinds; }

Operation Generator::next() {
  static const unsigned total =
      std::accumulate(kinds.begin(), kinds.end(), 0u, [](unsigned sum, const auto& kind) { return sum + kind.weight; });
  Operation operation;
  std::uint32_t ticket = below(total);
  for (const ActionKind& kind : kinds) {
    operation.action = kind.action;
    if (ticket < kind.weight) break;
    ticket -= kind.weight;
  }
  operation.pick = below(1u << 16);
  operation.other = below(1u << 16);
  operation.form = static_cast<Form>(below(forms));
  // Most items are small, some need several frames, few are larger than a window.
  switch (below(16)) {
    case 0: operation.size = 1 + below(60'000); break;
    case 1:
    case 2: operation.size = 1 + below(10'000); break;
    default: operation.size = 1 + below(20); break;
  }
  if (operation.form == Form::structure) operation.size = 1 + operation.size / 32;  // slow to build
  operation.count = 1 + below(40);
  switch (below(8)) {
    case 0:
    case 1: break;  // polls, or waits for ever
    case 2: operation.time = std::chrono::milliseconds(1 + below(300)); break;
    default: operation.time = std::chrono::milliseconds(1 + below(20)); break;
  }
  return operation;
}

}  // namespace gangway::nemesis
