// What the expert exchange moves, moved by MPI_Alltoallv: the least that a library of today takes for it.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard::bench {

/// Rows of one rank, [ranks] each.
struct Traffic {
  std::vector<int64_t> rows_to = {}, rows_from = {};        ///< there
  std::vector<int64_t> results_to = {}, results_from = {};  ///< back

  /// Collective over all of MPI's ranks: what comes from what is sent. results_from: of this rank's own tokens.
  static Traffic from(std::vector<int64_t> rows_to, std::vector<int64_t> results_from);
  /// Rows that cross this rank in the direction that has more of them.
  int64_t most_in_one_direction() const;
};

/// Both ways once.
class AlltoallvPeer {
 public:
  AlltoallvPeer(const Traffic& traffic, int64_t row_bytes);
  ~AlltoallvPeer();
  AlltoallvPeer(const AlltoallvPeer&) = delete;
  AlltoallvPeer& operator=(const AlltoallvPeer&) = delete;

  void move();
  /// Also what no exchange can do without: rows are gathered before they leave, and results scattered when they come.
  void gather_move_and_scatter();

 private:
  struct Way;
  std::vector<Way> ways_;
  std::vector<std::byte> tokens_, sent_, received_, results_;
  int64_t row_bytes_;
};

}  // namespace switchyard::bench
