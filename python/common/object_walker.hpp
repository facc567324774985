// Python objects for the encoders (core/item_walker.hpp). Thread rule: the GIL is held from
// the construction on, so what is walked over does not change meanwhile.
#pragma once

#include <complex>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/item_codec.hpp"
#include "core/item_walker.hpp"
#include "core/pickle_encoder.hpp"
#include "python/common/buffer_item.hpp"
#include "python/common/py_ref.hpp"

namespace gangway::python {

/// Knows which objects are channels; throws DumpError for one of another connection.
class ObjectChannels {
 public:
  [[nodiscard]] virtual bool is_channel(PyObject* object) const noexcept = 0;
  [[nodiscard]] virtual std::uint32_t id_of(PyObject* channel) const = 0;
  /// The object for an id that arrived. Throws LoadError (errc::bad_channel), PythonError.
  [[nodiscard]] virtual PyRef channel(std::uint32_t id) = 0;
  /// Whether the peer reads arrays.
  [[nodiscard]] virtual bool sends_arrays() const { return false; }
  /// make_array of python/agent/arrays.py. Throws PythonError.
  [[nodiscard]] virtual PyRef array_maker() = 0;

 protected:
  ~ObjectChannels() = default;
};

class ObjectWalker {
 public:
  using Node = PyObject*;
  struct Cursor {
    PyObject* container = nullptr;
    Py_ssize_t at = 0;
    PyObject* value = nullptr;  // of a dict, due after its key
    PyRef iterator;             // of a set
    PyRef member;
  };

  enum class Buffers : bool { refused, sent };  // objects that have one, but for bytes

  explicit ObjectWalker(const ObjectChannels& channels, Buffers buffers = Buffers::refused) noexcept
      : channels_(channels), buffers_(buffers) {}

  [[nodiscard]] detail::NodeKind kind(Node node);
  [[nodiscard]] bool boolean(Node node) const noexcept { return node == Py_True; }
  [[nodiscard]] std::int64_t integer(Node) const noexcept { return integer_; }
  [[nodiscard]] std::span<const std::byte> big_integer(Node node);
  [[nodiscard]] double floating(Node node) const noexcept { return PyFloat_AS_DOUBLE(node); }
  [[nodiscard]] std::complex<double> complex(Node node) const noexcept;
  [[nodiscard]] std::string_view str(Node node);
  [[nodiscard]] std::uint32_t str_hash(Node node) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(node);
    return static_cast<std::uint32_t>(address >> 4 ^ address >> 11);
  }
  [[nodiscard]] bool same_str(Node node, Node other) const noexcept { return node == other; }
  [[nodiscard]] std::span<const std::byte> bytes(Node node);
  [[nodiscard]] detail::ArrayHeader array(Node) const noexcept { return buffer_.header(); }
  [[nodiscard]] bool has_met_arrays() const noexcept { return has_met_arrays_; }
  [[nodiscard]] std::uint32_t channel(Node node) const { return channels_.id_of(node); }
  [[nodiscard]] std::string type_name(Node node) const;
  [[nodiscard]] std::size_t size(Node node) const;
  [[nodiscard]] Cursor open(Node node) const;
  [[nodiscard]] bool next(Cursor& cursor, Node& node) const;

 private:
  [[nodiscard]] detail::NodeKind kind_of_buffer(Node node);

  const ObjectChannels& channels_;
  const Buffers buffers_;
  BufferItem buffer_;
  bool has_met_arrays_ = false;
  std::int64_t integer_ = 0;
  PyRef text_;  // the UTF-8 form of a text that is not ASCII
  Bytes big_;
};
static_assert(detail::ItemWalker<ObjectWalker> && detail::ArrayWalker<ObjectWalker>);

/// The text of a DumpError's "can't serialize ...": repr(type(object)).
[[nodiscard]] std::string type_text(PyObject* object);

/// An item as it goes out: a view of the object itself, or of what this holds.
class EncodedObject {
 public:
  explicit EncodedObject(const ObjectChannels& channels) noexcept : channels_(channels) {}
  /// Throws DumpError, PythonError. The object must outlive the item.
  void encode(PyObject* object);
  /// What an EXEC says (wire.md, section 6).
  void encode_exec(PyObject* request);
  [[nodiscard]] const detail::EncodedItem& item() const noexcept { return item_; }
  /// What must live as long as the item does, beside this; null: nothing.
  [[nodiscard]] PyRef take_owner() noexcept { return std::move(owner_); }
  [[nodiscard]] Bytes take_scratch() noexcept { return std::move(scratch_); }

 private:
  void encode_pickle(PyObject* object, detail::ItemKind kind);
  [[nodiscard]] bool encode_buffer(PyObject* object);

  const ObjectChannels& channels_;
  detail::EncodedItem item_{};
  std::int64_t integer_ = 0;
  Bytes scratch_;
  PyRef owner_;
};

}  // namespace gangway::python
