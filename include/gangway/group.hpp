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
#include <exception>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gangway/gateway.hpp>
#include <gangway/multi_channel.hpp>
#include <gangway/native_agent.hpp>
#include <gangway/ssh.hpp>

namespace gangway {

/// What Group::terminate had to do. Empty lists: everybody went when asked.
struct TerminateReport {
  std::vector<std::string> killed;     // ids of those that had to be killed
  std::vector<std::string> survivors;  // "gw3 (pid 4711)": not even that helped, or was not allowed
};

/// What Group::start_each made of a spec.
struct Started {
  std::string id;
  Gateway gateway;           // refers to none when it failed
  std::exception_ptr error;  // what makegateway would have thrown
};

/// In a forked child every call throws Error (terminated), but for terminate(), which does
/// nothing there.
class Group {
 public:
  Group();
  /// With a gateway for each spec, and this execution model for all of them. Throws as
  /// set_execmodel and makegateways.
  explicit Group(const std::vector<std::string>& specs, std::string_view execmodel = "thread");
  /// terminate(1 s), unless this is a forked child.
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  /// What an empty spec stands for; "popen" at first.
  [[nodiscard]] std::string defaultspec() const;
  /// Throws SpecError for what is no spec.
  void set_defaultspec(std::string_view spec);

  /// Where tasks run, here and on the far side: `thread` at first. A spec without `execmodel`
  /// gets the remote one. (Here there are no tasks; the name is for those who ask.)
  [[nodiscard]] ExecModel execmodel() const;
  [[nodiscard]] ExecModel remote_execmodel() const;
  /// Sets both; the second is the first when it is left out. Throws SpecError for an unknown
  /// name and Error (group_error) when the group has members; then nothing changes.
  void set_execmodel(std::string_view execmodel, std::optional<std::string_view> remote_execmodel = {});

  /// Who is asked when an ssh login needs a password or a passphrase (ssh.hpp); null: $SSH_ASKPASS.
  void set_ssh_askpass(SshAskpass askpass);

  /// Starts a gateway and waits for its handshake. Throws SpecError, StartError, and Error
  /// (group_error) for an id that is in use. Several threads may start gateways at once.
  Gateway makegateway(std::string_view spec = {});
  Gateway makegateway(XSpec spec);
  /// Starts all of them, limits::parallel_starts at a time. If one fails, the others are
  /// ended again and its error is thrown.
  ///
  /// With `fanout` N this program starts the first N of them only, and each gateway starts N
  /// more through itself (`via`): hundreds of hosts come up in about log N of the time. Each of
  /// the first ones must be able to reach and log in to those behind it; what goes through a
  /// gateway occupies a task of it, so `execmodel=main_thread_only` carries one. Specs with
  /// `via`, and sockets, are started as they stand.
  std::vector<Gateway> makegateways(const std::vector<std::string>& specs, std::size_t fanout = 0);
  std::vector<Gateway> makegateways(std::span<const XSpec> specs, std::size_t fanout = 0);
  /// The same for those who go on without the ones that fail: one result for each spec. What was
  /// to go through one that failed, or that was lost meanwhile, goes through the next one above
  /// it, in the end directly. Throws SpecError for a spec without a kind.
  std::vector<Started> start_each(std::span<const XSpec> specs, std::size_t fanout = 0);

  /// What gateways to `popen` without python= run from now on; NativeAgent() at first.
  void set_native_agent(NativeAgent agent);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// The living gateways in the order in which they were made.
  [[nodiscard]] std::vector<Gateway> gateways() const;
  [[nodiscard]] bool contains(std::string_view id) const;
  [[nodiscard]] bool contains(const Gateway& gateway) const;
  /// Throws Error (group_error) for an unknown id or index.
  [[nodiscard]] Gateway at(std::string_view id) const;
  [[nodiscard]] Gateway at(std::size_t index) const;

  /// Gateway::remote_exec on every member; the channels are in the order of gateways(). Throws
  /// as that does, for the first member where it fails: the tasks of those before it have lost
  /// their channels then.
  MultiChannel remote_exec(std::string_view source);
  MultiChannel remote_exec(const Source& source, const Dict& kwargs = {});

  /// Gives the spec the next free "gw" + number, unless it has an id.
  void allocate_id(XSpec& spec);

  /// Ends every gateway: asks, waits up to the timeout, kills. Returns within the timeout
  /// plus two seconds; without a timeout it waits for ever and never kills. Gateways that
  /// were exited before are waited for as well. What the members wrote to their stderr has
  /// reached this process's then, unless that takes nothing.
  ///
  /// May be called again, and from several threads at once: each call waits for all, and
  /// reports what had to be done. A callback may call it, also one of a member: its channels
  /// end like all others, and callbacks that are due run after it. Throws Error
  /// (would_deadlock) on the thread that does the I/O, where no user code runs.
  TerminateReport terminate(std::optional<std::chrono::nanoseconds> timeout = {});

  /// <Group ['gw0', 'gw1']>
  friend std::ostream& operator<<(std::ostream& out, const Group& group);

 private:
  friend struct detail::GatewayAccess;
  struct State;
  [[nodiscard]] std::shared_ptr<detail::GatewayState> launch(XSpec& spec);
  [[nodiscard]] std::vector<Started> start(std::vector<XSpec> specs, std::size_t fanout, bool stop_at_failure);
  static void leave(const std::weak_ptr<State>& state, const std::string& id);

  std::shared_ptr<State> state_;
};

/// The group that makegateway uses. Terminated at the end of the program.
[[nodiscard]] Group& default_group();

/// default_group().makegateway(spec)
Gateway makegateway(std::string_view spec = {});

}  // namespace gangway
