// Where every rank's time went in an attempt, from its start to its end and layer by layer: ranks.json, which scaling
// studies are made of.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "exchange/exchange.h"
#include "io/json.h"

namespace switchyard {

/// Seconds of one rank. load + work + finish is its time from start to end, and useful + exchange_wait +
/// exchange_transfer + waiting + collectives + overhead that of its work, but for what nobody has measured.
struct RankSeconds {
  double load = 0;    ///< until the first unit of work
  double work = 0;    ///< until all ranks are done with theirs
  double finish = 0;  ///< results merged, a model exported

  // Of the work:
  double useful = 0;             ///< computing
  double exchange_wait = 0;      ///< see ExchangeTimes
  double exchange_transfer = 0;  ///< likewise
  double waiting = 0;            ///< where ranks meet in order to go on together
  double collectives = 0;        ///< in other operations of all ranks, whoever they wait for
  double overhead = 0;           ///< input read, shards and checkpoints written
  double communicating() const { return exchange_wait + exchange_transfer + waiting + collectives; }
};

/// One rank's in one layer: all of it, and what of it the exchange took.
struct LayerSeconds {
  double all = 0, wait = 0, transfer = 0;
};
/// all: [layers] of a LayerClock; exchange: [layers].
std::vector<LayerSeconds> layer_seconds(std::span<const double> all, std::span<const ExchangeTimes> exchange);

/// What a rank tells of its attempt.
struct RankRecord {
  RankSeconds seconds = {};
  std::vector<LayerSeconds> layers = {};
  int64_t assignments = 0, remote_assignments = 0;  ///< (token, slot); those to experts of other ranks
  int64_t tokens = 0;                               ///< computed
  std::vector<int64_t> tokens_per_expert = {};      ///< [layers, experts] (token, slot) assignments of these
  std::vector<int64_t> bytes_to = {};               ///< [ranks of its group]
};

/// How the ranks were laid out.
struct RankLayout {
  std::string job = {};  ///< "score"
  int ep = 1, threads = 1;
  int num_experts = 0;
  std::string device = {}, exchange = {}, numerics = {};
  Json predicted = {};  ///< what it was to take; null: nobody said
};

/// The most memory that this process has had, in bytes.
int64_t peak_resident_bytes();

/// All ranks' records, where they run and what on, at rank 0; null elsewhere. Collective.
Json gather_rank_records(Communicator& world, const RankRecord& mine, const RankLayout& layout);

}  // namespace switchyard
