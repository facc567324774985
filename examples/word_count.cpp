// word_count [DIR]: counts the words of all text files below a directory (default:
// /usr/share/doc), spread over several Python interpreters, and proves the result.
//
// C++ reads the files and hands them out; Python counts: with the native agent, and with
// the portable one on every Python that is found here. This is what ./dev demo runs.
#include <gangway/gangway.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace fs = std::filesystem;

namespace {

constexpr const char* counter = R"(
counts = {}
for text in iter(channel.receive, None):
    words = text.lower().split()
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    channel.send(len(words))
channel.send(counts)
)";

using Counts = std::unordered_map<std::string, long>;

struct Worker {
  gangway::Gateway gateway;
  std::atomic<long> files{0}, words{0}, bytes{0};
  Counts counts;
  std::exception_ptr error;
};

std::optional<gangway::Bytes> read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  if (content.find('\0') != std::string::npos) return {};  // not a text
  return gangway::Bytes(content);
}

std::vector<fs::path> find_files(const fs::path& root) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root, fs::directory_options::skip_permission_denied))
    if (entry.is_regular_file() && !entry.is_symlink() && entry.path().extension() != ".gz")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// Every python3 that can be found without asking anybody.
std::vector<std::string> find_pythons() {
  std::vector<std::string> found;
  std::set<fs::path> known;
  const auto add = [&](const fs::path& path) {
    std::error_code error;
    const fs::path real = fs::canonical(path, error);
    if (!error && known.insert(real).second) found.push_back(path.string());
  };
  add("/usr/bin/python3");
  for (const char* const name : {"/usr/bin/pypy3", "/usr/local/bin/python3"}) add(name);
  const char* const home = std::getenv("HOME");
  std::error_code error;
  for (const auto& version : fs::directory_iterator(fs::path(home ? home : "/") / ".pyenv/versions", error))
    if (version.path().filename().string().rfind("3.", 0) == 0) add(version.path() / "bin/python3");
  return found;
}

// One file after the other; the next one goes out before the answer to the last is in.
void feed(Worker& worker, const std::vector<fs::path>& files, std::atomic<std::size_t>& next) try {
  auto channel = worker.gateway.remote_exec(counter);
  int unanswered = 0;
  const auto take_answer = [&] {
    worker.words += channel.receive<long>();
    --unanswered;
  };
  for (std::size_t at; (at = next++) < files.size();) {
    const auto text = read_text(files[at]);
    if (!text) continue;
    channel.send(*text);
    ++worker.files;
    worker.bytes += static_cast<long>(text->size());
    if (++unanswered > 4) take_answer();
  }
  while (unanswered > 0) take_answer();
  channel.send(nullptr);
  for (const auto& [word, count] : channel.receive<gangway::Dict>())
    worker.counts[std::string(word.as_bytes().view())] = count.as_int();
} catch (...) {
  worker.error = std::current_exception();
}

// The same in C++: what Python's bytes.lower().split() does.
Counts count_here(const std::vector<fs::path>& files) {
  Counts counts;
  for (const fs::path& path : files) {
    const auto text = read_text(path);
    if (!text) continue;
    std::string word;
    for (const char character : std::string(text->view()) + ' ') {
      if (character == ' ' || (character >= '\t' && character <= '\r')) {
        if (!word.empty()) ++counts[std::exchange(word, {})];
      } else {
        word += character >= 'A' && character <= 'Z' ? static_cast<char>(character + 32) : character;
      }
    }
  }
  return counts;
}

std::vector<std::unique_ptr<Worker>> start_workers() {
  std::vector<std::string> specs{"popen//id=native"};
  for (const std::string& python : find_pythons()) specs.push_back("popen//python=" + python);
  std::vector<std::unique_ptr<Worker>> workers;
  for (const std::string& spec : specs) {
    try {
      auto worker = std::make_unique<Worker>();
      worker->gateway = gangway::makegateway(spec);
      workers.push_back(std::move(worker));
    } catch (const gangway::Error& error) {
      std::printf("without %s: %s\n", spec.c_str(), error.what());
    }
  }
  return workers;
}

bool count_words(const fs::path& root) {
  const auto files = find_files(root);
  const auto workers = start_workers();
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<std::size_t> next{0}, running{workers.size()};
  std::vector<std::thread> threads;
  for (const auto& worker : workers)
    threads.emplace_back([&worker = *worker, &files, &next, &running] {
      feed(worker, files, next);
      --running;
    });
  const bool live = isatty(STDOUT_FILENO) != 0;  // a log gets every tenth part, a terminal all of it
  for (std::size_t shown = 0; running > 0; std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
    const std::size_t done = std::min(next.load(), files.size());
    if (done == shown || (!live && done < files.size() && done - shown < files.size() / 10)) continue;
    shown = done;
    std::printf(live ? "\r%zu of %zu files" : "%zu of %zu files\n", done, files.size());
    std::fflush(stdout);
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;

  std::printf("%s%-8s %-9s %-9s %8s %10s %10s\n", live ? "\r" : "", "gateway", "agent", "python", "files", "words",
              "bytes");
  Counts total;
  long words = 0;
  for (const auto& worker : workers) {
    if (worker->error) std::rethrow_exception(worker->error);
    const auto info = worker->gateway.info();
    const std::string python = (info.implementation == "pypy" ? "pypy " : "") + info.python;
    std::printf("%-8s %-9s %-9s %8ld %10ld %10ld\n", worker->gateway.id().c_str(), info.agent.c_str(), python.c_str(),
                worker->files.load(), worker->words.load(), worker->bytes.load());
    for (const auto& [word, count] : worker->counts) total[word] += count;
    words += worker->words;
  }
  std::vector<std::pair<std::string, long>> ranking(total.begin(), total.end());
  std::sort(ranking.begin(), ranking.end(),
            [](const auto& a, const auto& b) { return std::pair(-a.second, a.first) < std::pair(-b.second, b.first); });
  std::printf("%ld words, %zu different ones, in %.2f s; the most frequent:", words, total.size(), taken.count());
  for (std::size_t at = 0; at < std::min<std::size_t>(8, ranking.size()); ++at)
    std::printf(" %s %ld", ranking[at].first.c_str(), ranking[at].second);
  const bool equal = total == count_here(files);
  std::printf("\nthe same count made here: %s\n", equal ? "equal" : "DIFFERENT");
  return equal;
}

// What a program sees when an interpreter dies under it.
void crash() {
  auto gateway = gangway::makegateway("popen//id=crash");
  auto channel = gateway.remote_exec(R"(
import ctypes, sys
print("about to read address 0", file=sys.stderr)
ctypes.string_at(0)
)");
  try {
    (void)channel.receive();
  } catch (const gangway::ConnectionLost& error) {
    std::printf("\na remote crash is an error here:\n%s\n", error.what());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc > 2) {
    std::fprintf(stderr, "usage: word_count [DIR]\n");
    return 2;
  }
  const bool equal = count_words(argc == 2 ? argv[1] : "/usr/share/doc");
  crash();
  return equal ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "word_count: %s\n", error.what());
  return 1;
}
