#include "jobs/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "base/error.h"

extern char** environ;

namespace switchyard {
namespace po = boost::program_options;
namespace {

constexpr std::string_view kEnvironmentPrefix = "SWITCHYARD_";

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // clang 14 does not deduce it

std::string text_of(const OptionSet::Target& target) {
  return std::visit(
      Overloaded{[](const std::string* v) { return *v; }, [](const int64_t* v) { return fmt::format("{}", *v); },
                 [](const double* v) { return fmt::format("{}", *v); },
                 [](const bool* v) { return std::string(*v ? "true" : "false"); },
                 [](const std::vector<std::string>* v) { return fmt::format("{}", fmt::join(*v, " ")); }},
      target);
}

// Defaults are the targets' own values, so boost's are only shown in the help text.
po::value_semantic* semantic_of(const OptionSet::Option& option) {
  const auto named = [&](auto* semantic) -> po::value_semantic* {
    semantic->value_name(option.meta);
    return semantic;
  };
  return std::visit(
      Overloaded{[&](std::string*) { return named(po::value<std::string>()); },
                 [&](int64_t*) { return named(po::value<int64_t>()); },
                 [&](double*) { return named(po::value<double>()); },
                 [&](bool*) { return named(po::value<bool>()->implicit_value(true, "")->zero_tokens()); },
                 [&](std::vector<std::string>*) { return named(po::value<std::vector<std::string>>()->multitoken()); }},
      option.target);
}

std::string help_of(const OptionSet::Option& option) {
  const std::string value = text_of(option.target);
  const bool silent = value.empty() || std::holds_alternative<bool*>(option.target);
  return silent ? option.help : fmt::format("{} [{}]", option.help, value);
}

po::options_description describe(const OptionSet& set) {
  po::options_description all("", 110, 50);
  std::vector<std::string> groups;
  for (const auto& option : set.options())
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) groups.push_back(option.group);
  for (const std::string& title : groups) {
    po::options_description group(title, 110, 50);
    for (const auto& option : set.options())
      if (option.group == title) group.add_options()(option.name.c_str(), semantic_of(option), help_of(option).c_str());
    all.add(group);
  }
  po::options_description general("General", 110, 50);
  general.add_options()("config", po::value<std::string>()->value_name("FILE"),
                        "read options from FILE, lines of name = value")("help", "print this");
  all.add(general);
  return all;
}

std::string variable_of(const std::string& option) {
  std::string name(kEnvironmentPrefix);
  for (const char ch : option)
    name += ch == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(ch)));
  return name;
}

/// SWITCHYARD_* variables as options; unknown ones fail.
po::parsed_options read_environment(const OptionSet& set, const po::options_description& description,
                                    const std::set<std::string>& known_elsewhere) {
  std::map<std::string, std::string> ours;
  for (const auto& option : set.options()) ours[variable_of(option.name)] = option.name;
  std::set<std::string> others;
  for (const std::string& name : known_elsewhere) others.insert(variable_of(name));

  po::parsed_options parsed(&description);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (!text.starts_with(kEnvironmentPrefix) || equals == std::string_view::npos) continue;
    const std::string variable(text.substr(0, equals)), value(text.substr(equals + 1));
    const auto found = ours.find(variable);
    if (found != ours.end()) {
      parsed.options.emplace_back(found->second, std::vector<std::string>{value});
    } else if (!others.contains(variable)) {
      fail(ExitCode::usage, "environment: {} is no option of any job", variable);
    }
  }
  return parsed;
}

/// Takes "--flag=VALUE" out of the words: for boost a flag has no value, or the word behind it would be one.
po::parsed_options take_flag_values(const OptionSet& set, const po::options_description& description,
                                    std::vector<std::string>& words) {
  po::parsed_options parsed(&description);
  std::erase_if(words, [&](const std::string& word) {
    const size_t equals = word.find('=');
    if (!word.starts_with("--") || equals == std::string::npos) return false;
    const auto found = std::ranges::find(set.options(), word.substr(2, equals - 2), &OptionSet::Option::name);
    if (found == set.options().end() || !std::holds_alternative<bool*>(found->target)) return false;
    parsed.options.emplace_back(found->name, std::vector<std::string>{word.substr(equals + 1)});
    return true;
  });
  return parsed;
}

void assign(const OptionSet::Option& option, const boost::any& value) {
  std::visit([&](auto* target) { *target = boost::any_cast<std::remove_pointer_t<decltype(target)>>(value); },
             option.target);
}

}  // namespace

void OptionSet::add(std::string name, Target target, std::string meta, std::string help) {
  options_.push_back({std::move(name), std::move(meta), std::move(help), group_, target});
}

bool parse_options(OptionSet& set, std::string_view job, std::span<const std::string> args,
                   const std::set<std::string>& known_elsewhere) {
  const po::options_description description = describe(set);
  po::positional_options_description positional;
  if (!set.positional_name().empty()) positional.add(set.positional_name().c_str(), -1);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::variables_map values;
  try {
    std::vector<std::string> words(args.begin(), args.end());
    po::store(take_flag_values(set, description, words), values);
    po::command_line_parser parser(words);
    parser.options(description).style(style);
    if (!set.positional_name().empty()) parser.positional(positional);
    const po::parsed_options line = parser.run();
    for (const auto& option : line.options)
      if (option.string_key.empty())
        fail(ExitCode::usage, "{}: \"{}\" is no option (see switchyard {} --help)", job, fmt::join(option.value, " "),
             job);
    po::store(line, values);
    if (values.count("help") > 0) {
      std::cout << "usage: switchyard " << job << (set.positional_name().empty() ? "" : " " + set.positional_name())
                << " [options]\n"
                << description
                << "\nEvery option can also be given as SWITCHYARD_NAME in the environment or in --config FILE;\n"
                   "the command line wins over the environment, the environment over the file.\n";
      return false;
    }
    po::store(read_environment(set, description, known_elsewhere), values);
    const auto read_file = [&](const std::string& option, const std::string& path) {
      std::ifstream file(path);
      if (!file) fail(ExitCode::usage, "--{} {}: cannot be read", option, path);
      po::store(po::parse_config_file(file, description), values);
    };
    if (values.count("config") > 0) read_file("config", values["config"].as<std::string>());
    if (const std::string& option = set.defaults_option_; !option.empty()) {
      const auto exists = [](const std::string& path) { return std::filesystem::exists(path); };
      const auto found = std::ranges::find_if(set.defaults_files_, exists);
      if (values.count(option) > 0) {
        read_file(option, values[option].as<std::string>());
      } else if (found != set.defaults_files_.end()) {
        read_file(option, *found);
      }
    }
  } catch (const po::error& error) {
    fail(ExitCode::usage, "{}: {} (see switchyard {} --help)", job, error.what(), job);
  }
  for (const auto& option : set.options()) {
    const auto found = values.find(option.name);
    if (found == values.end() || found->second.empty()) continue;
    assign(option, found->second.value());
    set.given_.insert(option.name);
  }
  for (const std::string& name : set.required())
    if (!set.is_given(name)) fail(ExitCode::usage, "{}: --{} is required (see switchyard {} --help)", job, name, job);
  return true;
}

std::string option_text(const OptionSet::Option& option) {
  return text_of(option.target);
}

std::string resolved_config(const OptionSet& set) {
  std::string text;
  for (const auto& option : set.options()) {
    if (const auto* list = std::get_if<std::vector<std::string>*>(&option.target)) {
      for (const std::string& value : **list) text += fmt::format("{} = {}\n", option.name, value);
    } else if (const std::string value = text_of(option.target); !value.empty()) {
      text += fmt::format("{} = {}\n", option.name, value);
    }
  }
  return text;
}

}  // namespace switchyard
