#include "io/command.h"

#include <algorithm>
#include <boost/process.hpp>
#include <future>
#include <iterator>
#include <string_view>

#include "base/error.h"

extern char** environ;

namespace switchyard {
namespace bp = boost::process;

std::map<std::string, std::string> environment_without(const std::vector<std::string>& prefixes) {
  std::map<std::string, std::string> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto scrubbed = [&](const std::string& prefix) { return text.starts_with(prefix); };
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || std::ranges::any_of(prefixes, scrubbed)) continue;
    kept.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return kept;
}

std::optional<CommandResult> run_command(const std::vector<std::string>& argv,
                                         const std::optional<std::map<std::string, std::string>>& environment) {
  const auto program = bp::search_path(argv.front());
  if (program.empty()) return std::nullopt;
  bp::environment variables = boost::this_process::environment();
  if (environment) {
    variables.clear();
    for (const auto& [name, value] : *environment) variables[name] = value;
  }
  try {
    bp::ipstream out, err;
    bp::child child(program, bp::args(std::vector<std::string>(argv.begin() + 1, argv.end())), variables,
                    bp::std_in<bp::null, bp::std_out> out, bp::std_err > err);
    const auto all_of = [](bp::ipstream& stream) {
      return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    };
    CommandResult result;
    auto errors = std::async(std::launch::async, all_of, std::ref(err));  // both at once, or a full pipe blocks it
    result.out = all_of(out);
    result.err = errors.get();
    child.wait();
    result.exit_code = child.exit_code();
    return result;
  } catch (const std::system_error& error) {
    fail(ExitCode::environment, "{}: cannot be run: {}", argv.front(), error.what());
  }
}

}  // namespace switchyard
