// What a worker does next: a kind and some numbers, all from a seed. What it is done to is
// found out when it is done, because that depends on how fast everything goes.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

#include "tests/nemesis/item.hpp"

namespace gangway::nemesis {

enum class Action : std::uint8_t {
  // Items.
  send,
  try_send,
  send_many,
  async_send,
  receive,
  receive_some,
  receive_for_ever,
  async_receive,
  waitclose,
  setcallback,
  send_each,
  make_queue,
  read_queue,
  // Channels.
  stop,
  close,
  close_with_error,
  drop,
  pass_channel,
  ask_for_channel,
  interrupt,
  // Tasks.
  echo,
  flood,
  lines,
  print,
  sleep,
  loop,
  hold_gil,
  spawn,
  raise,
  // Gateways.
  ping,
  status,
  start,
  exit,
  terminate,
  // Harm.
  pause,
  kill,
  segfault,
  leave,  // os._exit
};

struct ActionKind {
  Action action;
  std::string_view name;
  unsigned weight;  // out of the sum of all
};

/// In the order of Action.
[[nodiscard]] const std::array<ActionKind, 38>& action_kinds();
[[nodiscard]] inline std::string_view name_of(Action action) {
  return action_kinds()[static_cast<std::size_t>(action)].name;
}

struct Operation {
  Action action = Action::send;
  std::uint32_t pick = 0;   // which of the channels or gateways, modulo how many there are
  std::uint32_t other = 0;  // for a second choice
  Form form = Form::integer;
  std::uint32_t size = 0;             // of an item: repetitions of some ten bytes
  std::uint32_t count = 0;            // of items
  std::chrono::milliseconds time{0};  // a deadline, or how long a task does something
};

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}
  [[nodiscard]] Operation next();

 private:
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(random_() % bound);  // not a distribution: those differ between libraries
  }
  std::mt19937_64 random_;
};

}  // namespace gangway::nemesis
