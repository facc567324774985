// Takes what tasks print from the output channel (wire.md, section 9) to where it belongs.
// While a sink is full nothing more is taken: the channel's window bounds what waits.
//
// Thread rule: start() on any thread; the rest runs on the leading thread. Keeps itself
// alive until the channel ends.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "channels/connection.hpp"
#include "core/runtime.hpp"
#include "gateways/output_sink.hpp"

namespace gangway::detail {

class OutputReader final : public ChannelWaiter, public std::enable_shared_from_this<OutputReader> {
 public:
  /// A stream without a sink was not asked for: what comes for it is dropped.
  struct Sinks {
    std::shared_ptr<OutputSink> out;
    std::shared_ptr<OutputSink> err;
  };

  OutputReader(std::shared_ptr<Connection> connection, Connection::ChannelPtr channel, std::string gateway,
               Sinks sinks);
  void start();

 private:
  void wake() override;
  void read_later(std::shared_ptr<OutputReader> self);
  void read();
  void give_up(const std::exception& problem) noexcept;
  [[nodiscard]] std::optional<Output> decode(InItem item) const;

  const std::shared_ptr<Connection> connection_;
  const Connection::ChannelPtr channel_;
  const std::string gateway_;
  const Sinks sinks_;
  std::optional<Output> refused_;       // by a sink that is full
  std::shared_ptr<OutputReader> self_;  // while it waits for an item
};

}  // namespace gangway::detail
