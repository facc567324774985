#include "python/bindings/channel_operations.hpp"

#include <cstring>
#include <optional>
#include <utility>

#include "python/bindings/call_operation.hpp"
#include "python/bindings/operation.hpp"
#include "python/common/channel_methods.hpp"
#include "python/common/release.hpp"

namespace gangway::python {

namespace {

// The wait for an item or for the end. The connection and the channel are those of the subject,
// which outlives the wait.
class ChannelWait : public Operation, public detail::ChannelWaiter {
 public:
  explicit ChannelWait(const ChannelObject& channel) : connection_(channel.connection()), channel_(channel.state()) {}

  void wake() override { over(); }

 protected:
  Connection& connection_;
  const ChannelPtr channel_;
};

// The item is taken by result(), not when it arrives: who does not want it any more has not lost it.
class Receive final : public ChannelWait {
 public:
  using ChannelWait::ChannelWait;

  void start() override { connection_.add_receiver(channel_, *this); }
  void cancel() noexcept override {
    if (!connection_.remove_waiter(channel_, *this)) connection_.pass_on(channel_);
  }
  PyRef result(PyObject* channel) override {
    PyRef item = receive_now(channel);
    return item ? std::move(item) : PyRef::share(nothing());  // another receiver was faster
  }
};

class WaitClose final : public ChannelWait {
 public:
  using ChannelWait::ChannelWait;

  void start() override { connection_.add_end_waiter(channel_, *this); }
  void cancel() noexcept override { (void)connection_.remove_waiter(channel_, *this); }
  PyRef result(PyObject* channel) override {
    try {
      return PyRef::share(connection_.try_wait_end(*channel_) ? Py_True : Py_False);
    } catch (const Error&) {
      raise_end(channel, "", nullptr);
    }
  }
};

// Refers to the payload until the connection has done with it, whoever waits; holds nothing then
// that could end the connection, whose mutex is held.
class Send final : public Operation {
 public:
  Send(const ChannelObject& channel, EncodedObject& encoded)
      : connection_(channel.connection()), channel_(channel.state()), item_(encoded.item()) {
    scratch_ = encoded.take_scratch();
    owner_ = encoded.take_owner().release();
    if (item_.kind == detail::ItemKind::integer) {
      std::memcpy(&integer_, item_.payload.data(), sizeof integer_);
      item_.payload = std::as_bytes(std::span(&integer_, 1));
    }
  }
  ~Send() override { release_later(owner_); }

  void start() override {
    pending_ = connection_.send_later(
        channel_, item_, [self = std::static_pointer_cast<Send>(shared_from_this())](boost::system::error_code error) {
          self->error_ = error;
          self->over();
        });
  }
  void cancel() noexcept override { (void)connection_.withdraw(channel_, pending_); }
  PyRef result(PyObject* channel) override {
    release_now();
    if (error_) cannot_send(channel);
    return PyRef::share(Py_None);
  }

 private:
  Connection& connection_;
  const ChannelPtr channel_;
  detail::EncodedItem item_;
  Bytes scratch_;
  PyObject* owner_ = nullptr;
  std::int64_t integer_ = 0;
  Connection::PendingSend pending_;
  boost::system::error_code error_;  // before over()
};

template <class Wait>
PyObject* wait_operation(PyObject* object) {
  return channel_call(object, [&](ChannelObject& self) {
    return OperationObject::make(std::make_shared<Wait>(self), object).release();
  });
}

PyObject* try_receive(PyObject* object, PyObject*) {
  return channel_call(object, [&](ChannelObject&) {
    PyRef item = receive_now(object);
    return item ? item.release() : PyRef::share(nothing()).release();
  });
}

PyObject* start_receive(PyObject* object, PyObject*) { return wait_operation<Receive>(object); }

PyObject* start_waitclose(PyObject* object, PyObject*) { return wait_operation<WaitClose>(object); }

PyObject* start_send(PyObject* object, PyObject* item) {
  return channel_call(object, [&](ChannelObject& self) -> PyObject* {
    EncodedObject encoded(*self.side);
    encoded.encode(item);
    try {
      return start_encoded(object, encoded).release();
    } catch (const DumpError&) {
      throw;
    } catch (const Error&) {
      cannot_send(object);
    }
  });
}

PyObject* start_interrupt(PyObject* object, PyObject* timeout) {
  return channel_call(object, [&](ChannelObject& self) {
    const auto run = [handle = self.handle, deadline = deadline_of(timeout)] {
      handle->connection->interrupt(handle->state);
      return handle->connection->wait_over(handle->state, deadline);
    };
    return call_operation(object, run, [](bool over, PyObject*) { return PyRef::share(over ? Py_True : Py_False); })
        .release();
  });
}

}  // namespace

PyRef start_encoded(PyObject* channel, EncodedObject& encoded) {
  const ChannelObject& self = ChannelObject::of(channel);
  if (send_encoded_now(self.connection(), self.state(), encoded)) return PyRef::share(Py_None);
  return OperationObject::make(std::make_shared<Send>(self, encoded), channel);
}

PyObject* nothing() {
  static PyObject* const only =
      PyRef::check(PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type))).release();
  return only;
}

PyMethodDef channel_operation_methods[] = {
    {"_try_receive", try_receive, METH_NOARGS, "The next item if there is one, else NOTHING; errors like receive."},
    {"_start_receive", start_receive, METH_NOARGS,
     "An Operation: the next item, or NOTHING when another receiver was faster."},
    {"_start_waitclose", start_waitclose, METH_NOARGS, "An Operation: True when nothing more can arrive."},
    {"_start_send", start_send, METH_O, "Sends the item if that needs no waiting: None; else an Operation."},
    {"_start_interrupt", start_interrupt, METH_O, "An Operation: interrupt(timeout)."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace gangway::python
