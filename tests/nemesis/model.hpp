// What may arrive on a channel: per lane, a prefix of what was sent, in order; nothing after
// the end; everything, if the end was a good one. Pure; the caller serialises the calls.
//
// Each member that learns something returns a Verdict: empty, or what is wrong, as a
// sentence.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "tests/nemesis/item.hpp"

namespace gangway::nemesis {

using Verdict = std::string;

/// One: whoever receives waits for the others, so every item is the next one. Many: items
/// are told here in any order, and a gap only shows when all have been told.
enum class Readers { one, many };

/// One sender on one channel.
class Lane {
 public:
  /// The number of the next item, which may arrive from now on.
  std::uint32_t begin() { return begun_++; }
  /// The last one begun was not sent after all; its number will be used again.
  [[nodiscard]] Verdict withdrawn();
  /// The send of the oldest one that was not known to be sent returned.
  void sent() { ++sent_; }
  /// The far side is the sender, and will send so many.
  void announce(std::uint32_t count) { begun_ = count; }
  [[nodiscard]] Verdict received(std::uint32_t number, Readers readers);
  /// All have been told: there must be no gap.
  [[nodiscard]] Verdict no_gap() const;

  [[nodiscard]] std::uint32_t begun() const { return begun_; }
  [[nodiscard]] std::uint32_t known_to_be_sent() const { return sent_; }
  [[nodiscard]] std::uint32_t arrived() const { return next_ + static_cast<std::uint32_t>(early_.size()); }

 private:
  std::uint32_t begun_ = 0;
  std::uint32_t sent_ = 0;
  std::uint32_t next_ = 0;         // all below have arrived
  std::set<std::uint32_t> early_;  // arrived, though not all below
};

/// How a receive or waitclose ended.
enum class End {
  clean,         // EndOfChannel
  remote_error,  // RemoteError
  lost,          // ConnectionLost
};

/// What has been done to the channel or its gateway by the time of an end.
struct Circumstances {
  bool closed_here = false;
  bool gateway_harmed = false;  // killed, crashed, terminated, exited
  bool interrupted = false;
  bool one_task_only = false;  // execmodel=main_thread_only: refuses others meanwhile
};

class ChannelModel {
 public:
  /// What the far side does last, if nobody disturbs it.
  enum class Farewell { none, report, error };
  using Counts = std::map<std::uint32_t, std::uint32_t>;  // lane: items

  ChannelModel(Readers readers, Farewell farewell) : readers_(readers), farewell_(farewell) {}

  [[nodiscard]] Readers readers() const { return readers_; }
  [[nodiscard]] Lane& lane(std::uint32_t id) { return lanes_[id]; }
  [[nodiscard]] bool over() const { return over_; }

  // `began_after_end`: the call that gave this began when an end had been seen already.
  [[nodiscard]] Verdict item(Numbered which, bool began_after_end);
  /// The far side's count of what it sent back (or sent) per lane, its last word.
  [[nodiscard]] Verdict report(Counts counts, bool began_after_end);
  [[nodiscard]] Verdict ended(End end, const std::string& text, Circumstances circumstances);
  /// A waitclose has raised the remote error; items may still be queued.
  [[nodiscard]] Verdict error_taken(const std::string& text, Circumstances circumstances);
  /// A callback got its end marker; `text` is the channel's error, if it has one.
  [[nodiscard]] Verdict end_marked(const std::string& text, Circumstances circumstances);
  /// Nothing came in time. `after_waitclose`: the call began after a waitclose had returned.
  [[nodiscard]] Verdict timed_out(bool began_after_end, bool after_waitclose) const;
  /// A send came through.
  [[nodiscard]] Verdict sent(bool began_after_end);
  /// A send was refused, for good.
  void refused() { refused_ = true; }
  [[nodiscard]] bool is_refused() const { return refused_; }
  [[nodiscard]] bool is_stopped() const { return stopped_; }
  /// How many items of each lane are known to be sent.
  [[nodiscard]] Counts known_to_be_sent() const;
  /// The far side was asked to stop and report; before that these had been sent. The first
  /// time counts.
  void stopped(Counts before);
  /// All that arrived has been told.
  [[nodiscard]] Verdict settled() const;

 private:
  [[nodiscard]] Verdict error_seen(const std::string& text, Circumstances circumstances);

  const Readers readers_;
  const Farewell farewell_;
  std::map<std::uint32_t, Lane> lanes_;
  Counts least_;  // what the report must at least have
  Counts reported_;
  bool stopped_ = false;
  bool has_report_ = false;
  bool has_error_ = false;
  bool error_taken_ = false;  // raised; a callback only sees it
  bool over_ = false;
  bool marked_ = false;     // with an end marker
  bool over_well_ = false;  // by the far side, undisturbed
  bool refused_ = false;
};

}  // namespace gangway::nemesis
