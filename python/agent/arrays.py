"""Arrays that have arrived. Both agents and the package use this module unchanged."""


def make_array(dtype, order, shape, data):
    """A numpy array of its own, writable; without numpy a memoryview, which has `format`, `shape` and
    tolist(). ValueError for what is no array, and for what a memoryview cannot be."""
    try:
        import numpy
    except ImportError:
        return make_view(dtype, order, shape, data)
    # The data is somebody else's memory. What numpy says of a shape that is too large is a ValueError.
    return numpy.ndarray(shape, dtype, data, order=order).copy(order)


def make_view(dtype, order, shape, data):
    import sys

    codes = {"b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q", "f4": "f", "f8": "d"}
    code = codes.get(dtype[1:])
    foreign = dtype[0] == (">" if sys.byteorder == "little" else "<")
    if code is None or foreign or order == "F" or 0 in shape and len(shape) > 1:
        raise ValueError("an array of type %s, order %s and shape %r needs numpy, which is not here" % (dtype, order, shape))
    view = memoryview(bytearray(data))
    return view.cast(code) if 0 in shape else view.cast(code, shape)
