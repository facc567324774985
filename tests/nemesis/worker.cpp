#include "tests/nemesis/worker.hpp"

#include <thread>

namespace gangway::nemesis {

namespace {

bool is_about_gateways(Action action) { return action >= Action::echo; }

}  // namespace

Watch::Call Worker::watch(std::string what, HostPtr host, ConversationPtr talk,
                          std::optional<std::chrono::milliseconds> timeout) {
  const auto now = Clock::now();
  std::optional<Clock::time_point> latest;
  if (timeout) latest = now + *timeout + slack;
  return {world_.watch, {name_ + ": " + std::move(what), std::move(host), std::move(talk), now, latest}};
}

void Worker::run() {
  History::name_thread(name_);
  while (!world_.stopping) {
    perform(generator_.next());
    ++operations_;
    std::this_thread::yield();
  }
}

void Worker::perform(const Operation& operation) {
  if (operation.action == Action::start) return start(operation);
  if (operation.action == Action::terminate) return terminate(operation);
  if (operation.action == Action::read_queue) return read_queue(operation);
  if (is_about_gateways(operation.action)) {
    if (const auto host = world_.pick_host(operation.pick)) act_on(host, operation);
  } else if (const auto talk = world_.pick_conversation(operation.pick)) {
    act_on(talk, operation);
  }
}

void Worker::act_on(const ConversationPtr& talk, const Operation& operation) {
  if (talk->files) return act_on_files(talk, operation);
  switch (operation.action) {
    case Action::send:
    case Action::try_send: (void)send(talk, operation); break;
    case Action::send_many: send_many(talk, operation); break;
    case Action::async_send: async_send(talk, operation); break;
    case Action::receive: (void)receive(talk, operation.time); break;
    case Action::receive_some:
      for (std::uint32_t i = 0; i < operation.count && receive(talk, operation.time); ++i) {
      }
      break;
    case Action::receive_for_ever:
      if (const auto turn = Turn::take(world_.waits_for_ever)) (void)receive(talk, {});
      break;
    case Action::async_receive: async_receive(talk, operation); break;
    case Action::waitclose: (void)waitclose(talk, operation.time); break;
    case Action::setcallback: set_callback(talk, operation); break;
    case Action::send_each: send_each(talk, operation); break;
    case Action::make_queue: make_queue(talk, operation); break;
    case Action::stop: stop(talk); break;
    case Action::close:
    case Action::close_with_error: close(talk, operation); break;
    case Action::drop: drop(talk); break;
    case Action::pass_channel: pass_channel(talk); break;
    case Action::ask_for_channel: ask_for_channel(talk, operation); break;
    case Action::interrupt: interrupt(talk, operation); break;
    default: break;
  }
}

void Worker::act_on(const HostPtr& host, const Operation& operation) {
  switch (operation.action) {
    case Action::ping:
    case Action::status: ask(host, operation); break;
    case Action::exit: end(host, operation); break;
    case Action::pause:
    case Action::kill:
    case Action::segfault: harm(host, operation); break;
    default: execute(host, operation); break;
  }
}

}  // namespace gangway::nemesis
