// A send that has to wait: for credit, or for the transport. Thread rule: as Blocking.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "python/common/object_walker.hpp"
#include "python/common/side.hpp"

namespace gangway::python {

class PendingSend {
 public:
  /// Takes what the item is in out of `encoded`.
  PendingSend(Side& side, const ChannelPtr& channel, EncodedObject& encoded);

  /// Until it has been sent. Throws ChannelClosed or what ended the connection; and PythonError
  /// when a signal or an interrupt ends it: nothing was sent then, or the rest follows by itself.
  void wait();

 private:
  // Lives as long as the connection refers to the payload.
  struct Shared {
    std::mutex mutex;
    detail::Waiter* waiter = nullptr;  // while somebody waits
    std::optional<boost::system::error_code> result;
    Bytes scratch;
    PyObject* owner = nullptr;
    bool abandoned = false;  // nobody waits any more who could release the owner
    std::int64_t integer = 0;
  };

  Side& side_;
  const ChannelPtr channel_;
  detail::EncodedItem item_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace gangway::python
