// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cache/compare.hpp"

#include "tests/sim/cache/bound.hpp"
#include "tests/sim/cache/policies.hpp"
#include "tests/sim/cache/reference_cache.hpp"
#include "tests/sim/cache/shard_cache.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <utility>

namespace millrace::cachesim {

namespace {

using Jobs = std::vector<std::function<void()>>;

const Row* find_row(const std::vector<Comparison>& all, const std::string& trace, uint64_t mib,
                    const std::string& policy) {
  for (const Comparison& comparison : all) {
    if (comparison.trace != trace || comparison.mib != mib) continue;
    for (const Row& row : comparison.rows) {
      if (row.policy == policy) return &row;
    }
  }
  return nullptr;
}

class Work {
 public:
  Work(const Trace& trace, const std::vector<uint32_t>& costs, Comparison& into, Jobs& jobs)
      : trace_(trace), costs_(costs), into_(into), jobs_(jobs) {
    into_.rows.reserve(16);  // jobs keep addresses of rows
  }

  void add_all() {
    capacity_bytes_ = ShardCache<cache::Shard>(trace_, into_.mib << 20).capacity_bytes();
    reference<Lru>("LRU");
    reference<Fifo>("FIFO");
    reference<Clock>("CLOCK");
    reference<Sieve>("SIEVE");
    reference<S3Fifo>("S3-FIFO");
    real<cache::BasicShard<cache::Sieve>>("mr-sieve");
    real<cache::BasicShard<cache::S3Fifo>>("mr-s3fifo");
    jobs_.push_back([this, bounds = bounds()] {
      into_.bound_ratio = static_cast<double>(hits_bound(trace_, bounds)) /
                          static_cast<double>(trace_.asks.size() - trace_.counted_from);
    });
    jobs_.push_back([this] {
      ReferenceCache<Fifo> cache(trace_, Bounds{costs_, UINT64_MAX});
      into_.unlimited_ratio = run(trace_, cache).hit_ratio();
    });
  }

 private:
  Bounds bounds() const { return Bounds{costs_, capacity_bytes_}; }

  template <class Policy>
  void reference(const char* policy) {
    Row& row = into_.rows.emplace_back(Row{policy, false, {}});
    jobs_.push_back([this, &row, bounds = bounds()] {
      ReferenceCache<Policy> cache(trace_, bounds);
      row.score = run(trace_, cache);
    });
  }
  template <class Shard>
  void real(const char* policy) {
    Row& row = into_.rows.emplace_back(Row{policy, true, {}});
    jobs_.push_back([this, &row] {
      ShardCache<Shard> cache(trace_, into_.mib << 20);
      row.score = run(trace_, cache);
    });
  }

  const Trace& trace_;
  const std::vector<uint32_t>& costs_;
  Comparison& into_;
  Jobs& jobs_;
  uint64_t capacity_bytes_ = 0;
};

}  // namespace

void run_all(const Jobs& jobs) {
  std::atomic<std::size_t> next{0};
  std::vector<std::exception_ptr> errors(jobs.size());
  const auto work = [&] {
    // Relaxed: a ticket; what jobs leave behind is read after the threads have been joined.
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < jobs.size();) {
      try {
        jobs[i]();
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
    threads.emplace_back(work);
  work();
  for (std::thread& thread : threads)
    thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

double Comparison::best_gain() const {
  double best = 0;
  for (const Row& row : rows) {
    if (!row.real) best = std::max(best, gain(row));
  }
  return best;
}

std::vector<Comparison> compare(const Trace& trace, const std::vector<uint64_t>& mib) {
  const std::vector<uint32_t> costs = costs_of(trace);
  std::vector<Comparison> all(mib.size());
  std::vector<Work> work;
  work.reserve(mib.size());
  Jobs jobs;
  for (std::size_t i = 0; i < mib.size(); ++i) {
    all[i].trace = trace.name;
    all[i].mib = mib[i];
    work.emplace_back(trace, costs, all[i], jobs).add_all();
  }
  run_all(jobs);
  return all;
}

std::optional<double> r18_of(const Comparison& comparison, const Row& row) {
  if (comparison.best_gain() < kGainMin) return std::nullopt;
  return comparison.gain(row) / comparison.best_gain();
}

Figures figures_of(const std::vector<Comparison>& all, const std::string& policy) {
  Figures figures;
  double gain = 0, best = 0;
  for (const Comparison& comparison : all) {
    const Row* const row = find_row(all, comparison.trace, comparison.mib, policy);
    if (row == nullptr) continue;
    if (comparison.trace != "flood") {
      gain += comparison.gain(*row);
      best += comparison.best_gain();
      continue;
    }
    const Row* const clean = find_row(all, "dns", comparison.mib, policy);
    if (clean == nullptr) continue;
    const double ratio = row->score.ordinary_hit_ratio() / clean->score.ordinary_hit_ratio();
    figures.flood = std::min(figures.flood, ratio);
  }
  figures.r18 = best > 0 ? gain / best : 1;
  return figures;
}

}  // namespace millrace::cachesim
