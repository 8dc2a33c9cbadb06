// SPDX-License-Identifier: Apache-2.0
#pragma once
// One worker with one shard, full of answers: the product's own objects without a port around them.
//
// The cache is filled through Shard::insert, not by playing an upstream, so that it is filled
// within a second whatever its size.
//
// Threads: fill() and the worker's step() by one thread. Memory: the region is mapped here; in
// hugepages of 2 MiB if asked for, which must be free then.

#include "dataplane/worker/worker.hpp"
#include "tests/bench/traffic.hpp"

#include <cstddef>
#include <memory>

namespace millrace::test {

class MappedRegion {
 public:
  MappedRegion(std::size_t bytes, bool hugepages);  // ends the program when there is no memory
  ~MappedRegion();
  MappedRegion(const MappedRegion&) = delete;
  MappedRegion& operator=(const MappedRegion&) = delete;
  void* data() const { return data_; }
  std::size_t size() const { return bytes_; }

 private:
  std::size_t bytes_;
  void* data_;
};

// A region in which that many answers of Traffic's kind lie without an eviction.
std::size_t region_bytes_for(uint32_t names);

class BenchPlane {
 public:
  BenchPlane(std::size_t region_bytes, bool hugepages, GracePeriod grace);

  // Inserts an answer for each of the names [first, end); ends the program if one does not go in.
  void fill(uint32_t first, uint32_t end, uint64_t now_ms, uint32_t lifetime_s = kAnswerTtlS);
  // The key under which a query of that DNS message finds its answer.
  Key key_of(const Bytes& message) const;

  dp::Worker& worker() { return *worker_; }
  cache::Shard& shard() { return shard_; }
  dp::ConfigBoard& config_board() { return config_board_; }

 private:
  MappedRegion region_;
  cache::Shard shard_;
  cache::Shard* shard_list_[1] = {&shard_};
  HashSecret secret_;
  dp::WorkRing* no_rings_[1] = {nullptr};
  std::unique_ptr<abi::ConfigImage> config_;
  dp::ConfigBoard config_board_;
  dp::RoutesBoard routes_board_;
  std::unique_ptr<abi::StatsArea> stats_;
  dp::Mailbox mailbox_;
  std::unique_ptr<dp::Worker> worker_;
};

// An answer of one A record, as a view into itself.
class OneRecord {
 public:
  explicit OneRecord(uint32_t address, uint32_t lifetime_s = kAnswerTtlS);
  AnswerView view() const;

 private:
  uint8_t body_[16];
  uint16_t ttl_offset_ = 6;
  uint32_t lifetime_s_;
};

}  // namespace millrace::test
