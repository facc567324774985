// What a hostile agent writes to a whole controller: its noise, its marker, its frames, its
// items, with channels open, receivers waiting, and the items decoded.
//
// Input: a byte of settings, a byte that seeds the pieces, the agent's stream.
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <future>
#include <random>
#include <span>
#include <thread>

#include <gangway/channel.hpp>

#include "channels/channel_handle.hpp"
#include "tests/support/script_stream.hpp"

namespace {

using namespace gangway;
using namespace gangway::detail;
using boost::system::error_code;

constexpr int own_channels = 3;
constexpr int most_channels = 32;

void require(bool condition) {
  if (!condition) std::abort();
}

class Owner final : public Connection::Owner {
 public:
  std::optional<std::string> on_hello(const Value& hello) override {
    if (!hello.is_dict()) return "no dict";
    return {};
  }
  void on_stream_end(ConnectionEnd end) override {
    require(!end.text.empty());
    require(end.code == errc::connection_lost || end.code == errc::protocol_error || end.code == errc::bootstrap_noise);
    connection.lock()->finish(std::move(end));
  }
  std::weak_ptr<Connection> connection;
};

/// Receives until the end, on every channel that comes along.
class Reader {
 public:
  void read(const Channel& channel) {
    if (++channels_ > most_channels) return;
    channels.push_back(channel);
    receive(channels.size() - 1);
    channels.back().async_waitclose(boost::asio::bind_executor(context, [](error_code) {}));
  }
  boost::asio::io_context context;
  std::vector<Channel> channels;

 private:
  void receive(std::size_t at) {
    channels[at].async_receive(boost::asio::bind_executor(context, [this, at](error_code error, const Value& value) {
      if (error == errc::bad_item || error == errc::bad_text || error == errc::too_deep || error == errc::bad_channel)
        return receive(at);
      if (error) return;
      if (value.kind() == Kind::channel) read(value_to<Channel>(value));
      receive(at);
    }));
  }
  int channels_ = 0;
};

}  // namespace

// A callback thread is not joined: what it still holds when the next input begins is no leak.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }  // NOLINT(bugprone-reserved-identifier)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr std::uint64_t windows[] = {1024, 65'536, limits::window, 0};
  Multiplexer::Settings settings;
  settings.window = windows[data[0] & 3];
  settings.max_item = 1024 * 1024;
  const bool greeted = (data[0] & 4) != 0;  // the stream begins behind marker and HELLO
  std::minstd_rand random(data[1]);
  const auto stream = std::as_bytes(std::span(data + 2, size - 2));

  const auto runtime = Runtime::create();
  const auto script = std::make_shared<gangway::testing::Script>(runtime->io());
  const auto give = [&](std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), 1 + random() % 3000));
      if (random() % 4 == 0) script->gives_nothing_now();
      script->gives(Bytes(piece));
      bytes = bytes.subspan(piece.size());
    }
  };
  const Nonce nonce{};
  if (greeted) {
    give(Bytes(marker_for(nonce)).span());
    const Bytes hello = encode_pickle(Dict{});
    std::array<std::byte, frame_header_size> header;
    store_header(header.data(),
                 {static_cast<std::uint8_t>(ControlKind::hello), static_cast<std::uint32_t>(hello.size()), 0});
    give(header);
    give(hello.span());
  }
  give(stream);

  const auto owner = std::make_shared<Owner>();
  auto connection =
      std::make_shared<Connection>(runtime, std::make_unique<gangway::testing::ScriptStream>(script), settings);
  owner->connection = connection;
  Reader reader;
  for (int i = 0; i < own_channels; ++i) {
    Channel channel = value_to<Channel>(Value(connection->channel(connection->open_channel()->id)));
    reader.read(channel);
    channel.async_send(i, boost::asio::bind_executor(reader.context, [](error_code) {}));
  }
  connection->start(owner, nonce, {}, Dict{});
  script->gives_end();
  require(connection->wait_finished(deadline_after(std::chrono::seconds(30))));
  reader.context.run();  // until every operation has completed
  require(connection->live_channels() == 0);
  require(connection->noise().size() <= limits::noise);
  for (const Channel& channel : reader.channels) require(channel.isclosed() || !channel.error_text().empty());
  require(script->closed());

  // Other threads let go of what they hold: else the next input starts beside this one.
  std::promise<void> through;
  boost::asio::post(connection->callbacks()->executor(), [&through] { through.set_value(); });
  through.get_future().wait();
  const std::weak_ptr<Connection> last = connection;
  connection.reset();
  reader.channels.clear();
  while (!last.expired()) std::this_thread::yield();
  return 0;
}
