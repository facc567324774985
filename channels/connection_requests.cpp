// What one side asks the other about the connection itself, and who waits for the answer.
#include <algorithm>
#include <utility>

#include "channels/connection.hpp"

namespace gangway::detail {

struct Connection::Request {
  Request(Runtime& runtime, ControlKind of_kind) : waiter(runtime), kind(of_kind) {}
  Waiter waiter;
  const ControlKind kind;
  std::optional<Bytes> answer;
};

Bytes Connection::request(ControlKind kind, void (Multiplexer::*ask)(std::uint64_t), Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  if (end_) throw_end();
  check_may_wait();
  const std::uint64_t number = next_request_++;
  Request request(*runtime_, kind);
  if (kind != ControlKind::ping) on_need("status");  // a portable agent cannot ask while it answers
  (machine_.*ask)(number);
  requests_.emplace(number, &request);
  const bool notified = wait_for(lock, request.waiter, deadline);
  requests_.erase(number);
  if (request.answer) return std::move(*request.answer);
  if (end_) throw_end();
  throw_error(errc::timed_out, notified ? "no answer" : "the agent did not answer in time");
}

void Connection::answered(ControlKind kind, std::uint64_t number, Bytes answer) {
  const auto found = requests_.find(number);
  if (found == requests_.end() || found->second->kind != kind) return;  // nobody waits any more
  found->second->answer = std::move(answer);
  found->second->waiter.notify();
}

void Connection::wake_requests() {
  for (const auto& [number, request] : requests_) request->waiter.notify();
}

Value Connection::status(Deadline deadline) {
  return decode_pickle(request(ControlKind::status, &Multiplexer::request_status, deadline));
}

void Connection::ping(Deadline deadline) { (void)request(ControlKind::ping, &Multiplexer::ping, deadline); }

std::string Connection::stacks(Deadline deadline) {
  return std::string(request(ControlKind::stacks, &Multiplexer::request_stacks, deadline).view());
}

void Connection::send_ping() {
  if (fork_.in_child()) return;
  const std::lock_guard lock(mutex_);
  machine_.ping(0);
  write_out();
}

void Connection::reply_status(std::uint64_t number, const Value& answer) {
  const Bytes pickle = encode_pickle(answer);
  check_process();
  const std::lock_guard lock(mutex_);
  if (end_) return;
  machine_.reply_status(number, pickle.span());
  write_out();
}

void Connection::reply_stacks(std::uint64_t number, std::string_view text) {
  check_process();
  const std::lock_guard lock(mutex_);
  machine_.reply_stacks(number, text);
  write_out();
}

// --- parts

void Connection::send_part(std::string_view name, std::span<const std::byte> zlib) {
  check_process();
  if (name.empty() || name.size() > limits::part_name || 1 + name.size() + zlib.size() > limits::frame_sent)
    throw_error(errc::item_too_large, "part '" + std::string(name) + "' of " + std::to_string(zlib.size()) + " bytes");
  const std::lock_guard lock(mutex_);
  send_part_once(name, zlib);
  write_out();
}

void Connection::send_part_once(std::string_view name, std::span<const std::byte> zlib) {
  if (std::find(parts_.begin(), parts_.end(), name) != parts_.end()) return;
  machine_.part(name, zlib);
  parts_.emplace_back(name);
}

void Connection::need_part(std::string_view name) {
  check_process();
  if (name.empty() || name.size() > limits::part_name)
    throw_error(errc::item_too_large, "part with a name of " + std::to_string(name.size()) + " bytes");
  const std::lock_guard lock(mutex_);
  machine_.need(name);
  write_out();
}

// --- what the machine reports, with the mutex held

void Connection::on_pong(std::uint64_t cookie) {
  if (cookie != 0) return answered(ControlKind::ping, cookie, {});
  if (const auto owner = owner_.lock()) owner->on_pong();
}

void Connection::on_status(std::uint64_t number) {
  const auto owner = owner_.lock();
  if (!owner) return;
  if (const auto answer = owner->on_status(number, machine_.live()))
    machine_.reply_status(number, encode_pickle(*answer));
}

void Connection::on_status_reply(std::uint64_t number, std::span<const std::byte> pickle) {
  answered(ControlKind::status, number, Bytes(pickle));
}

void Connection::on_stacks(std::uint64_t number) {
  if (const auto owner = owner_.lock()) owner->on_stacks(number);
}

void Connection::on_stacks_reply(std::uint64_t number, std::string_view text) {
  answered(ControlKind::stacks, number, Bytes(text));
}

void Connection::on_part(std::string_view name, std::span<const std::byte> zlib) {
  if (const auto owner = owner_.lock()) owner->on_part(name, zlib);
}

void Connection::on_need(std::string_view name) {
  const auto owner = owner_.lock();
  const auto zlib = owner ? owner->on_need(name) : std::nullopt;
  if (zlib) send_part_once(name, zlib->span());
}

}  // namespace gangway::detail
