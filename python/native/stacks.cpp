#include "python/native/stacks.hpp"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <optional>
#include <sstream>
#include <vector>

#include "core/file_descriptor.hpp"
#include "python/common/exceptions.hpp"
#include "python/native/frozen.hpp"
#include "python/native/module.hpp"

// Not everywhere exported: absent, there are no stacks without the GIL.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" [[gnu::weak]] const char* _Py_DumpTracebackThreads(int fd, PyInterpreterState* interpreter,
                                                              PyThreadState* current);

namespace gangway::python {

namespace {

// A process has a few thousand threads at most; without the GIL the list is not to be trusted.
constexpr int most_threads = 10'000;

template <class Visit>
void each_thread(Visit visit) {
  PyThreadState* thread = PyInterpreterState_ThreadHead(PyInterpreterState_Main());
  for (int n = 0; thread != nullptr && n < most_threads; ++n, thread = PyThreadState_Next(thread)) visit(*thread);
}

// As the operating system numbers it, where that is known.
unsigned long number_of(const PyThreadState& thread) {
#if PY_VERSION_HEX >= 0x030b0000
  return thread.native_thread_id;
#else
  return thread.thread_id;
#endif
}

std::string head_of(const PyThreadState& thread, const ThreadRoles& roles) {
  std::string head = "Thread " + std::to_string(number_of(thread));
  const auto role = roles.find(thread.thread_id);
  if (role != roles.end()) head += " (" + role->second + ")";
  return head;
}

// `  File "x.py", line 3 in f` gets the comma that it has in a traceback.
std::string frame_line(std::string line) {
  const std::size_t at = line.rfind("\", line ");
  const std::size_t in = at == line.npos ? at : line.find(" in ", at);
  if (in != line.npos) line.insert(in, ",");
  return line + "\n";
}

using Heads = std::unordered_map<unsigned long, std::string>;

// One thread of what faulthandler writes:
//     Thread 0x00007f... (most recent call first):
//       File "x.py", line 3 in f
// Ours has the innermost frame last. The agent's own frames are left out, and what is outside of
// them: the command line that loaded the extension. Empty: the thread runs no Python.
std::string rewritten(const std::string& dumped, const Heads& heads) {
  std::istringstream lines(dumped);
  std::string line;
  std::getline(lines, line);
  const std::size_t at = line.find("0x");
  const auto head = at == line.npos ? heads.end() : heads.find(std::strtoul(line.c_str() + at, nullptr, 16));
  std::string text = (head == heads.end() ? line.substr(0, line.find(" (most")) : head->second) + ":\n";
  std::vector<std::string> frames;
  std::optional<std::size_t> inside;
  bool any = false;
  while (std::getline(lines, line)) {
    if (line == "  <no Python frame>") return {};
    any = true;
    if (line.starts_with("  File \"_gangway\""))
      inside = frames.size();
    else
      frames.push_back(frame_line(std::move(line)));
  }
  if (inside) frames.resize(*inside);
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) text += *frame;
  if (frames.empty() && any) text += "  (waits for work)\n";
  return text;
}

// The threads are separated by empty lines; the main thread, the oldest, is the last.
std::string rewrite_all(const std::string& dump, const Heads& heads) {
  std::string text;
  for (std::size_t end = dump.size();;) {
    const std::size_t gap = end < 2 ? dump.npos : dump.rfind("\n\n", end - 2);
    const std::size_t begin = gap == dump.npos ? 0 : gap + 2;
    const std::string one = rewritten(dump.substr(begin, end - begin), heads);
    if (!one.empty()) text += "\n" + one;
    if (gap == dump.npos) return text;
    end = gap + 1;
  }
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  ::lseek(fd, 0, SEEK_SET);
  for (ssize_t size; (size = ::read(fd, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(size));
  return text;
}

}  // namespace

std::string stacks_with_gil(const ThreadRoles& roles) {
  try {
    std::vector<const PyThreadState*> threads;
    each_thread([&](const PyThreadState& thread) {
      if (&thread != PyThreadState_Get()) threads.push_back(&thread);
    });
    const PyRef heads = PyRef::check(PyDict_New());
    for (auto thread = threads.rbegin(); thread != threads.rend(); ++thread) {  // the main thread, the oldest, first
      const PyRef ident = PyRef::check(PyLong_FromUnsignedLong((*thread)->thread_id));
      const PyRef head = PyRef::check(PyUnicode_FromString(head_of(**thread, roles).c_str()));
      check_status(PyDict_SetItem(heads.get(), ident.get(), head.get()));
    }
    const PyRef text = PyRef::check(PyObject_CallOneArg(function("stacks", frozen_stacks), heads.get()));
    return text_of(text.get());
  } catch (...) {
    translate_exception();
  }
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  const PyRef kept[] = {PyRef::steal(type), PyRef::steal(value), PyRef::steal(traceback)};
  try {
    return "The stacks cannot be read: " + text_of(value == nullptr ? type : value) + "\n";
  } catch (const PythonError&) {
    PyErr_Clear();
    return "The stacks cannot be read.\n";
  }
}

std::string stacks_without_gil(const ThreadRoles& roles, std::chrono::duration<double> silence) {
  std::array<char, 100> first;
  std::snprintf(first.data(), first.size(), "The interpreter does not answer, for %.2f s now.", silence.count());
  std::string text = first.data();
  if (_Py_DumpTracebackThreads == nullptr) return text + " This one does not tell where it is.\n";
  Heads heads;
  const int holder = gil_holder();
  each_thread([&](const PyThreadState& thread) {
    const std::string& head = heads[thread.thread_id] = head_of(thread, roles);
    if (holder != 0 && static_cast<int>(number_of(thread)) == holder) text += " The GIL is held by " + head + ".";
  });
  text += "\nThe last known stacks:\n";
  const detail::FileDescriptor file(::memfd_create("stacks", MFD_CLOEXEC));
  if (!file) return text + "(no memory for them)\n";
  const char* const problem = _Py_DumpTracebackThreads(file.get(), PyInterpreterState_Main(), nullptr);
  if (problem != nullptr) return text + "(" + problem + ")\n";
  return text + rewrite_all(read_all(file.get()), heads);
}

int gil_holder() noexcept {
  if constexpr (!gil_holder_is_known) return 0;  // later versions tell the thread's own state
  const PyThreadState* const holder = _PyThreadState_UncheckedGet();
  if (holder == nullptr) return 0;
  // Its thread may end, and free it, at this very moment: the kernel reads it, who may fail.
  alignas(PyThreadState) std::array<std::byte, sizeof(PyThreadState)> copy;
  const iovec to{copy.data(), copy.size()};
  const iovec from{const_cast<PyThreadState*>(holder), copy.size()};
  if (::process_vm_readv(::getpid(), &to, 1, &from, 1, 0) != static_cast<ssize_t>(copy.size())) return 0;
  return static_cast<int>(number_of(*reinterpret_cast<const PyThreadState*>(copy.data())));
}

}  // namespace gangway::python
