// _gangway.Channel: one end of a channel, for Python. Thread rule: the GIL is held.
#pragma once

#include <memory>

#include "channels/channel_handle.hpp"
#include "python/native/object_walker.hpp"
#include "python/native/py_ref.hpp"

namespace gangway::python {

/// Completes the type; to be called once, before anything else. The module's classes exist.
void prepare_channel_type();
[[nodiscard]] PyTypeObject& channel_type() noexcept;

/// The object of a channel: the same one as long as somebody has it.
[[nodiscard]] PyRef channel_object(std::shared_ptr<detail::ChannelHandle> handle);

/// An error of a channel that ended when no object of it was left is said on stderr.
void warn_of_unseen_error(const std::shared_ptr<detail::ChannelState>& channel);

/// For items that refer to channels.
[[nodiscard]] ObjectChannels& object_channels() noexcept;

}  // namespace gangway::python
