// SPDX-License-Identifier: Apache-2.0
#pragma once
// Eviction policies as their papers give them, over numbered objects.
//
//   Lru, Fifo, Clock   what everybody knows; Clock puts a visited entry back at the head once
//   Sieve              Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024
//   S3Fifo             Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023:
//                      small queue of 10 % of the bytes, main queue, ghosts, 2-bit counter
//
// Each has: add(object) a new entry; touch(object) a hit; remove(object) an entry that expired;
// evict() chooses an entry, takes it out and names it (there is one). They know nothing of time and
// bytes, save S3Fifo, whose queues are shares of the bytes. An entry that expires leaves no ghost.
//
// Threads: none of its own. Memory: 8 bytes of links for each object of the trace, whether it is
// cached or not: no hash table, so a step costs a few reads.
#include <cstdint>
#include <vector>

namespace millrace::cachesim {

inline constexpr uint32_t kNobody = UINT32_MAX;

struct Links {
  uint32_t newer = kNobody;
  uint32_t older = kNobody;
};

// A queue through links that several queues share, as an object is in one of them at most.
class Queue {
 public:
  explicit Queue(std::vector<Links>& links) : links_(links) {}

  void push(uint32_t object) {
    links_[object] = {kNobody, newest_};
    (newest_ == kNobody ? oldest_ : links_[newest_].newer) = object;
    newest_ = object;
  }
  void remove(uint32_t object) {
    const Links link = links_[object];
    (link.newer == kNobody ? newest_ : links_[link.newer].older) = link.older;
    (link.older == kNobody ? oldest_ : links_[link.older].newer) = link.newer;
  }
  uint32_t pop() {
    const uint32_t object = oldest_;
    remove(object);
    return object;
  }
  bool empty() const { return oldest_ == kNobody; }
  uint32_t oldest() const { return oldest_; }
  uint32_t newer(uint32_t object) const { return links_[object].newer; }

 private:
  std::vector<Links>& links_;
  uint32_t newest_ = kNobody;
  uint32_t oldest_ = kNobody;
};

// What a policy is made from: the bytes that each object costs, and those that may be used in all.
struct Bounds {
  const std::vector<uint32_t>& cost_bytes;
  uint64_t capacity_bytes;
};

class Fifo {
 public:
  explicit Fifo(const Bounds& bounds) : links_(bounds.cost_bytes.size()) {}
  void add(uint32_t object) { queue_.push(object); }
  void touch(uint32_t) {}
  void remove(uint32_t object) { queue_.remove(object); }
  uint32_t evict() { return queue_.pop(); }

 protected:
  std::vector<Links> links_;
  Queue queue_{links_};
};

class Lru : public Fifo {
 public:
  using Fifo::Fifo;
  void touch(uint32_t object) {
    queue_.remove(object);
    queue_.push(object);
  }
};

class Clock : public Fifo {
 public:
  explicit Clock(const Bounds& bounds) : Fifo(bounds), visited_(bounds.cost_bytes.size()) {}
  void add(uint32_t object) {
    visited_[object] = 0;
    queue_.push(object);
  }
  void touch(uint32_t object) { visited_[object] = 1; }
  uint32_t evict() {
    for (;;) {
      const uint32_t object = queue_.pop();
      if (visited_[object] == 0) return object;
      add(object);
    }
  }

 protected:
  std::vector<uint8_t> visited_;
};

class Sieve : public Clock {
 public:
  using Clock::Clock;
  void remove(uint32_t object) {
    if (hand_ == object) hand_ = queue_.newer(object);
    queue_.remove(object);
  }
  uint32_t evict() {
    uint32_t object = hand_ == kNobody ? queue_.oldest() : hand_;
    while (visited_[object] != 0) {
      visited_[object] = 0;
      object = queue_.newer(object);
      if (object == kNobody) object = queue_.oldest();
    }
    hand_ = object;
    remove(object);
    return object;
  }

 private:
  uint32_t hand_ = kNobody;  // kNobody: at the oldest
};

class S3Fifo {
 public:
  explicit S3Fifo(const Bounds& bounds)
      : cost_bytes_(bounds.cost_bytes),
        small_max_(bounds.capacity_bytes / 10),
        main_max_(bounds.capacity_bytes - bounds.capacity_bytes / 10),
        links_(cost_bytes_.size()),
        where_(cost_bytes_.size(), Where::nowhere),
        uses_(cost_bytes_.size()) {}

  void add(uint32_t object) {
    uses_[object] = 0;
    if (where_[object] == Where::ghost) {
      leave(object);
      enter(Where::main, object);
    } else {
      enter(Where::small, object);
    }
  }
  void touch(uint32_t object) {
    if (uses_[object] < 3) ++uses_[object];
  }
  void remove(uint32_t object) { leave(object); }
  uint32_t evict() {
    if (main_.empty() || (bytes(Where::small) >= small_max_ && !small_.empty())) {
      const uint32_t object = evict_small();
      if (object != kNobody) return object;
    }
    return evict_main();
  }

 private:
  enum class Where : uint8_t { nowhere, small, main, ghost };

  uint32_t evict_small() {
    while (!small_.empty()) {
      const uint32_t object = small_.oldest();
      leave(object);
      if (uses_[object] <= 1) {
        remember(object);
        return object;
      }
      uses_[object] = 0;
      enter(Where::main, object);
      if (bytes(Where::main) > main_max_) return evict_main();
    }
    return kNobody;
  }

  uint32_t evict_main() {
    for (;;) {
      const uint32_t object = main_.oldest();
      leave(object);
      if (uses_[object] == 0) return object;
      --uses_[object];
      enter(Where::main, object);
    }
  }

  // Ghosts stand for as many bytes as the main queue may hold.
  void remember(uint32_t object) {
    enter(Where::ghost, object);
    while (bytes(Where::ghost) > main_max_)
      leave(ghosts_.oldest());
  }

  void enter(Where where, uint32_t object) {
    where_[object] = where;
    bytes(where) += cost_bytes_[object];
    queue(where).push(object);
  }
  void leave(uint32_t object) {
    const Where where = where_[object];
    queue(where).remove(object);
    bytes(where) -= cost_bytes_[object];
    where_[object] = Where::nowhere;
  }
  uint64_t& bytes(Where where) { return bytes_[static_cast<uint32_t>(where)]; }
  Queue& queue(Where where) {
    return where == Where::small ? small_ : where == Where::main ? main_ : ghosts_;
  }

  const std::vector<uint32_t>& cost_bytes_;
  uint64_t small_max_, main_max_;
  std::vector<Links> links_;
  std::vector<Where> where_;
  std::vector<uint8_t> uses_;
  uint64_t bytes_[4] = {};
  Queue small_{links_}, main_{links_}, ghosts_{links_};
};

}  // namespace millrace::cachesim
