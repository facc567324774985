"""Objects of the buffer protocol on their way out: what the pickler has refused (spec-docs/items.md)."""
import sys

from .errors import refuse
from .items import dumps
from .channel import Channel


def spell_other(item):
    """A stream of what spell() does not know: complex and Channel, and what has a buffer."""
    kind = type(item)
    if kind is complex or kind is Channel:
        return dumps(item)
    names = [base.__module__ + "." + base.__name__ for base in kind.__mro__]
    is_numpy = names[0] == "numpy.ndarray"
    # What would arrive without that which makes it more than its base.
    if not has_buffer(item) or {"builtins.bytes", "builtins.bytearray", "numpy.ndarray", "array.array"} & set(names[1:]):
        refuse(repr(kind))
    try:
        view = memoryview(item)
    except (ValueError, BufferError) as error:  # numpy has no format for some types
        refuse("%r: %s" % (kind, error))
    if not view.ndim and not is_numpy:
        refuse(repr(kind))
    order = view.format[0] if view.format[0] in "@=<>!" else ""
    code = view.format[len(order):]
    if view.ndim == 1 and not is_numpy and code in ("B", "c"):
        return spell_data(b"", view, b".")
    kinds = {"?": "b", "c": "u", "e": "f", "f": "f", "d": "f", "Zf": "c", "Zd": "c"}
    kinds.update(dict.fromkeys("bhilqn", "i"))
    kinds.update(dict.fromkeys("BHILQN", "u"))
    dtype = "%s%d" % (kinds.get(code), view.itemsize)
    if dtype not in ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"):
        refuse("%r: elements of the format '%s'" % (kind, view.format))
    if view.ndim > 32:
        refuse("%r: %d dimensions, the limit is 32" % (kind, view.ndim))
    big = order in (">", "!") or order != "<" and sys.byteorder == "big"
    dtype = ("|" if view.itemsize == 1 else ">" if big else "<") + dtype
    fortran = is_numpy and view.f_contiguous and not view.c_contiguous
    head = b"\x8c\x08_gangway\x8c\x05array\x93(\x8c%c%s\x8c\x01%c(%st" % (
        len(dtype), dtype.encode(), b"CF"[fortran],
        b"".join([b"\x8a\x08" + size.to_bytes(8, "little") for size in view.shape]))
    return spell_data(head, memoryview(item.T) if fortran else view, b"tR.")


def spell_data(head, view, tail):
    try:
        data = view.cast("B")  # as it lies, if it lies in order and its format is one of memoryview's
    except (TypeError, ValueError):
        data = view.tobytes()
    return b"".join([b"\x80\4", head, b"\x8e", len(data).to_bytes(8, "little"), data, tail])


def has_buffer(item):
    try:
        memoryview(item)
    except TypeError:
        return False
    except (ValueError, BufferError):
        pass
    return True
