#include "gateways/output_reader.hpp"

#include <boost/asio/post.hpp>

#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "core/item_codec.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

OutputReader::OutputReader(std::shared_ptr<Connection> connection, Connection::ChannelPtr channel, std::string gateway,
                           Sinks sinks)
    : connection_(std::move(connection)),
      channel_(std::move(channel)),
      gateway_(std::move(gateway)),
      sinks_(std::move(sinks)) {}

void OutputReader::start() {
  self_ = shared_from_this();
  connection_->add_receiver(channel_, *this);
}

// Output is not worth a connection.
void OutputReader::wake() {
  try {
    read_later(std::exchange(self_, nullptr));
  } catch (const std::bad_alloc&) {
    trace::log("gateway ", gateway_, ": no memory, output is read no more");
  }
}

void OutputReader::read_later(std::shared_ptr<OutputReader> self) {
  auto& io = connection_->runtime()->io();
  boost::asio::post(io, [self = std::move(self)] { self->read(); });
}

void OutputReader::read() {
  try {
    for (;;) {
      if (!refused_) {
        auto item = connection_->try_receive(*channel_);
        if (!item) break;
        refused_ = decode(std::move(*item));
      }
      if (refused_) {
        const auto& sink = refused_->stream == OutputStream::out ? sinks_.out : sinks_.err;
        if (sink && !sink->offer(*refused_, [self = shared_from_this()] { self->read_later(self); })) return;
      }
      refused_.reset();
    }
  } catch (const Error&) {
    return;  // nothing more will come
  } catch (const std::exception& problem) {
    return give_up(problem);
  }
  start();
}

// The agent drops what it cannot send: its tasks are not held up.
void OutputReader::give_up(const std::exception& problem) noexcept {
  trace::log("gateway ", gateway_, ": output is read no more: ", problem.what());
  try {
    connection_->close(channel_);
  } catch (const std::exception& failure) {
    trace::log("gateway ", gateway_, ": its output was not closed: ", failure.what());
  }
}

std::optional<Output> OutputReader::decode(InItem item) const {
  try {
    const Value value =
        item.kind == ItemKind::integer ? Value(item.integer) : decode_item(item.kind, std::move(item.payload), nullptr);
    const Tuple& told = value.as_tuple();
    const std::int64_t channel = told.at(0).as_int();
    const std::int64_t stream = told.at(1).as_int();
    const Bytes& text = told.at(2).as_bytes();
    if (channel >= 0 && channel <= std::numeric_limits<std::uint32_t>::max() && (stream == 1 || stream == 2))
      return Output{gateway_, static_cast<std::uint32_t>(channel), static_cast<OutputStream>(stream),
                    std::string(reinterpret_cast<const char*>(text.data()), text.size())};
  } catch (const std::exception& problem) {
    trace::log("gateway ", gateway_, ": output that is none: ", problem.what());
  }
  return {};
}

}  // namespace gangway::detail
