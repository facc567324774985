#include "gateways/bootstrap.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "agent_bundle.hpp"
#include "channels/capabilities.hpp"
#include "core/escape.hpp"
#include "core/trace.hpp"
#include "core/utf8.hpp"
#include "gateways/agent_path.hpp"
#include "gateways/remote_command.hpp"

namespace gangway::detail {

namespace {

constexpr std::int64_t protocol_major = 1;
constexpr std::int64_t protocol_minor = 0;
constexpr std::string_view version = "0.1.0";

// Where there is no native agent and the spec does not name an interpreter.
constexpr std::string_view usual_python = "python3";

// What a shell or exec gives back when there is no such program, or it cannot be run.
constexpr int exit_not_found = 127;
constexpr int exit_not_executable = 126;

std::string text_of(const Dict& hello, std::string_view key) {
  const Value* const value = hello.find(key);
  return value != nullptr && value->is_str() ? escape_for_display(value->as_str()) : std::string();
}

std::int64_t int_of(const Dict& hello, std::string_view key, std::int64_t otherwise) {
  const Value* const value = hello.find(key);
  return value != nullptr && value->is_int() ? value->as_int() : otherwise;
}

ExecModel execmodel_of(const XSpec& spec) { return spec.execmodel().value_or(ExecModel::thread); }

// A process on this machine that is to be the program's own interpreter, whichever agent that has.
bool is_own_interpreter(const XSpec& spec) {
  return spec.kind() == TransportKind::popen && !spec.has("via") && spec.python_command().empty();
}

bool is_bare(const XSpec& spec) { return spec.isolated() || spec.no_site(); }

// What Python reads on its command line.
std::vector<std::string> python_options(const XSpec& spec) {
  std::vector<std::string> options;
  if (spec.dont_write_bytecode()) options.emplace_back("-B");
  if (spec.isolated()) options.emplace_back("-I");
  if (spec.no_site()) options.emplace_back("-S");
  return options;
}

}  // namespace

Bootstrap::Bootstrap(const XSpec& spec, NativeAgent native, std::string cookie)
    : spec_(spec), native_(std::move(native)), cookie_(std::move(cookie)), nonce_(make_nonce()) {
  // Ask for every value now: a bad one must not be found after the process has started.
  (void)hello();
  (void)settings();
  (void)spec.keepalive();
  (void)spec.connect_timeout();
  const std::vector<std::string> options = python_options(spec);
  if (is_served(spec)) {
    constexpr const char* chosen = "the server has chosen its interpreter already";
    if (spec.has("python")) spec.reject("python", chosen);
    if (spec.isolated()) spec.reject("isolated", chosen);
    if (spec.no_site()) spec.reject("no_site", chosen);
    return;
  }
  if (is_native(spec)) {
    argv_ = native_.command.empty() ? std::vector{native_agent_path()} : native_.command;
    argv_.insert(argv_.begin() + 1, options.begin(), options.end());
    return;
  }
  argv_ = is_own_interpreter(spec) ? native_.interpreter : spec.python_command();
  if (argv_.empty() && is_own_interpreter(spec))
    spec.reject("execmodel", "the native agent has no green threads; python=python3 takes an interpreter that has " +
                                 std::string(to_string(execmodel_of(spec))));
  if (argv_.empty()) argv_ = {std::string(usual_python)};
  const std::size_t interpreter = argv_.size();
  argv_.emplace_back("-u");
  argv_.insert(argv_.end(), options.begin(), options.end());
  argv_.emplace_back("-c");
  // On this machine: not deflated, and compiled already for the likeliest interpreter.
  const bool local = spec.kind() == TransportKind::popen && !spec.has("via");
  argv_.emplace_back(local ? portable_local_stage0 : portable_stage0);
  first_bytes_ = local ? portable_local_bundle : portable_bundle;
  arguments_ = argv_.size() - interpreter;
}

// The native agent waits in C++, which no hub of green threads knows of.
bool Bootstrap::is_native(const XSpec& spec) {
  const ExecModel model = execmodel_of(spec);
  return is_own_interpreter(spec) && model != ExecModel::gevent && model != ExecModel::eventlet;
}

bool Bootstrap::is_served(const XSpec& spec) {
  const TransportKind kind = spec.kind();
  return kind == TransportKind::socket || kind == TransportKind::unix_socket;
}

// Paths in these may be relative, and are resolved when the interpreter starts: after chdir in a
// fresh process, before it in a fork.
bool Bootstrap::may_be_forked() const {
  constexpr std::array paths{"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX"};
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  return is_native(spec_) && !(spec_.chdir() && std::any_of(paths.begin(), paths.end(), is_set));
}

Value Bootstrap::hello() const {
  Dict hello{
      {"protocol", Tuple{protocol_major, protocol_minor}},
      {"version", version},
      {"max_frame", static_cast<std::int64_t>(limits::frame_accepted)},
      {"max_item", spec_.max_item()},
      {"capabilities", List{"arrays"}},
      {"nonce", Bytes(std::span<const std::byte>(nonce_))},
      {"id", spec_.id().value_or("")},
      {"window", spec_.window()},
      {"max_channels", static_cast<std::int64_t>(limits::peer_channels)},
      {"execmodel", to_string(execmodel_of(spec_))},
      {"debug", trace::level()},
  };
  if (const auto streams = output_streams(); !streams.empty()) {
    List names;
    for (const OutputStream stream : streams) names.push_back(stream == OutputStream::out ? "stdout" : "stderr");
    hello["output"] = Dict{{"channel", static_cast<std::int64_t>(output_channel)}, {"streams", std::move(names)}};
  }
  if (const auto chdir = spec_.chdir()) hello["chdir"] = *chdir;
  if (const auto nice = spec_.nice()) hello["nice"] = *nice;
  if (is_own_interpreter(spec_) && !is_bare(spec_) && !native_.sys_path.empty())
    hello["sys_path"] = List(native_.sys_path.begin(), native_.sys_path.end());
  // Programs like sudo clean the environment, and we do not know what command= names.
  const bool needs_cookie = spec_.kind() == TransportKind::command && !cookie_.empty();
  if (!spec_.env().empty() || needs_cookie) {
    Dict env;
    if (needs_cookie) env["GANGWAY_COOKIE"] = cookie_;
    // A part without "=" is the text "True", as os.environ takes no other type.
    for (const auto& [name, value] : spec_.env()) {
      if (!is_utf8(name) || !is_utf8(value.value_or("")))
        spec_.reject("env:" + name, "the variable " + name + " is not UTF-8");
      env[name] = value.value_or("True");
    }
    hello["env"] = std::move(env);
  }
  return hello;
}

std::vector<OutputStream> Bootstrap::output_streams() const {
  std::vector<OutputStream> streams;
  if (spec_.stdout_mode() != OutputMode::null) streams.push_back(OutputStream::out);
  if (spec_.stderr_mode() != OutputMode::inherit) streams.push_back(OutputStream::err);
  return streams;
}

Multiplexer::Settings Bootstrap::settings() const {
  Multiplexer::Settings settings;
  settings.window = spec_.window();
  settings.max_item = spec_.max_item();
  return settings;
}

std::optional<std::string> Bootstrap::on_hello(const Value& value) {
  failure_ = errc::bootstrap_failed;
  if (!value.is_dict()) return "the agent's HELLO is not a dict";
  const Dict& hello = value.as_dict();
  info_ = {text_of(hello, "agent"),          text_of(hello, "version"),    text_of(hello, "python"),
           text_of(hello, "implementation"), text_of(hello, "executable"), int_of(hello, "pid", 0)};
  const Value* const protocol = hello.find("protocol");
  const bool has_protocol = protocol != nullptr && protocol->is_tuple() && protocol->as_tuple().size() == 2 &&
                            protocol->as_tuple()[0].is_int();
  if (!has_protocol) return "the agent's HELLO names no version of the protocol";
  if (protocol->as_tuple()[0].as_int() != protocol_major) {
    failure_ = errc::version_mismatch;
    return "the agent (" + info_.version + ") speaks version " + to_string(*protocol) +
           " of the protocol, this side (" + std::string(version) + ") version " + std::to_string(protocol_major) +
           "." + std::to_string(protocol_minor);
  }
  if (const std::string error = text_of(hello, "error"); !error.empty()) return "the agent cannot serve: " + error;
  peer_max_item_ = static_cast<std::uint64_t>(
      std::max<std::int64_t>(1, int_of(hello, "max_item", static_cast<std::int64_t>(limits::item))));
  peer_arrays_ = has_capability(hello, "arrays");
  failure_ = {};
  return {};
}

ConnectionEnd Bootstrap::explain(ConnectionEnd end, std::string_view noise) const {
  const TransportKind kind = spec_.kind();
  const std::string interpreter = argv_.empty() ? "the agent" : spec_.python().value_or(argv_.front());
  // What leads there, where something does: it may be the one that failed.
  const std::string program = kind == TransportKind::popen
                                  ? interpreter
                                  : std::string(to_string(kind)) + "=" + spec_.get(to_string(kind)).value_or("");
  if (failure_) {  // what on_hello said, not an error of the protocol
    constexpr std::string_view prefix = "protocol error: ";
    end.code = failure_;
    if (end.text.starts_with(prefix)) end.text.erase(0, prefix.size());
  }
  if (end.code == errc::protocol_error) end.code = errc::bootstrap_failed;  // what was started is no agent
  if (const auto search = discovery_failure(end.death.stderr_tail); search && !failure_) {
    end.code = search->code;
    end.text = program + ": " + escape_for_display(search->text);
  } else if (end.code == errc::connection_lost) {
    end.code = errc::bootstrap_failed;
    if (end.death.exit_status == exit_not_found)
      end.text = "no Python found: " + interpreter + " (exit status 127)";
    else if (end.death.exit_status == exit_not_executable)
      end.text = interpreter + " cannot be executed (exit status 126)";
    else
      end.text =
          program + " ended before it answered" + (end.death.known() ? ": " + end.death.summary() : std::string());
  }
  if (end.code == errc::bootstrap_failed && end.death.exit_status == exit_not_found) end.code = errc::python_not_found;
  if (end.code == errc::bootstrap_failed && is_refusal(end.death, noise)) {
    end.code = errc::shell_refused;
    end.text = program + ": the login shell did not run the command: " + end.death.summary();
  }
  if (const auto hop = spec_.via()) end.text = "at its hop " + *hop + ": " + end.text;
  end.text += shown_noise(noise);
  return end;
}

// A session that has a word to say instead (no login, backups only), or runs something else (sftp only), or
// a restricted shell. An interpreter that was found by search says on stderr why it ends, in words of its own: a
// banner may stand there, too.
bool Bootstrap::is_refusal(const DeathRecord& death, std::string_view noise) const {
  const TransportKind kind = spec_.kind();
  const bool by_shell = kind == TransportKind::ssh || kind == TransportKind::vagrant_ssh || kind == TransportKind::su;
  if (!by_shell || !death.exit_status) return false;
  for (const char* const words : {"Traceback (most recent call last)", "Fatal Python error", "gangway: "})
    if (death.stderr_tail.find(words) != std::string::npos) return false;
  if (death.exit_status != 0 && !noise.empty()) return true;
  if (death.stderr_tail.find(": exec: restricted") != std::string::npos) return true;
  return kind == TransportKind::ssh && !spec_.has("python");
}

std::string Bootstrap::shown_noise(std::string_view noise) {
  return noise.empty() ? std::string() : "\nit wrote: " + escape_for_display(noise.substr(0, 200));
}

}  // namespace gangway::detail
