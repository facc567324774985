#include "core/callback_thread.hpp"

#include <exception>
#include <thread>

#include "core/trace.hpp"

namespace gangway::detail {

std::shared_ptr<CallbackThread> CallbackThread::start() {
  // The thread keeps the object alive, the handles keep the thread going.
  std::shared_ptr<CallbackThread> object(new CallbackThread);
  CallbackThread* const plain = object.get();
  std::thread thread([object] { object->io_.run(); });
  // What is queued still runs; nobody waits for it: user code may take its time.
  thread.detach();
  return {plain, [object = std::move(object)](CallbackThread*) { object->work_.reset(); }};
}

}  // namespace gangway::detail
