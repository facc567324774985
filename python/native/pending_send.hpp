// A send that has to wait: for credit, or for the transport. Thread rule: as Blocking.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "python/native/agent.hpp"
#include "python/native/blocking.hpp"
#include "python/native/object_walker.hpp"

namespace gangway::python {

class PendingSend {
 public:
  /// Takes what the item is in out of `encoded`.
  PendingSend(Agent& agent, const ChannelPtr& channel, EncodedObject& encoded);

  /// Until it has been sent; false when the channel or the connection has ended. Throws
  /// PythonError when a signal or an interrupt ends it: nothing was sent then, or the rest
  /// follows by itself.
  [[nodiscard]] bool wait();

 private:
  // Lives as long as the connection refers to the payload.
  struct Shared {
    std::mutex mutex;
    detail::Waiter* waiter = nullptr;  // while somebody waits
    std::optional<boost::system::error_code> result;
    Bytes scratch;
    PyObject* owner = nullptr;
    bool abandoned = false;  // the owner must be released by somebody with the GIL
    std::int64_t integer = 0;
  };

  Agent& agent_;
  const ChannelPtr channel_;
  detail::EncodedItem item_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace gangway::python
