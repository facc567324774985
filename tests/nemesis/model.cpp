#include "tests/nemesis/model.hpp"

#include <utility>

namespace gangway::nemesis {

namespace {

std::string name(std::uint32_t lane, std::uint32_t number) {
  return "item " + std::to_string(number) + " of lane " + std::to_string(lane);
}

std::string items(std::uint32_t lane, std::uint32_t count) {
  return std::to_string(count) + " items of lane " + std::to_string(lane);
}

// What far_side.py puts before what it has found.
constexpr const char* found_by_far_side = "nemesis: ";
constexpr const char* interrupted_task = "eyboard";  // keyboard-interrupted, or KeyboardInterrupt in a traceback
constexpr const char* refused_task = "concurrent remote_exec would cause deadlock";  // by main_thread_only

}  // namespace

Verdict Lane::withdrawn() {
  --begun_;
  if (next_ > begun_ || early_.contains(begun_))
    return "number " + std::to_string(begun_) + " arrived, though its send said that nothing was sent";
  return {};
}

Verdict Lane::received(std::uint32_t number, Readers readers) {
  const std::string text = "number " + std::to_string(number);
  if (number >= begun_) return text + " arrived, and only " + std::to_string(begun_) + " were sent";
  if (number < next_ || early_.contains(number)) return text + " arrived twice";
  if (readers == Readers::one && number != next_)
    return text + " arrived, and number " + std::to_string(next_) + " did not before it";
  early_.insert(number);
  while (early_.erase(next_) > 0) ++next_;
  return {};
}

Verdict Lane::no_gap() const {
  if (early_.empty()) return {};
  return "number " + std::to_string(next_) + " is lost: number " + std::to_string(*early_.begin()) + " arrived";
}

Verdict ChannelModel::item(Numbered which, bool began_after_end) {
  const auto lane = lanes_.find(which.lane);
  if (lane == lanes_.end()) return name(which.lane, which.number) + " is not of this channel";
  if (began_after_end) return name(which.lane, which.number) + " arrived after the end";
  if (readers_ == Readers::one && has_report_) return name(which.lane, which.number) + " arrived after the last word";
  auto problem = lane->second.received(which.number, readers_);
  return problem.empty() ? problem : "lane " + std::to_string(which.lane) + ": " + problem;
}

Verdict ChannelModel::report(Counts counts, bool began_after_end) {
  if (began_after_end) return "the report arrived after the end";
  if (has_report_) return "a second report";
  has_report_ = true;
  reported_ = std::move(counts);
  for (const auto& [id, count] : reported_)
    if (count > lanes_[id].begun())
      return "the far side got " + items(id, count) + ", and only " + std::to_string(lanes_[id].begun()) + " were sent";
  return readers_ == Readers::one ? settled() : Verdict();
}

Verdict ChannelModel::ended(End end, const std::string& text, Circumstances circumstances) {
  over_ = true;
  if (end == End::remote_error) return error_taken(text, circumstances);
  if (end == End::lost)
    return circumstances.gateway_harmed ? Verdict() : "the connection is lost, and nobody harmed the gateway: " + text;
  over_well_ = over_well_ || (!circumstances.closed_here && !circumstances.gateway_harmed);
  return readers_ == Readers::one ? settled() : Verdict();
}

Verdict ChannelModel::error_taken(const std::string& text, Circumstances circumstances) {
  if (std::exchange(error_taken_, true)) return "the remote error came twice: " + text;
  return error_seen(text, circumstances);
}

Verdict ChannelModel::error_seen(const std::string& text, Circumstances circumstances) {
  has_error_ = true;
  if (text.find(found_by_far_side) != text.npos) return "the far side reports: " + text;
  if (circumstances.interrupted && text.find(interrupted_task) != text.npos) return {};
  if (circumstances.one_task_only && text.find(refused_task) != text.npos) return {};
  if (farewell_ != Farewell::error && !circumstances.gateway_harmed && !circumstances.closed_here)
    return "an unexpected remote error: " + text;
  return {};
}

Verdict ChannelModel::end_marked(const std::string& text, Circumstances circumstances) {
  if (marked_) return "a second end marker";
  marked_ = over_ = true;
  if (text.empty()) return ended(End::clean, text, circumstances);
  return circumstances.gateway_harmed ? Verdict() : error_seen(text, circumstances);
}

Verdict ChannelModel::timed_out(bool began_after_end, bool after_waitclose) const {
  if (began_after_end) return "a receive timed out after the end";
  if (after_waitclose) return "a receive timed out after waitclose had returned";
  return {};
}

Verdict ChannelModel::sent(bool began_after_end) {
  if (began_after_end) return "a send came through after the end";
  return {};
}

ChannelModel::Counts ChannelModel::known_to_be_sent() const {
  Counts counts;
  for (const auto& [id, lane] : lanes_) counts[id] = lane.known_to_be_sent();
  return counts;
}

void ChannelModel::stopped(Counts before) {
  if (std::exchange(stopped_, true)) return;
  least_ = std::move(before);
}

Verdict ChannelModel::settled() const {
  const auto count = [](const Counts& counts, std::uint32_t id) {
    const auto at = counts.find(id);
    return at == counts.end() ? 0 : at->second;
  };
  for (const auto& [id, lane] : lanes_) {
    if (auto problem = lane.no_gap(); !problem.empty()) return "lane " + std::to_string(id) + ": " + problem;
    if (!has_report_) continue;
    const std::uint32_t reported = count(reported_, id);
    if (lane.arrived() != reported)
      return items(id, lane.arrived()) + " arrived, and the far side sent " + std::to_string(reported);
    if (reported < count(least_, id))
      return "the far side got " + items(id, reported) + ", and " + std::to_string(count(least_, id)) +
             " were sent before it was asked to stop";
  }
  if (!over_well_) return {};
  if (farewell_ == Farewell::report && !has_report_ && !has_error_)
    return "the channel ended without a word of what had arrived";
  if (farewell_ == Farewell::error && !has_error_) return "the channel ended without the error";
  return {};
}

}  // namespace gangway::nemesis
