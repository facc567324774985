#include <gangway/channel_file.hpp>

#include <ostream>
#include <utility>

#include <gangway/error.hpp>

namespace gangway {

ChannelFile::ChannelFile(Channel channel, std::string_view mode, bool proxyclose)
    : channel_(std::move(channel)), mode_(mode.empty() ? '\0' : mode.front()), proxyclose_(proxyclose) {
  if (mode != "w" && mode != "r")
    throw_error(errc::bad_argument, "mode '" + std::string(mode) + "' of a channel's file: it is w or r");
}

void ChannelFile::check_mode(char mode) const {
  if (mode_ != mode)
    throw_error(errc::bad_argument, mode == 'w' ? "the file is for reading" : "the file is for writing");
}

// False at the end.
bool ChannelFile::read_more() {
  if (ended_) return false;
  Value item;
  try {
    item = channel_.receive();
  } catch (const ConnectionLost&) {
    throw;
  } catch (const EndOfChannel&) {
    ended_ = true;
    close();
    return false;
  }
  const bool is_bytes = item.kind() == Kind::bytes;
  if ((!is_bytes && item.kind() != Kind::str) || (any_ && is_bytes != is_bytes_))
    throw_error(errc::bad_cast, std::string("an item that is no ") + (any_ && is_bytes_ ? "bytes" : "text") +
                                    " on a channel that is read as a file");
  any_ = true;
  is_bytes_ = is_bytes;
  buffer_ += is_bytes ? item.as_bytes().view() : item.as_str();
  return true;
}

std::string ChannelFile::take(std::size_t bytes) {
  std::string rest = buffer_.substr(bytes);
  buffer_.resize(bytes);
  return std::exchange(buffer_, std::move(rest));
}

std::string ChannelFile::read(std::size_t size) {
  check_mode('r');
  std::size_t at = 0;  // behind the first `found` characters
  for (std::size_t found = 0;; ++found) {
    // Behind the one before, with its continuation bytes: items end between characters.
    while (!is_bytes_ && at < buffer_.size() && (static_cast<unsigned char>(buffer_[at]) & 0xc0) == 0x80) ++at;
    if (found == size) return take(at);
    while (at == buffer_.size())
      if (!read_more()) return take(at);
    ++at;
  }
}

std::string ChannelFile::readline() {
  check_mode('r');
  std::size_t searched = 0;
  for (;;) {
    const std::size_t at = buffer_.find('\n', searched);
    if (at != std::string::npos) return take(at + 1);
    searched = buffer_.size();
    if (!read_more()) return take(buffer_.size());
  }
}

void ChannelFile::close() {
  if (proxyclose_) channel_.close();
}

std::ostream& operator<<(std::ostream& out, const ChannelFile& file) {
  return out << "<ChannelFile " << file.channel_.id() << (file.channel_.isclosed() ? " closed>" : " open>");
}

}  // namespace gangway
