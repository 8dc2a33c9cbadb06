// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/plan.hpp"

#include "dataplane/abi/config_image.hpp"

#include <bit>

namespace millrace::sim {
namespace {

void choose_sizes(Plan& plan, Random& random) {
  plan.workers = static_cast<uint32_t>(random.between(1, 4));
  plan.shards = std::bit_ceil(plan.workers) << random.below(2);
  static constexpr uint32_t kPendings[] = {8, 32, 128, 256};
  static constexpr uint32_t kWaiters[] = {16, 64, 256, 1024};
  plan.pendings = random.pick(kPendings);
  plan.waiters = random.pick(kWaiters);
  static constexpr uint32_t kFrames[] = {1200, 2048, 3000};
  plan.frames = random.pick(kFrames);
}

void choose_tempo(Plan& plan, Random& random) {
  static constexpr uint64_t kTurns[] = {5'000, 50'000, 400'000, 2'000'000, 8'000'000};
  plan.turn_ns = random.pick(kTurns);
  static constexpr uint32_t kQueries[] = {100, 300, 300, 900};
  plan.query_per_mille = random.pick(kQueries);
  static constexpr uint32_t kNames[] = {3, 20, 50, 300};
  plan.popular_names = random.pick(kNames);
  static constexpr uint32_t kOneShots[] = {0, 50, 200, 700};
  plan.one_shot_per_mille = random.pick(kOneShots);
  if (random.chance(250)) {
    plan.storm_per_mille = 1;
    plan.frames = 4096;
  }
  if (random.chance(150)) {
    // A flood of large answers into one small shard.
    plan.large_one_shots = true;
    plan.one_shot_per_mille = 900;
    plan.query_per_mille = 600;
    plan.workers = plan.shards = 1 + random.below(2);
  }
}

// Each kind of trouble is there in some seeds and not in others, so that seeds differ in character.
void choose_trouble(Plan& plan, Random& random) {
  const auto maybe = [&random](uint32_t per_mille, uint32_t value) {
    return random.chance(per_mille) ? value : 0;
  };
  plan.client_loss = maybe(500, 50);
  plan.client_duplicate = maybe(500, 50);
  plan.upstream_loss = maybe(500, random.chance(300) ? 400 : 80);
  plan.upstream_duplicate = maybe(500, 80);
  plan.failing_names = maybe(600, 120);
  plan.hostile = maybe(700, 150);
  plan.forged = maybe(700, 300);
  plan.guessed = maybe(300, 20);
  plan.in_flight_max = maybe(200, 1 + random.below(20));
  plan.backend_trouble = maybe(600, 300);
  plan.stall = maybe(400, 100);
  plan.starve = maybe(300, 100);
  plan.tx_drop = maybe(200, 20);
  plan.clock_jump = maybe(300, 50);
  plan.reconfigure = maybe(500, random.chance(300) ? 2000 : 200);
  plan.reroute = maybe(500, 300);
  plan.mail = maybe(500, 300);
  plan.answer_rd0 = random.chance(500);
  plan.late_start = random.chance(200);
}

void choose_config(Plan& plan, Random& random) {
  static constexpr uint16_t kEdns[] = {512, 700, 1232, 1232};
  plan.edns_udp_bytes = random.pick(kEdns);
  static constexpr uint32_t kTry[] = {30, 200, 400};
  plan.try_ms = random.pick(kTry);
  plan.give_up_ms = plan.try_ms * static_cast<uint32_t>(random.between(1, 8));
  plan.tries_max = static_cast<uint32_t>(random.between(1, abi::kTriesMax));
  static constexpr uint32_t kHedge[] = {0, 0, 5, 40};
  plan.hedge_ms = random.pick(kHedge);
  plan.policy = random.below(5);
  plan.down_after = static_cast<uint32_t>(random.between(1, 4));
  static constexpr uint32_t kProbe[] = {100, 500, 2000};
  plan.probe_interval_ms = random.pick(kProbe);
}

// Usual ones mostly, sometimes none, sometimes such as are hit all the time.
void choose_limits(Plan& plan, Random& random) {
  const uint32_t kind = plan.calm ? 0 : random.below(4);
  if (kind == 3) return;
  plan.domain_misses_max = kind == 2 ? 1 + random.below(4) : plan.pendings / 4;
  plan.client_misses_max = kind == 2 ? 1 + random.below(4) : plan.waiters / 8;
  if (kind != 2) return;
  static constexpr uint32_t kRate[] = {0, 0, 2, 40};
  plan.responses_per_second = random.pick(kRate);
  plan.slip = random.below(4);
}

// What came later, drawn from a copy: what was found under a seed without it stays there.
void choose_more(Plan& plan, Random random) {
  static constexpr uint32_t kPrefetch[] = {0, 0, 10, 50};
  plan.prefetch_percent = random.pick(kPrefetch);
  static constexpr uint32_t kKept[] = {0, 0, 20, 3600};
  plan.stale_kept_s = random.pick(kKept);
  static constexpr uint32_t kTimer[] = {20, 100, 1800};
  plan.stale_timer_ms = random.pick(kTimer);
  plan.randomize_case = random.chance(600);
  plan.cookies = random.chance(600);
  // Without TCP nobody is found out who changes the case.
  const bool changed = random.chance(300);
  plan.changes_case = !plan.randomize_case ? 100 : changed && !plan.calm ? 30 : 0;
  plan.wants_cookie = random.chance(300) && plan.tries_max < abi::kTriesMax ? 300 : 0;
  choose_limits(plan, random);
  plan.unreachable = random.chance(500) ? 400 : 0;
  plan.tcp = random.chance(400);
  if (random.chance(250)) {
    // Whoever is asked without EDNS, or refuses, is not told for whom: that is left to other tests.
    static constexpr uint32_t kVariants[] = {1, 3, 50};
    plan.subnet_variants = random.pick(kVariants);
    static constexpr uint32_t kBits4[] = {16, 24, 24, 32}, kBits6[] = {48, 56, 64};
    plan.subnet_bits4 = random.pick(kBits4);
    plan.subnet_bits6 = random.pick(kBits6);
    plan.old_backends = false;
  }
  static constexpr uint32_t kQueries[] = {1, 4, 100};
  if (!plan.calm) plan.tcp_queries_max = random.pick(kQueries);
  if (!plan.calm) plan.tcp_trouble = random.chance(600) ? 1 + random.below(200) : 0;
}

}  // namespace

Plan make_plan(Random& random) {
  Plan plan;
  choose_sizes(plan, random);
  choose_tempo(plan, random);
  choose_config(plan, random);
  plan.calm = random.chance(200);
  // A client that wants DNSSEC needs a second try, at one that knows EDNS.
  plan.old_backends = random.chance(400) && (!plan.calm || plan.tries_max > 1);
  if (plan.calm) {
    // Room for everything and nothing lost: whatever is asked must be answered with data, whatever
    // is forged.
    plan.pendings = 1024;
    plan.waiters = 2048;
    plan.frames = 3000;
    plan.storm_per_mille = 0;
    plan.give_up_ms = 2000;
    plan.try_ms = 200;
    plan.forged = random.chance(700) ? 300 : 0;
    plan.client_duplicate = 30;
    plan.upstream_duplicate = 30;
    plan.turn_ns = plan.turn_ns > 2'000'000 ? 2'000'000 : plan.turn_ns;
  } else {
    choose_trouble(plan, random);
  }
  choose_more(plan, random);
  return plan;
}

}  // namespace millrace::sim
