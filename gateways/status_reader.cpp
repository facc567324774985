#include "gateways/status_reader.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "core/escape.hpp"

namespace gangway::detail {

namespace {

/// The int if it fits, else 0: nothing that an agent says is believed without looking.
std::uint64_t count_of(const Value& value) {
  return value.is_int() && value.as_int() > 0 ? static_cast<std::uint64_t>(value.as_int()) : 0;
}

std::uint32_t channel_of(const Value& value) {
  const std::uint64_t id = count_of(value);
  return id <= std::numeric_limits<std::uint32_t>::max() ? static_cast<std::uint32_t>(id) : 0;
}

std::chrono::duration<double> seconds_of(const Value& value) {
  if (value.is_float()) return std::chrono::duration<double>(value.as_float());
  return std::chrono::duration<double>(static_cast<double>(count_of(value)));
}

/// They are shown on terminals.
std::string text_of(const Value& value) { return value.is_str() ? escape_for_display(value.as_str()) : std::string(); }

const Value& value_at(const Dict& dict, std::string_view key) {
  static const Value none;
  const Value* const value = dict.find(key);
  return value != nullptr ? *value : none;
}

std::int64_t int_at(const Dict& dict, std::string_view key) {
  const Value& value = value_at(dict, key);
  return value.is_int() ? value.as_int() : 0;
}

TaskStatus task_of(const Dict& task) {
  return {channel_of(value_at(task, "channel")), text_of(value_at(task, "source")), seconds_of(value_at(task, "age")),
          int_at(task, "thread")};
}

}  // namespace

RemoteStatus read_status(Dict reply) {
  RemoteStatus status;
  status.numchannels = int_at(reply, "numchannels");
  status.numexecuting = int_at(reply, "numexecuting");
  status.execmodel = text_of(value_at(reply, "execmodel"));
  status.pid = int_at(reply, "pid");
  status.agent = text_of(value_at(reply, "agent"));
  status.version = text_of(value_at(reply, "version"));
  status.python = text_of(value_at(reply, "python"));
  status.uptime = seconds_of(value_at(reply, "uptime"));
  if (const Value& memory = value_at(reply, "memory"); memory.is_int()) status.memory = count_of(memory);
  if (const Value& tasks = value_at(reply, "tasks"); tasks.is_list())
    for (const Value& task : tasks.as_list())
      if (task.is_dict()) status.tasks.push_back(task_of(task.as_dict()));
  if (const Value& queued = value_at(reply, "queued"); queued.is_dict())
    for (const auto& [channel, bytes] : queued.as_dict())
      if (bytes.is_tuple() && bytes.as_tuple().size() == 2)
        status.queued[channel_of(channel)] = {count_of(bytes.as_tuple()[0]), count_of(bytes.as_tuple()[1])};
  status.unresponsive = seconds_of(value_at(reply, "unresponsive"));
  status.details = std::move(reply);
  return status;
}

}  // namespace gangway::detail
