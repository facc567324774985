// ChannelFile: a channel that is used as a file, one way.
//
// Thread rule: one thread at a time, per file; the channel itself may be used by others.
// Lifetime: it holds the channel.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>

#include <gangway/channel.hpp>

namespace gangway {

class ChannelFile {
 public:
  /// "w": each write is an item. "r": the items are one text, or bytes if the first one is.
  /// With `proxyclose` close() closes the channel. Throws Error (bad_argument).
  ChannelFile(Channel channel, std::string_view mode = "w", bool proxyclose = false);

  /// One item. Throws as Channel::send; Error (bad_argument) when it is for reading.
  template <class T>
  void write(const T& item) {
    check_mode('w');
    channel_.send(item);
  }
  /// Nothing is held back.
  void flush() const noexcept {}

  /// So many characters of text, or bytes: waits until they are there, and gives what there
  /// is, "" at last, when the channel has ended. Throws RemoteError, ConnectionLost, and
  /// Error (bad_cast) for an item that does not go with the others; what was read before
  /// stays. Error (bad_argument) when it is for writing.
  [[nodiscard]] std::string read(std::size_t size);
  /// Up to and with the line feed, which only the last line may lack.
  [[nodiscard]] std::string readline();

  /// Closes the channel with proxyclose, else does nothing. Reading to the end calls it.
  void close();
  [[nodiscard]] bool isatty() const noexcept { return false; }

  /// <ChannelFile 1 open>
  friend std::ostream& operator<<(std::ostream& out, const ChannelFile& file);

 private:
  void check_mode(char mode) const;
  [[nodiscard]] bool read_more();
  [[nodiscard]] std::string take(std::size_t bytes);

  Channel channel_;
  char mode_;
  bool proxyclose_;
  bool ended_ = false;
  bool is_bytes_ = false;
  bool any_ = false;    // an item has come: is_bytes_ is settled
  std::string buffer_;  // read, and not given
};

}  // namespace gangway
