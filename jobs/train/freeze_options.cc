#include "jobs/train/freeze_options.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/number.h"

namespace switchyard {
namespace {

constexpr std::string_view kRules[] = {"new", "old", "ratio", "random", "esft-gate", "esft-token"};

/// "0,4-7": 0, 4, 5, 6, 7.
std::set<int64_t> layers_of(std::string_view text) {
  std::set<int64_t> layers;
  const auto refuse = [&] {
    fail(ExitCode::usage, "--train-layers {}: expected layers and ranges of them, as in 0,4-7", text);
  };
  const auto number = [&](std::string_view word) {
    const int64_t value = number_in<int64_t>(word).value_or(-1);
    if (value < 0 || value > 1 << 20) refuse();
    return value;
  };
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    const size_t dash = word.find('-');
    const int64_t first = number(word.substr(0, dash));
    const int64_t last = dash == word.npos ? first : number(word.substr(dash + 1));
    if (last < first) refuse();
    for (int64_t layer = first; layer <= last; ++layer) layers.insert(layer);
    begin = end + 1;
  }
  return layers;
}

std::set<SpecialKind> kinds_of(const std::vector<std::string>& names) {
  std::set<SpecialKind> kinds;
  for (const std::string& name : names) {
    const auto* const found = std::ranges::find(kSpecialKinds, name);
    if (found == kSpecialKinds.end())
      fail(ExitCode::usage, "--train-also {}: expected {}", name, fmt::join(kSpecialKinds, ", "));
    kinds.insert(static_cast<SpecialKind>(found - kSpecialKinds.begin()));
  }
  return kinds;
}

/// "0.950" is 0.95.
std::string without_trailing_zeros(std::string share) {
  if (share.find('.') == share.npos) return share;
  share.erase(share.find_last_not_of('0') + 1);
  if (share.back() == '.') share.pop_back();
  return share;
}

}  // namespace

void FreezeOptions::describe(OptionSet& o) {
  o.group("What trains (without these: everything)");
  o.add(
      "freeze", &freeze, "SHARE",
      "of all parameters but routers', norms and biases this share does not train: 0.9. The rest, chosen by --select, "
      "does, exactly that many");
  o.add("select", &select, "new|old|ratio|random|esft-gate|esft-token",
        "what trains: with the most Fisher information on new data, the least on old data, the most of new over old, "
        "some by chance; experts that the routers choose most, by their weight or by tokens [new]");
  o.add("granularity", &granularity, "element|row|expert",
        "chosen one by one, or as rows of a matrix or experts by their means [element; of esft: expert]");
  o.add("fisher-new", &fisher_new, "FILE", "fisher.h5 of `switchyard fisher` on new data");
  o.add("fisher-old", &fisher_old, "FILE", "likewise on data that is not to be forgotten");
  o.add("allow-other-fisher", &allow_other_fisher, "",
        "take Fisher information of another model with the same configuration, or of another tokenizer's tokens");
  o.add("top-p", within(&top_p, 0, 1), "P",
        "esft: of every layer the experts with the largest shares, until these are P of all (0: 0.1 of weights, 0.2 of "
        "tokens)");
  o.add("train-also", Names{&train_also}, "router,norms,biases", "kinds that train whole, beside what is chosen");
  o.add("train-layers", &train_layers, "LIST",
        "only these layers train, and nothing beyond layers: 0,4-7 (with --select a choice of what they have)");
  o.add("ewc", within(&ewc, 0, 1e30), "LAMBDA",
        "adds LAMBDA/2 Σ F (w − w₀)² to the loss: F of --fisher-old, w₀ the model's weights as they were (0: nothing)");
}

SelectionRule FreezeOptions::rule() const {
  return static_cast<SelectionRule>(std::ranges::find(kRules, select) - std::begin(kRules));
}

void FreezeOptions::resolve(const OptionSet& set) {
  for (const auto& [option, value] : {std::pair("freeze", &freeze),
                                      {"granularity", &granularity},
                                      {"train-layers", &train_layers},
                                      {"fisher-new", &fisher_new},
                                      {"fisher-old", &fisher_old}})
    if (set.is_given(option) && value->empty()) fail(ExitCode::usage, "train: --{} is empty", option);
  if (!freeze.empty() && select.empty()) select = "new";
  const auto require = [](bool holds, std::string_view what) {
    if (!holds) fail(ExitCode::usage, "train: {}", what);
  };
  kinds_of(train_also);
  if (!train_layers.empty()) layers_of(train_layers);
  const bool by_routing = chooses() && is_by_routing(rule());
  if (chooses() && granularity.empty()) granularity = by_routing ? "expert" : "element";
  if (by_routing) {
    require(freeze.empty(), "--select esft-… chooses by --top-p: there is nothing for --freeze to say");
    require(granularity == "expert", "--select esft-… chooses experts: expected --granularity expert");
    if (top_p == 0) top_p = rule() == SelectionRule::esft_gate ? 0.1 : 0.2;
  } else if (chooses()) {
    require(!freeze.empty(), fmt::format("--select {}: expected --freeze SHARE, how much does not train", select));
    Decimal::parse(freeze, "--freeze");
    require(top_p == 0, "--top-p is for --select esft-gate and esft-token");
  } else {
    require(granularity.empty() && top_p == 0 && train_also.empty(),
            "--granularity, --top-p and --train-also go with --freeze or --select");
  }
  const bool wants_new = chooses() && (by_routing || select == "new" || select == "ratio");
  const bool wants_old = ewc > 0 || (chooses() && (select == "old" || select == "ratio"));
  require(!wants_new || !fisher_new.empty(), fmt::format("--select {}: expected --fisher-new FILE", select));
  require(!wants_old || !fisher_old.empty(),
          fmt::format("{}: expected --fisher-old FILE", ewc > 0 ? "--ewc" : "--select " + select));
  require(wants_new || fisher_new.empty(), "--fisher-new: nothing is chosen by it");
  require(wants_old || fisher_old.empty() || set.is_given("ewc"),
          "--fisher-old: nothing is chosen by it, and nothing held to it by --ewc");
}

SelectionOptions FreezeOptions::selection(int64_t seed, bool train_router) const {
  SelectionOptions o;
  o.choose = chooses();
  o.also = kinds_of(train_also);
  if (!train_layers.empty()) o.layers = layers_of(train_layers);
  if (!o.choose) {
    o.also = {SpecialKind::norms, SpecialKind::biases};
    if (train_router) o.also.insert(SpecialKind::router);
    return o;
  }
  o.rule = rule();
  o.granularity = granularity == "row"      ? Granularity::row
                  : granularity == "expert" ? Granularity::expert
                                            : Granularity::element;
  if (!freeze.empty()) o.frozen = Decimal::parse(freeze, "--freeze");
  o.top_p = top_p;
  o.seed = static_cast<uint64_t>(seed);
  return o;
}

Fingerprint FreezeOptions::fingerprint() const {
  Fingerprint f;
  if (chooses()) {
    f["select"] = select;
    f["granularity"] = granularity;
    f[freeze.empty() ? "top_p" : "freeze"] = freeze.empty() ? fmt::format("{}", top_p) : without_trailing_zeros(freeze);
    std::set<std::string> also(train_also.begin(), train_also.end());
    if (!also.empty()) f["train_also"] = fmt::format("{}", fmt::join(also, ","));
  }
  if (!train_layers.empty()) f["train_layers"] = fmt::format("{}", fmt::join(layers_of(train_layers), ","));
  if (ewc > 0) f["ewc"] = fmt::format("{}", ewc);
  return f;
}

}  // namespace switchyard
