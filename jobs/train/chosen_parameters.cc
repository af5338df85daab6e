#include "jobs/train/chosen_parameters.h"

#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "comm/collectively.h"
#include "train/selection/places.h"

namespace switchyard {
namespace {

/// Fails unless two things are the same, or others are allowed.
void require_same(const FisherFile& file, std::string_view what, const std::string& found, const std::string& expected,
                  bool allow_other) {
  if (found == expected) return;
  if (!allow_other)
    fail(ExitCode::input, "{}: is of another {}: expected {}, found {}; --allow-other-fisher takes it all the same",
         file.subject(), what, expected, found);
  log::warning("{}: is of another {}: {}, not {}", file.subject(), what, found, expected);
}

}  // namespace

ChosenParameters::ChosenParameters(const TrainOptions& options, const ModelConfig& config)
    : options_(options), config_(config) {
  const FreezeOptions& o = options.trains;
  if (!o.fisher_new.empty()) new_.emplace("--fisher-new", o.fisher_new);
  if (!o.fisher_old.empty()) old_.emplace("--fisher-old", o.fisher_old);
  for (const std::optional<FisherFile>* file : {&new_, &old_}) {
    if (!*file) continue;
    const FisherNotes& notes = (*file)->notes();
    const std::string hash = config_hash(config).hex();
    if (notes.config != hash)
      fail(ExitCode::input, "{}: is of a model with another configuration: expected hash {}, found {}",
           (*file)->subject(), hash, notes.config);
  }
  if (new_ && old_ && new_->notes().labels != old_->notes().labels)
    fail(ExitCode::input, "{}: has {} labels, {} has {} ones: they cannot be compared", new_->subject(),
         new_->notes().labels, old_->subject(), old_->notes().labels);
  scores_ = scores();
  if (options.trains.train_layers.empty()) return;
  for (const int64_t layer : options.selection().layers)
    if (layer >= config.num_layers())
      fail(ExitCode::usage, "--train-layers {}: the model has layers 0 to {}", o.train_layers, config.num_layers() - 1);
}

void ChosenParameters::require_tokenizer(const std::optional<TokenizerIdentity>& of_data) const {
  for (const std::optional<FisherFile>* file : {&new_, &old_})
    if (*file && of_data && !(*file)->notes().tokenizer.empty())
      require_same(**file, "tokenizer's tokens", (*file)->notes().tokenizer, of_data->hash,
                   options_.trains.allow_other_fisher);
}

double ChosenParameters::trained_share() const {
  if (!options_.trains.freezes()) return 1;
  const SelectionOptions o = options_.selection();
  const ParameterSpace space(config_);
  int64_t trained = 0, eligible = 0;
  for (const Place& place : places_in(space)) {
    if (trains_whole(o, place)) trained += place.elements();
    if (is_eligible(o, place)) eligible += place.elements();
  }
  const bool by_routing = o.choose && options_.trains.freeze.empty();
  // Of experts with large shares there are fewer than these, if they are more than a few.
  const double chosen =
      by_routing ? o.top_p * static_cast<double>(eligible) : static_cast<double>(o.frozen.rest_of(eligible));
  return std::min(1.0, (static_cast<double>(trained) + chosen) / static_cast<double>(space.num_elements()));
}

SelectionScores ChosenParameters::scores() const {
  SelectionScores scores;
  if (new_) scores.of_new = new_->source();
  if (old_) scores.of_old = old_->source();
  if (old_) scores.mean_old = old_->mean();
  const SelectionRule rule = options_.selection().rule;
  if (options_.trains.chooses() && is_by_routing(rule)) {
    RoutingShares routing = new_->routing(config_.num_layers(), config_.num_experts());
    scores.gates = std::move(routing.gates);
    scores.choices = std::move(routing.choices);
  }
  const auto require_information = [](const FisherFile& file) {
    if (file.mean() == 0) fail(ExitCode::input, "{}: is 0 everywhere: nothing can be chosen by it", file.subject());
  };
  if (options_.trains.chooses() && (rule == SelectionRule::fisher_old || rule == SelectionRule::ratio))
    require_information(*old_);
  if (options_.trains.chooses() && (rule == SelectionRule::fisher_new || rule == SelectionRule::ratio))
    require_information(*new_);
  return scores;
}

PassEngine::Select ChosenParameters::select(const PassLayout& layout) const {
  if (!options_.trains.freezes()) return {};
  return [this, layout](const ParameterSpace& space, const TrainRanks& ranks) {
    Selection selection(space, ranks, options_.selection(), scores_);
    const size_t values = 4 + (layout.shape.anchored ? 2 : 0);
    size_t bytes = 0;
    for (size_t b = 0; b < space.blocks().size(); ++b) {
      const ParameterBlock& block = space.blocks()[b];
      if (!ranks.holds(block)) continue;
      const ElementSet& trained = selection.of_block(b);
      const auto holder = static_cast<size_t>(ranks.holders_of(block).rank());
      bytes += static_cast<size_t>(trained.count_in(ranks.owned(space, b)[holder])) * values * sizeof(float) +
               trained.bytes();
    }
    const auto most = static_cast<size_t>(ranks.world().all_reduce_one(static_cast<int64_t>(bytes), ReduceOp::max));
    if (const size_t peak = layout.memory.peak() - layout.memory.state + most;
        most > layout.memory.state && peak > layout.bound.bytes)
      fail_together(
          ExitCode::environment,
          "memory: what trains is not spread evenly: the state of a rank's share takes {}, and it needs {} in all, "
          "but may use {} ({}); more ranks have less each",
          bytes_text(most), bytes_text(peak), bytes_text(layout.bound.bytes), layout.bound.source);
    return selection;
  };
}

void ChosenParameters::require_model(const std::string& model) const {
  for (const std::optional<FisherFile>* file : {&new_, &old_})
    if (*file) require_same(**file, "model", (*file)->notes().model, model, options_.trains.allow_other_fisher);
}

void ChosenParameters::check_files(const std::function<void()>& poll) const {
  const ParameterSpace space(config_);
  for (const std::optional<FisherFile>* file : {&new_, &old_})
    if (*file) (*file)->check(space, poll);
}

void ChosenParameters::add_to(Fingerprint& fingerprint) const {
  if (new_) fingerprint["fisher_new"] = new_->hash();
  if (old_) fingerprint["fisher_old"] = old_->hash();
}

std::string describe(const Selection& s) {
  if (s.is_everything()) return "everything trains";
  return fmt::format("{} parameters train{}, the others stay as they are", s.num_trained(),
                     s.num_eligible() == 0
                         ? ""
                         : fmt::format(": {} of {} that there is a choice of, and {} beside them", s.num_chosen(),
                                       s.num_eligible(), s.num_trained() - s.num_chosen()));
}

}  // namespace switchyard
