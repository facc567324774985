// Large bytes in one direction: `count` items of `size` bytes each, in GB/s.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include <gangway/gangway.hpp>

#include "bench/support/measure.hpp"

namespace bench {

/// From the far side.
inline double bulk_to_controller(gangway::Gateway& gateway, std::size_t size, int count) {
  gangway::Channel channel = gateway.remote_exec(
      "size, n = channel.receive()\nitem = b'x' * size\nchannel.send(0)\n"
      "channel.receive()\nfor i in range(n): channel.send(item)");
  channel.send(gangway::Tuple{static_cast<std::int64_t>(size), count});
  (void)channel.receive<int>();
  channel.send(0);
  const Stopwatch watch;
  for (int i = 0; i < count; ++i)
    if (channel.receive().as_bytes().size() != size) throw std::runtime_error("an item of another size");
  return static_cast<double>(size) * count / watch.seconds() / 1e9;
}

/// To the far side, until it has the last one.
inline double bulk_to_agent(gangway::Gateway& gateway, std::size_t size, int count) {
  gangway::Channel channel = gateway.remote_exec(
      "n = channel.receive()\nfor i in range(n): item = channel.receive()\nchannel.send(len(item))");
  channel.send(count);
  gangway::Bytes item;
  item.resize_uninitialized(size);
  std::fill(item.begin(), item.end(), std::byte{'x'});
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) channel.send(item);
  (void)channel.receive<std::int64_t>();
  return static_cast<double>(size) * count / watch.seconds() / 1e9;
}

}  // namespace bench
