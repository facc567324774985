#include "python/native/hello.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "channels/capabilities.hpp"
#include "core/frame.hpp"
#include "core/item_codec.hpp"

namespace gangway::python {

namespace {

using detail::frame_header_size;

// What the controller sends first is much smaller; what follows HELLO comes along.
constexpr std::size_t read_at_once = 16 * 1024;

[[noreturn]] void fail(const std::string& text) { throw_error(errc::protocol_error, text); }

void read_more(int fd, Bytes& received) {
  const std::size_t size = received.size();
  received.resize_uninitialized(size + read_at_once);
  for (;;) {
    const ssize_t count = ::read(fd, received.data() + size, read_at_once);
    if (count > 0) {
      received.resize_uninitialized(size + static_cast<std::size_t>(count));
      return;
    }
    if (count == 0) fail("the connection ended before HELLO");
    if (errno == EAGAIN || errno == EWOULDBLOCK) {  // whoever started us left it non-blocking
      pollfd wait{fd, POLLIN, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      fail(std::string("cannot read from the controller: ") + std::strerror(errno));
    }
  }
}

template <class T>
const T* find(const Dict& dict, const char* key) {
  const Value* const value = dict.find(key);
  return value == nullptr ? nullptr : value->get_if<T>();
}

std::uint64_t size_or(const Dict& dict, const char* key, std::uint64_t otherwise) {
  const auto* const number = find<std::int64_t>(dict, key);
  return number != nullptr && *number >= 0 ? static_cast<std::uint64_t>(*number) : otherwise;
}

std::string text_or(const Dict& dict, const char* key, const char* otherwise) {
  const auto* const text = find<std::string>(dict, key);
  return text == nullptr ? otherwise : *text;
}

OutputRequest parse_output(const Dict& dict) {
  OutputRequest output;
  output.channel = static_cast<std::uint32_t>(size_or(dict, "channel", 0));
  if (const auto* const streams = find<List>(dict, "streams"))
    for (const Value& stream : *streams) output.streams.push_back(stream.as_str());
  return output;
}

Hello parse(const Dict& dict) {
  Hello hello;
  const auto* const nonce = find<Bytes>(dict, "nonce");
  if (nonce == nullptr || nonce->size() != hello.nonce.size()) fail("HELLO without a nonce");
  std::copy(nonce->begin(), nonce->end(), hello.nonce.begin());
  hello.id = text_or(dict, "id", "gateway");
  hello.execmodel = text_or(dict, "execmodel", "thread");
  hello.settings.side = detail::Side::agent;
  hello.settings.window = size_or(dict, "window", 0);
  // The controller may execute code here: its limit may as well be ours.
  hello.settings.max_item = hello.peer_max_item = size_or(dict, "max_item", limits::item);
  hello.peer_arrays = detail::has_capability(dict, "arrays");
  hello.settings.own_channels = size_or(dict, "max_channels", limits::peer_channels);
  hello.settings.peer_channels = limits::live_channels;
  hello.debug = static_cast<int>(std::min<std::uint64_t>(size_or(dict, "debug", 0), 2));
  if (const auto* const output = find<Dict>(dict, "output")) hello.output = parse_output(*output);
  if (const auto* const path = find<std::string>(dict, "chdir")) hello.chdir = *path;
  if (const auto* const nice = find<std::int64_t>(dict, "nice")) hello.nice = *nice;
  if (const auto* const env = find<Dict>(dict, "env"))
    for (const auto& [name, value] : *env) hello.env.emplace_back(name.as_str(), value.as_str());
  if (const auto* const places = find<List>(dict, "sys_path"))
    for (const Value& place : *places) hello.sys_path.emplace_back(place.as_bytes().view());

  const auto* const protocol = find<Tuple>(dict, "protocol");
  if (protocol != nullptr && (protocol->empty() || !((*protocol)[0] == Value(1))))
    hello.refused = "protocol " + to_string(*protocol) + ": this agent speaks 1.0";
  else if (hello.execmodel != "thread" && hello.execmodel != "main_thread_only")
    hello.refused = "execmodel " + hello.execmodel + " is not known here";
  return hello;
}

// As str(OSError) with its type in front.
std::string os_error_text(int code, const std::string& path) {
  const char* name = "OSError";
  switch (code) {
    case ENOENT: name = "FileNotFoundError"; break;
    case EEXIST: name = "FileExistsError"; break;
    case ENOTDIR: name = "NotADirectoryError"; break;
    case EACCES:
    case EPERM: name = "PermissionError"; break;
    default: break;
  }
  std::string text = std::string(name) + ": [Errno " + std::to_string(code) + "] " + std::strerror(code);
  if (!path.empty()) text += ": " + to_string(path);
  return text;
}

}  // namespace

Hello read_hello(int fd, Bytes& received) {
  while (received.size() < frame_header_size) read_more(fd, received);
  const detail::FrameHeader header = detail::load_header(received.data());
  if (header.kind != static_cast<std::uint8_t>(detail::ControlKind::hello) || header.channel != 0 ||
      header.length > limits::frame_accepted)
    fail("this is not a Gangway controller: a HELLO frame was expected");
  while (received.size() < frame_header_size + header.length) read_more(fd, received);
  const Value value = detail::decode_pickle(std::as_const(received).span().subspan(frame_header_size, header.length));
  return parse(value.as_dict());
}

std::optional<std::string> settle(const Hello& hello) {
  for (const auto& [name, value] : hello.env)
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
        value.find('\0') != std::string::npos)
      return "ValueError: illegal environment variable " + to_string(name);
  if (hello.nice && *hello.nice != 0) {
    errno = 0;
    if (::nice(static_cast<int>(std::clamp<std::int64_t>(*hello.nice, -40, 40))) == -1 && errno != 0)
      return os_error_text(errno, "");
  }
  if (hello.chdir) {
    const char* const path = hello.chdir->c_str();
    struct stat status;
    const bool there = ::stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    if ((!there && ::mkdir(path, 0777) != 0) || ::chdir(path) != 0) return os_error_text(errno, *hello.chdir);
  }
  return {};
}

Value make_answer(const Hello& hello, const std::string& python_version, const std::string& executable) {
  Dict answer{
      {"protocol", Tuple{1, 0}},
      {"version", GANGWAY_VERSION},
      {"max_frame", limits::frame_accepted},
      {"max_item", hello.settings.max_item},
      {"capabilities", List{"arrays"}},
      {"agent", "native"},
      {"python", python_version},
      {"implementation", "cpython"},
      {"executable", executable},
      {"pid", static_cast<std::int64_t>(::getpid())},
  };
  if (hello.refused) answer["error"] = *hello.refused;
  return answer;
}

}  // namespace gangway::python
