// Tokens and their ids, both ways.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

class TokenTable {
 public:
  static constexpr int32_t kNone = -1;

  /// False, and nothing changed, if the text or the id is there already. Ids need not be without gaps, but take memory
  /// up to the largest.
  bool add(std::string_view text, int32_t id);
  int32_t find(std::string_view text) const;  ///< kNone: not there
  bool has(int32_t id) const { return id >= 0 && id < end_id() && places_[static_cast<size_t>(id)].begin != kNoPlace; }
  std::string_view text(int32_t id) const {  ///< has(id)
    const Place place = places_[static_cast<size_t>(id)];
    return std::string_view(texts_).substr(place.begin, place.size);
  }
  size_t size() const { return size_; }
  int32_t end_id() const { return static_cast<int32_t>(places_.size()); }  ///< after the largest
  size_t longest() const { return longest_; }                              ///< bytes

 private:
  static constexpr uint32_t kNoPlace = ~uint32_t{0};
  struct Place {
    uint32_t begin = kNoPlace, size = 0;
  };
  struct Slot {
    uint64_t hash;
    int32_t id = kNone;
  };
  const Slot& slot_of(uint64_t hash, std::string_view text) const;
  void grow();

  std::string texts_;
  std::vector<Place> places_;                        ///< by id
  std::vector<Slot> slots_ = std::vector<Slot>(64);  ///< open addressing, at most half full
  size_t size_ = 0, longest_ = 0;
};

}  // namespace switchyard
