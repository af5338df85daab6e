#include "train/selection/places.h"

namespace switchyard {
namespace {

/// None: one of those that selections choose from.
std::optional<SpecialKind> special_kind(const Parameter& p, bool is_router) {
  if (is_router) return SpecialKind::router;
  if (p.shape.rank() > 1) return {};
  return p.around_one ? SpecialKind::norms : SpecialKind::biases;  // sinks are biases of a softmax
}

bool is_of_layers(const SelectionOptions& o, const Parameter& p) {
  return o.layers.empty() || o.layers.contains(p.layer);
}

}  // namespace

std::vector<Place> places_in(const ParameterSpace& space) {
  std::vector<Place> places;
  for (size_t block = 0; block < space.blocks().size(); ++block)
    for (const BlockTensor& tensor : space.blocks()[block].tensors) {
      int64_t first = tensor.offset;
      for (const Parameter& p : tensor.tensor.parameters()) {
        places.push_back({p, block, first, special_kind(p, tensor.is_router)});
        first += p.shape.elements();
      }
    }
  return places;
}

bool is_eligible(const SelectionOptions& o, const Place& place) {
  return o.choose && !place.special && is_of_layers(o, place.parameter) &&
         (o.granularity != Granularity::expert || place.parameter.expert >= 0);
}

bool trains_whole(const SelectionOptions& o, const Place& place) {
  return is_of_layers(o, place.parameter) && (place.special ? o.also.contains(*place.special) : !o.choose);
}

}  // namespace switchyard
