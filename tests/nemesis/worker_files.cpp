// What workers do with channels that are files.
#include "tests/nemesis/worker.hpp"

namespace gangway::nemesis {

namespace {

constexpr std::string_view report = "report ";  // and the number of lines: the far side's last word

Outcome write(Files& files, std::string_view text) {
  return attempt([&] {
    if (files.binary)
      files.sink.write(Bytes(text));
    else
      files.sink.write(text);
  });
}

}  // namespace

// In pieces, of which only the last one has the line feed.
bool Worker::write_line(const ConversationPtr& talk, const Operation& operation) {
  const Turn turn = Turn::take(talk->sending[0]);
  const Turn for_ever = Turn::take(world_.sends_for_ever);  // a file has no deadlines
  if (!turn || !for_ever) return false;
  const bool over = talk->over();
  const std::uint32_t lane = talk->lanes[0];
  const Numbered which{lane, talk->ask([&](ChannelModel& model) { return model.lane(lane).begin(); })};
  const std::string line = make_item(Form::text, which, 1 + operation.size / 16).as_str() + "\n";
  const std::string what = "line " + std::to_string(which.number);
  talk->history.note("-> " + what + " (" + std::to_string(line.size()) + " bytes)");
  const auto call = watch("write " + what, talk->host, talk, {});
  const std::size_t cut = operation.other % line.size();
  Outcome outcome = write(*talk->files, std::string_view(line).substr(0, cut));
  if (outcome) outcome = write(*talk->files, std::string_view(line).substr(cut));
  if (!outcome) talk->history.note("-> " + what + ": " + to_string(outcome));
  sent(*talk, lane, outcome, over);
  if (outcome) ++world_.items_sent;
  return outcome.kind == Outcome::done;
}

// Only when something has to come, since it waits for it.
bool Worker::read_line(const ConversationPtr& talk) {
  const Turn turn = Turn::take(talk->receiving);
  const bool due = talk->closed_here || talk->host->harmed() || talk->ask([&](ChannelModel& model) {
    const Lane& lane = model.lane(talk->lanes[0]);
    return model.over() || model.is_stopped() || lane.known_to_be_sent() > lane.arrived();
  });
  const Turn for_ever = Turn::take(world_.waits_for_ever);
  if (!turn || !due || !for_ever) return false;
  const bool over = talk->over();
  const auto call = watch("readline", talk->host, talk, {});
  std::string line;
  const Outcome outcome = attempt([&] { line = talk->files->source.readline(); });
  if (!outcome || line.empty()) {
    const Outcome end = outcome ? Outcome{Outcome::clean_end, ""} : outcome;
    talk->history.note("readline: " + to_string(end));
    ended(*talk, end, over, false);
    return false;
  }
  if (line.back() != '\n') {  // the far side writes whole lines, if it is left alone
    if (!talk->closed_here && !talk->host->harmed() && !talk->interrupted)
      talk->violated("a line without its end: " + line.substr(0, 200));
    return false;
  }
  line.pop_back();
  if (line.starts_with(report)) {
    talk->history.note("<- " + line);
    const auto count = static_cast<std::uint32_t>(std::stoul(line.substr(report.size())));
    talk->learn([&](ChannelModel& model) { return model.report({{talk->lanes[0], count}}, over); });
  } else if (const auto which = read_item(Value(line))) {
    ++world_.items_received;
    talk->history.note("<- line " + std::to_string(which->number));
    talk->learn([&](ChannelModel& model) { return model.item(*which, over); });
  } else {
    talk->violated("a damaged line: " + line.substr(0, 200));
  }
  return true;
}

void Worker::stop_lines(const ConversationPtr& talk) {
  const Turn turn = Turn::take(talk->sending[0]);
  const Turn for_ever = Turn::take(world_.sends_for_ever);
  if (!turn || !for_ever) return;
  const auto before = talk->ask([](ChannelModel& model) { return model.known_to_be_sent(); });
  talk->history.note("-> stop, which asks for the report");
  const auto call = watch("write stop", talk->host, talk, {});
  const Outcome outcome = write(*talk->files, "stop\n");
  if (outcome)
    talk->learn([&](ChannelModel& model) {
      model.stopped(before);
      return Verdict();
    });
  else
    talk->history.note("-> stop: " + to_string(outcome));
  if (outcome.kind == Outcome::lost && !talk->host->harmed())
    talk->violated("a write failed, and nobody harmed the gateway: " + outcome.text);
}

void Worker::act_on_files(const ConversationPtr& talk, const Operation& operation) {
  switch (operation.action) {
    case Action::send:
    case Action::try_send:
    case Action::async_send: (void)write_line(talk, operation); break;
    case Action::send_many:
      for (std::uint32_t i = 0; i < operation.count && write_line(talk, operation); ++i) {
      }
      break;
    case Action::receive:
    case Action::async_receive:
    case Action::receive_for_ever: (void)read_line(talk); break;
    case Action::receive_some:
      for (std::uint32_t i = 0; i < operation.count && read_line(talk); ++i) {
      }
      break;
    case Action::waitclose: (void)waitclose(talk, operation.time); break;
    case Action::stop: stop_lines(talk); break;
    case Action::close:
    case Action::close_with_error: close(talk, operation); break;
    case Action::drop: drop(talk); break;
    case Action::interrupt: interrupt(talk, operation); break;
    default: break;  // nobody else receives here, and only lines are understood
  }
}

}  // namespace gangway::nemesis
