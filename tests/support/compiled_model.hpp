// SPDX-License-Identifier: Apache-2.0
#pragma once
// Puts code that knows nothing of it under the explorer: the sources as they are, with std::atomic.
//
// Where a class takes its atomics from a policy, interleave.hpp replaces them. The cache does not:
// its atomics lie in a region whose every byte has its place. Here the compiler does the work. What
// it compiles with -fsanitize=thread calls a function __tsan_* before each access to memory; we
// link functions of our own instead of ThreadSanitizer's. So every atomic access to watched memory
// becomes an access to a modelled atomic, with the order that stands in the source, and every plain
// one is checked for races, byte by byte.
//
//     static World world;                        // all that the threads share, in one object
//     WatchedMemory memory(&world, sizeof world);
//     explore({}, [&](Trial& trial) {
//       memory.rewind();                         // the world as it was when memory was made
//       trial.threads({[&] { ... }, [&] { ... }});
//     });
//
// Not every access need be a point where another thread may go first: one to a word that no other
// thread uses in a way that matters (both only read it, or it is mine alone) commutes with all that
// the others do. Which words those are is learned: a run that finds a new sharing ends the
// exploration, and it begins anew with that knowledge. What remains is as complete as without.
//
// Threads: as interleave.hpp; thread 0 is not watched for races, being before and after the others.
// Memory: about 50 bytes for each watched one.
// Limits: accesses of 1, 2, 4 and 8 bytes, no compare-exchange (not used); the addresses must be
// the same in each run. Vector loads without instrumentation are not seen: compile with -U__SSE2__.

#include "tests/support/interleave.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace millrace::test {

class WatchedMemory {
 public:
  // One at a time. `keep`: which orders are honoured, to show that they are needed.
  WatchedMemory(void* base, std::size_t bytes, Keep keep = Keep::all);
  ~WatchedMemory();
  WatchedMemory(const WatchedMemory&) = delete;
  WatchedMemory& operator=(const WatchedMemory&) = delete;

  // First thing in each run.
  void rewind();
  // These lines are `thread`'s: an access by another one is a failure, in all runs.
  void reserve(const void* base, std::size_t bytes, uint32_t thread);

  // What the compiled code does.
  bool covers(const void* at) const { return offset_of(at) < bytes_; }
  uint64_t load(const void* at, uint32_t bytes, std::memory_order order);
  void store(void* at, uint32_t bytes, uint64_t value, std::memory_order order);
  template <class Change>
  uint64_t modify(void* at, uint32_t bytes, std::memory_order order, Change change);
  void read_plain(const void* at, std::size_t bytes);
  void write_plain(void* at, std::size_t bytes);

 private:
  // Who uses an atomic word, one bit for each thread.
  struct Users {
    uint32_t readers = 0;
    uint32_t writers = 0;
  };
  struct Cell {
    model::History history;
    std::vector<uint64_t> values;  // values[i]: what store i wrote
  };
  struct Shadow {  // of one byte; of this run if the stamp says so
    uint32_t run;
    uint32_t writer, written;  // the last plain write
    model::Clock reads;
    model::Clock atomic_writes;
  };
  std::size_t offset_of(const void* at) const {
    return static_cast<std::size_t>(static_cast<const std::byte*>(at) - base_);
  }
  Users use(std::size_t offset, bool reads, bool writes);
  Cell& cell(std::size_t offset, uint32_t bytes);
  void check(std::size_t offset, std::size_t bytes, bool write, bool atomic);
  void put(std::size_t offset, uint32_t bytes, uint64_t value);
  uint64_t get(std::size_t offset, uint32_t bytes) const;

  std::byte* base_;
  std::size_t bytes_;
  Keep keep_;
  uint32_t run_ = 0;
  std::vector<std::byte> first_;  // the bytes as they were
  std::vector<bool> dirty_;       // pages written in this run
  std::unique_ptr<Shadow[], void (*)(void*)> shadow_;
  std::unordered_map<std::size_t, Users> users_;    // known when this exploration began
  std::unordered_map<std::size_t, Users> learned_;  // for the next
  std::unordered_map<std::size_t, Cell> cells_;
  std::vector<uint8_t> line_owner_;  // 0: everyone's
};

}  // namespace millrace::test
