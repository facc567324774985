// OpenSSH's client configuration: keywords and their values, from the command line and from
// files, the first value of a keyword counts (ssh_config(5)).
//
// Host with patterns, Match with all, host, originalhost, user, localuser and final, Include.
// What this version would have to judge and cannot (Match exec and others) is an error that says so, never a
// guess. Values are as they stand in the file; SshSettings gives them their meaning.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gangway::detail {

/// Whether `name` matches a list of patterns with `*`, `?` and `!`. Linear in both: no backtracking
/// over more than one star.
[[nodiscard]] bool matches_patterns(std::string_view name, const std::vector<std::string>& patterns);

/// This user's name and home directory, as the system knows them.
struct LocalUser {
  std::string name;
  std::string home;
  [[nodiscard]] static LocalUser now();
};

class SshConfig {
 public:
  /// `host`: as the user wrote it. `user`: of the command line, if it was given there.
  SshConfig(std::string host, std::optional<std::string> user, LocalUser local = LocalUser::now());

  /// A keyword, in any case, if it has no value yet (IdentityFile and CertificateFile: one more).
  void set(std::string_view keyword, std::vector<std::string> arguments);
  /// One line, "Port 2222" or "Port=2222". Throws SpecError.
  void set_line(std::string_view line, const std::string& where);

  /// One of the user's. Throws SpecError for a file that cannot be read or understood.
  void read_file(const std::string& path);
  /// ~/.ssh/config and the system's. The former, and whatever is included, is refused when others can write it.
  void read_default_files();

  /// The arguments; empty when it was not given. `keyword` in lower case.
  [[nodiscard]] std::vector<std::string> all(std::string_view keyword) const;
  [[nodiscard]] std::optional<std::string> get(std::string_view keyword) const;
  /// The host to connect to: HostName, where %h is the host as it was given, or that. Throws Error (bad_spec).
  [[nodiscard]] std::string host_name() const;

 private:
  struct Place;
  /// Relative names of Include are below ~/.ssh, or below /etc/ssh.
  enum class Whose { users, systems };
  void read(const std::string& path, Whose whose, bool private_file, bool required);
  void read_text(const std::string& text, const std::string& path, Whose whose, int depth, bool& active);
  void include(const std::string& pattern, const Place& place, Whose whose, int depth, bool& active);
  [[nodiscard]] bool match(const std::vector<std::string>& arguments, const Place& place);

  const std::string host_;
  const std::optional<std::string> user_;
  const LocalUser local_;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  bool final_pass_ = false;
  bool final_wanted_ = false;
};

/// Whether ${NAME} stands for what the environment has under that name.
enum class Variables { kept, expanded };

/// `meaning` knows what a %-token stands for; %% is a percent sign. Throws Error (bad_spec) for a token that
/// has no meaning, and for a variable that is not set.
[[nodiscard]] std::string expand_tokens(std::string_view text, Variables variables,
                                        const std::function<std::optional<std::string>(char)>& meaning);

/// "~" and "~/...": below the home directory.
[[nodiscard]] std::string expand_home(std::string path, const LocalUser& user);

}  // namespace gangway::detail
