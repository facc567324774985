#include "python/bindings/dump.hpp"

#include <algorithm>
#include <optional>

#include <gangway/dump.hpp>

#include "core/dump_decoder.hpp"
#include "core/dump_encoder.hpp"
#include "core/span_source.hpp"
#include "python/common/exceptions.hpp"
#include "python/common/gc_pause.hpp"
#include "python/common/method.hpp"
#include "python/common/object_builder.hpp"
#include "python/common/object_walker.hpp"

namespace gangway::python {

namespace {

// A document refers to no channel. The encoder and the decoder refuse them by themselves.
class NoChannels final : public ObjectChannels {
 public:
  [[nodiscard]] bool is_channel(PyObject*) const noexcept override { return false; }
  [[nodiscard]] std::uint32_t id_of(PyObject*) const override { refuse(); }
  [[nodiscard]] PyRef channel(std::uint32_t) override { refuse(); }
  [[nodiscard]] PyRef array_maker() override { refuse(); }

 private:
  [[noreturn]] static void refuse() { throw_error(errc::bad_channel); }
};

/// What an object of the buffer protocol has.
class Buffer {
 public:
  explicit Buffer(PyObject* object) { check_status(PyObject_GetBuffer(object, &view_, PyBUF_SIMPLE)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { PyBuffer_Release(&view_); }
  [[nodiscard]] std::span<const std::byte> span() const noexcept {
    return {static_cast<const std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

/// Never reads more than the document needs.
class ReadSource {
 public:
  explicit ReadSource(PyObject* read) : read_(read) {}

  [[nodiscard]] bool next(std::uint8_t& byte) {
    const auto run = take(1);
    if (run) byte = std::to_integer<std::uint8_t>(run->front());
    return run.has_value();
  }
  [[nodiscard]] std::optional<std::span<const std::byte>> take(std::size_t count) {
    constexpr std::size_t step = 64 * 1024;  // memory is taken for what came, not for what is announced
    run_.clear();
    while (run_.size() < count) {
      const std::size_t wanted = std::min(count - run_.size(), std::max(step, run_.size()));
      const PyRef piece = PyRef::check(PyObject_CallFunction(read_, "n", static_cast<Py_ssize_t>(wanted)));
      const Buffer bytes(piece.get());
      if (bytes.span().empty()) return std::nullopt;
      if (bytes.span().size() > wanted) throw LoadError(errc::bad_item, "read() gave more than it was asked for");
      run_.append(bytes.span());
    }
    return std::as_const(run_).span();
  }

 private:
  PyObject* const read_;
  Bytes run_;
};

template <class Source>
PyObject* load_from(Source source, LoadOptions options) {
  NoChannels channels;
  ObjectBuilder builder(channels);
  try {
    return detail::DumpDecoder<ObjectBuilder, Source>(builder, source, options).decode().release();
  } catch (const LoadError& error) {
    if (error.code() != errc::end_of_channel) throw;
    PyErr_SetString(PyExc_EOFError, error.what());
    throw PythonError();
  }
}

PyObject* dumps(PyObject*, PyObject* object) {
  return translated([&] {
    const NoChannels channels;
    ObjectWalker walker(channels);
    Bytes document;
    detail::DumpEncoder<ObjectWalker>(walker, document).encode(object);
    return PyBytes_FromStringAndSize(document.view().data(), static_cast<Py_ssize_t>(document.size()));
  });
}

template <class Load>
PyObject* parse(PyObject* args, PyObject* names, const char* format, const char* first, Load load) {
  return translated([&] {
    const char* keywords[] = {first, "py2str_as_py3str", "py3str_as_py2str", nullptr};
    PyObject* from = nullptr;
    int py2str_as_py3str = 0, py3str_as_py2str = 0;
    if (PyArg_ParseTupleAndKeywords(args, names, format, const_cast<char**>(keywords), &from, &py2str_as_py3str,
                                    &py3str_as_py2str) == 0)
      throw PythonError();
    return load(from, LoadOptions{py2str_as_py3str != 0, py3str_as_py2str != 0});
  });
}

PyObject* loads(PyObject*, PyObject* args, PyObject* names) {
  return parse(args, names, "O|pp:loads", "data", [](PyObject* data, LoadOptions options) {
    const Buffer document(data);
    const GcPause pause;
    return load_from(detail::SpanSource(document.span()), options);
  });
}

PyObject* load(PyObject*, PyObject* args, PyObject* names) {
  return parse(args, names, "O|pp:load", "read",
               [](PyObject* read, LoadOptions options) { return load_from(ReadSource(read), options); });
}

}  // namespace

PyMethodDef dump_functions[] = {
    {"dumps", dumps, METH_O, "The document of an object. DumpError for what cannot be stored."},
    {"loads", with_keywords(loads), METH_VARARGS | METH_KEYWORDS,
     "The object of a document; what follows it is ignored. LoadError, EOFError."},
    {"load", with_keywords(load), METH_VARARGS | METH_KEYWORDS,
     "The same from read(size), of which no more is read than the document."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace gangway::python
