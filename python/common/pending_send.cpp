#include "python/common/pending_send.hpp"

#include <cstring>

#include "python/common/gil.hpp"
#include "python/common/release.hpp"

namespace gangway::python {

PendingSend::PendingSend(Side& side, const ChannelPtr& channel, EncodedObject& encoded)
    : side_(side), channel_(channel), item_(encoded.item()), shared_(std::make_shared<Shared>()) {
  shared_->scratch = encoded.take_scratch();
  shared_->owner = encoded.take_owner().release();
  if (item_.kind == detail::ItemKind::integer) {
    std::memcpy(&shared_->integer, item_.payload.data(), sizeof shared_->integer);
    item_.payload = std::as_bytes(std::span(&shared_->integer, 1));
  }
}

void PendingSend::wait() {
  release_now();
  const auto blocking = side_.blocking();
  Connection& connection = side_.connection();
  shared_->waiter = &blocking->waiter();
  Connection::PendingSend send;
  {
    const WithoutGil released;
    send = connection.send_later(channel_, item_, [shared = shared_](boost::system::error_code error) {
      const std::lock_guard lock(shared->mutex);
      shared->result = error;
      if (shared->waiter != nullptr) shared->waiter->notify();
      if (shared->abandoned) release_later(shared->owner);
    });
  }
  const auto result = [&] {
    const std::lock_guard lock(shared_->mutex);
    return shared_->result;
  };
  try {
    for (;;) {
      blocking->check();
      if (result()) break;
      const WithoutGil released;
      (void)connection.runtime()->wait(blocking->waiter(), blocking->slice({}));
    }
  } catch (const PythonError&) {
    const bool withdrawn = connection.withdraw(channel_, send);
    const std::lock_guard lock(shared_->mutex);
    shared_->waiter = nullptr;
    // What has begun to go out keeps its payload; the object is released with a later send.
    if (withdrawn || shared_->result)
      Py_CLEAR(shared_->owner);
    else
      shared_->abandoned = true;
    throw;
  }
  Py_CLEAR(shared_->owner);
  if (*result()) throw_error(errc::channel_closed);
}

}  // namespace gangway::python
