#include "python/common/exceptions.hpp"

#include <new>

#include "core/process.hpp"

namespace gangway::python {

namespace {

// OSError(errno, text) makes FileNotFoundError and the like.
void set_os_error(int number, const char* text) {
  const PyRef arguments = PyRef::steal(Py_BuildValue("(is)", number, text));
  if (arguments) PyErr_SetObject(PyExc_OSError, arguments.get());
}

}  // namespace

ErrorClasses& error_classes() noexcept {
  static ErrorClasses classes;
  return classes;
}

void translate_exception() noexcept {
  try {
    throw;
  } catch (const PythonError&) {
  } catch (const DumpError& error) {
    PyErr_SetString(error_classes().dump_error, error.what());
  } catch (const LoadError& error) {
    PyErr_SetString(error_classes().load_error, error.what());
  } catch (const gangway::TimeoutError& error) {
    PyErr_SetString(error_classes().timeout_error, error.what());
  } catch (const detail::SpawnError& error) {
    set_os_error(error.os_error(), error.what());
  } catch (const HostNotFound& error) {
    PyErr_SetString(error_classes().host_not_found, error.what());
  } catch (const SpecError& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const ConnectionLost& error) {
    PyErr_SetString(PyExc_OSError, error.what());
  } catch (const EndOfChannel& error) {
    PyErr_SetString(PyExc_EOFError, error.what());
  } catch (const Error& error) {
    const bool is_argument = error.code() == errc::group_error || error.code() == errc::bad_argument;
    if (error.code().category() == boost::system::system_category())
      set_os_error(error.code().value(), error.what());
    else
      PyErr_SetString(is_argument ? PyExc_ValueError : PyExc_OSError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

void throw_format(PyObject* type, const char* format, PyObject* object) {
  PyErr_Format(type, format, object);
  throw PythonError();
}

PyRef remote_error(const std::string& formatted) {
  const PyRef text =
      PyRef::check(PyUnicode_DecodeUTF8(formatted.data(), static_cast<Py_ssize_t>(formatted.size()), "replace"));
  return PyRef::check(PyObject_CallOneArg(error_classes().remote_error, text.get()));
}

PyRef take_exception() {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return PyRef::steal(value);
}

std::string text_of(PyObject* object) {
  const PyRef text = PyRef::check(PyObject_Str(object));
  const PyRef bytes = PyRef::check(PyUnicode_AsEncodedString(text.get(), "utf-8", "backslashreplace"));
  return {PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))};
}

}  // namespace gangway::python
