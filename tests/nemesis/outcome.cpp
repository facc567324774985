#include "tests/nemesis/outcome.hpp"

namespace gangway::nemesis {

Outcome Outcome::of(boost::system::error_code error, const std::string& text) {
  if (!error) return {};
  const std::string what = text.empty() ? error.message() : text;
  if (error == errc::timed_out) return {timed_out, what};
  if (error == errc::cancelled) return {cancelled, what};
  if (error == errc::end_of_channel) return {clean_end, what};
  if (error == errc::channel_closed) return {closed, what};
  if (error == errc::remote_error) return {remote_error, what};
  if (error == errc::connection_lost || error == errc::terminated) return {lost, what};
  if (error == errc::has_callback) return {has_callback, what};
  return {unexpected, error.message() + ": " + what};
}

std::string to_string(const Outcome& outcome) {
  static constexpr const char* names[] = {"done",         "timed out", "cancelled", "the end",   "closed",
                                          "remote error", "lost",      "refused",   "unexpected"};
  constexpr std::size_t shown = 300;
  std::string text = names[outcome.kind];
  if (!outcome.text.empty()) text += ": " + outcome.text.substr(0, shown);
  return text;
}

}  // namespace gangway::nemesis
