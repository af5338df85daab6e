// What an input was imported from, and how: enough to tell whether importing again would give the same.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "import/importer.h"
#include "io/input.h"
#include "io/json.h"

namespace switchyard {

inline const std::string kMaxTokensRule = "max-tokens";

struct ImportIdentity {
  TokenizerIdentity tokenizer;
  std::vector<SourceIdentity> sources;
  std::map<std::string, std::string> rules;  ///< by option, as text

  Json json() const;
  /// Fails (input) naming the field.
  static ImportIdentity from_json(const Json& json, const std::string& subject);
};

/// Of these sources, by `identities`.
ImportIdentity identify_import(const ImportRules& rules, const Tokenizer& tokenizer, const Framing& framing,
                               std::vector<SourceIdentity> identities);

/// Reads the sources from front to back. Fails (input). poll: see ByteStream.
std::vector<SourceIdentity> identify_sources(const std::vector<SourceFile>& sources, const std::function<void()>& poll);

/// How `now` differs from what was imported: "source a.jsonl: …"; empty: not at all. Where files lie does not matter.
std::string difference(const ImportIdentity& imported, const ImportIdentity& now);

}  // namespace switchyard
