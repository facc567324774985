// Group: gateways that are started, found and ended together.
//
// The native agents of a group on this machine, from the second on, are forked from a process
// that has started Python already, where that makes no difference but in time;
// GANGWAY_WARM=0 in the environment forbids it (spec-docs/bootstrap.md).
//
// Safe to use from any thread. The destructor terminates what is left, with a timeout of
// one second; so does the default group's at the end of the program.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gangway/gateway.hpp>

namespace gangway {

/// What Group::terminate had to do. Empty lists: everybody went when asked.
struct TerminateReport {
  std::vector<std::string> killed;     // ids of those that had to be killed
  std::vector<std::string> survivors;  // "gw3 (pid 4711)": not even that helped, or was not allowed
};

class Group {
 public:
  Group();
  /// terminate(1 s), unless this is a forked child.
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  /// Starts a gateway and waits for its handshake. Throws SpecError, StartError, and Error
  /// (group_error) for an id that is in use.
  Gateway makegateway(std::string_view spec = "popen");
  Gateway makegateway(XSpec spec);
  /// Starts all of them, limits::parallel_starts at a time. If one fails, the others are
  /// ended again and its error is thrown.
  std::vector<Gateway> makegateways(const std::vector<std::string>& specs);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// The living gateways in the order in which they were made.
  [[nodiscard]] std::vector<Gateway> gateways() const;
  [[nodiscard]] std::vector<Gateway>::size_type count(std::string_view id) const;
  /// Throws Error (group_error) for an unknown id or index.
  [[nodiscard]] Gateway at(std::string_view id) const;
  [[nodiscard]] Gateway at(std::size_t index) const;

  /// Gives the spec the next free "gw" + number, unless it has an id.
  void allocate_id(XSpec& spec);

  /// Ends every gateway: asks, waits up to the timeout, kills. Returns within the timeout
  /// plus two seconds; without a timeout it waits for ever and never kills. Gateways that
  /// were exited before are waited for as well. Idempotent.
  TerminateReport terminate(std::optional<std::chrono::nanoseconds> timeout = {});

 private:
  struct State;
  [[nodiscard]] std::shared_ptr<detail::GatewayState> launch(XSpec& spec);
  static void leave(const std::weak_ptr<State>& state, const std::string& id);

  std::shared_ptr<State> state_;
};

/// The group that makegateway uses. Terminated at the end of the program.
[[nodiscard]] Group& default_group();

/// default_group().makegateway(spec)
Gateway makegateway(std::string_view spec = "popen");

}  // namespace gangway
