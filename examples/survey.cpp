// survey DIR: what is in a tree of Python files, and where the most of it is.
//
// One interpreter per CPU parses the files with Python's own ast module; C++ hands out the
// names and adds up what comes back. This is what ./dev demo runs.
#include <gangway/gangway.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace fs = std::filesystem;

namespace {

constexpr const char* survey = R"(
import ast
for path in iter(channel.receive, None):
    with open(path, "rb") as file:
        source = file.read()
    try:
        kinds = [type(node).__name__ for node in ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):
        channel.send(None)
    else:
        functions = kinds.count("FunctionDef") + kinds.count("AsyncFunctionDef")
        channel.send((source.count(b"\n"), kinds.count("ClassDef"), functions))
)";

using Counts = std::tuple<long, long, long>;  // lines, classes, functions

struct Sum {
  long files = 0, unreadable = 0, lines = 0, classes = 0, functions = 0;

  void add(const std::optional<Counts>& counts) {
    ++files;
    if (!counts) {
      ++unreadable;
      return;
    }
    lines += std::get<0>(*counts);
    classes += std::get<1>(*counts);
    functions += std::get<2>(*counts);
  }
};

void print(const std::string& name, const Sum& sum) {
  std::printf("%-24s %7ld %9ld %9ld %9ld\n", name.c_str(), sum.files, sum.lines, sum.classes, sum.functions);
}

void run(const fs::path& root) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root, fs::directory_options::skip_permission_denied)) {
    if (entry.path().extension() == ".py" && entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());

  const auto start = std::chrono::steady_clock::now();
  std::vector<gangway::Gateway> gateways;
  std::vector<gangway::Channel> channels;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    gateways.push_back(gangway::makegateway("popen"));
    channels.push_back(gateways.back().remote_exec(survey));
  }

  // Some names ahead of the results, so that nobody waits for us and nothing piles up.
  const std::size_t ahead = 64 * channels.size();
  std::map<std::string, Sum> parts;  // by what stands directly below the root
  Sum total;
  for (std::size_t next = 0; next < files.size() + ahead; ++next) {
    if (next < files.size()) channels[next % channels.size()].send(files[next].string());
    if (next < ahead) continue;
    const std::size_t done = next - ahead;
    const auto counts = channels[done % channels.size()].receive<std::optional<Counts>>();
    parts[files[done].lexically_relative(root).begin()->string()].add(counts);
    total.add(counts);
  }
  for (auto& channel : channels) channel.send(nullptr);  // None: no more
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;

  std::vector<std::pair<std::string, Sum>> ranking(parts.begin(), parts.end());
  std::sort(ranking.begin(), ranking.end(),
            [](const auto& a, const auto& b) { return a.second.lines > b.second.lines; });
  std::printf("%-24s %7s %9s %9s %9s\n", "", "files", "lines", "classes", "functions");
  for (std::size_t i = 0; i < std::min<std::size_t>(10, ranking.size()); ++i)
    print(ranking[i].first, ranking[i].second);
  print("all of " + root.string(), total);
  std::printf("%zu interpreters, %.2f s; %ld files are no valid Python\n", gateways.size(), taken.count(),
              total.unreadable);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: survey DIR\n");
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "survey: %s\n", error.what());
    return 1;
  }
}
