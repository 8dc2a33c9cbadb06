// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/control.hpp"

#include "dataplane/snapshot/config_attach.hpp"
#include "tests/support/packet_reader.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace millrace::sim {

using namespace millrace::test;

namespace {

constexpr const char* kPoolName[] = {"near", "far", "spare"};

template <std::size_t kBytes>
void put_text(char (&to)[kBytes], const std::string& text) {
  std::snprintf(to, kBytes, "%s", text.c_str());
}

template <class Image>
void seal(Image& image, uint64_t magic, uint64_t generation) {
  image.header.magic = magic;
  image.header.abi_version = abi::kAbiVersion;
  image.header.bytes = sizeof(Image);
  image.header.generation = generation;
  image.header.checksum = snapshot::image_checksum(&image, sizeof image);
}

template <class Image>
void spoil(Image& image) {
  std::memset(static_cast<void*>(&image), 0xa5, sizeof image);
}

}  // namespace

Control::Control(const Plan& plan, Plane& plane, Oracle& oracle, Trace& trace, Random random)
    : plan_(plan), plane_(plane), oracle_(oracle), trace_(trace), random_(random), said_(plan) {
  policies_.fill(static_cast<abi::PoolPolicy>(plan.policy));
  for (uint32_t b = 0; b < kBackends; ++b)
    backends_.push_back(b);
  pools_ = {0, 1};
  binds_ = {0, 1, 2, 3};
  routed_.fill(true);
}

Control::~Control() {
  plane_.config().publish(nullptr);
  plane_.routes().publish(nullptr);
}

void Control::write_boot(abi::BootSection& boot) const {
  boot.workers = plan_.workers;
  boot.ports = 2;
  boot.shards = plan_.shards;
  boot.frames_per_worker = 4096;
  boot.flows_per_worker = plan_.flows;
  boot.cache_bytes = plan_.shards * (2ULL << 20);
  for (uint32_t p = 0; p < boot.ports; ++p) {
    put_text(boot.port[p].name, "port" + std::to_string(p));
    put_text(boot.port[p].interface, "eth" + std::to_string(p));
  }
}

void Control::write_pools(abi::ServiceSection& service) {
  service.backends = static_cast<uint32_t>(backends_.size());
  for (uint32_t i = 0; i < service.backends; ++i) {
    const Place& place = kBackend[backends_[i]];
    put_text(service.backend[i].name, "backend" + std::to_string(backends_[i]));
    service.backend[i].address = address_of(place.text, place.port);
    service.backend[i].weight = static_cast<uint16_t>(1 + backends_[i] % 3);
    service.backend[i].in_flight_max = static_cast<uint16_t>(said_.in_flight_max);
  }
  service.pools = static_cast<uint32_t>(pools_.size());
  for (uint32_t p = 0; p < service.pools; ++p) {
    put_text(service.pool[p].name, kPoolName[pools_[p]]);
    service.pool[p].packet_cache = std::min(pools_[p], kViews - 1);
    service.pool[p].policy = policies_[pools_[p]];
    if (said_.subnet_variants != 0 && by_subnet(plan_, static_cast<uint8_t>(pools_[p]))) {
      service.pool[p].subnet_variants = static_cast<uint8_t>(said_.subnet_variants);
      service.pool[p].subnet_bits4 = static_cast<uint8_t>(plan_.subnet_bits4);
      service.pool[p].subnet_bits6 = static_cast<uint8_t>(plan_.subnet_bits6);
    }
    for (uint32_t i = 0; i < service.backends; ++i) {
      if (kBackend[backends_[i]].view == pools_[p]) service.pool[p].backends |= 1u << i;
    }
  }
  service.binds = static_cast<uint32_t>(binds_.size());
  for (uint32_t i = 0; i < service.binds; ++i) {
    const Place& place = kBind[binds_[i]];
    service.bind[i].address = address_of(place.text, place.port);
    const auto pool = std::find(pools_.begin(), pools_.end(), place.view);
    service.bind[i].pool = static_cast<uint32_t>(pool - pools_.begin());
  }
  if (sorted_by_ == SortedBy::access) write_rules(service);
  if (sorted_by_ == SortedBy::name) write_forwards(service);
}

// The same views by name: each bind has the pool of the other view, and every name of that is
// forwarded to the right one. What is not, or by another generation's rules, shows likewise.
void Control::write_forwards(abi::ServiceSection& service) {
  const Bytes names[] = {Bytes{0}, Name("mr.test").bytes()};
  for (uint32_t i = 0; i < service.binds; ++i)
    service.bind[i].pool = pool_of(1 - kBind[binds_[i]].view);
  for (const Bytes& name : names) {
    for (uint32_t view = 0; view < 2; ++view) {
      abi::ForwardConfig& forward = service.forward[service.forwards++];
      forward.pools = static_cast<uint16_t>(1u << pool_of(1 - view));
      forward.pool = static_cast<uint8_t>(pool_of(view));
      forward.bytes = static_cast<uint8_t>(name.size());
      std::copy(name.begin(), name.end(), service.forward_name + service.forward_bytes);
      service.forward_bytes += forward.bytes;
    }
  }
}

uint32_t Control::pool_of(uint32_t view) const {
  return static_cast<uint32_t>(std::find(pools_.begin(), pools_.end(), view) - pools_.begin());
}

// The same views by access rules: each bind has the pool of the other view, and a rule for
// everybody who asks it sets that right. What is not judged, or by another generation's rules,
// shows as an answer of the wrong view.
void Control::write_rules(abi::ServiceSection& service) {
  for (uint32_t view = 0; view < 2; ++view) {
    abi::RuleConfig& rule = service.rule[service.rules++];
    rule.prefixes = 2;
    rule.pool = static_cast<uint8_t>(pool_of(view));
    for (uint32_t i = 0; i < service.binds; ++i) {
      if (kBind[binds_[i]].view != view) continue;
      rule.binds |= 1u << i;
      service.bind[i].pool = pool_of(1 - view);
    }
    service.prefix[service.prefixes++].family = 4;
    service.prefix[service.prefixes++].family = 6;
  }
}

void Control::write_service(abi::ServiceSection& service) {
  service.packet_caches = kViews;
  for (uint32_t c = 0; c < kViews; ++c) {
    abi::PacketCacheConfig& cache = service.packet_cache[c];
    put_text(cache.name, "cache" + std::to_string(c));
    cache.ttl_s_max = ttl_s_max_;
    cache.ttl_s_min = std::min(ttl_s_min_, ttl_s_max_);
    cache.ttl_s_min_cacheable = std::min(ttl_s_min_cacheable_, ttl_s_max_);
    cache.negative_ttl_s_max = negative_ttl_s_max_;
    cache.failure_ttl_s = 1;
    cache.failure_ttl_s_max = failure_ttl_s_max_;
    cache.entry_bytes_max = 4096;
  }
  service.edns_udp_bytes = plan_.edns_udp_bytes;
  service.local.cookies = 1;
  service.upstream_edns_udp_bytes = 1232;
  service.upstream_port_first = ports_from_;
  service.upstream_port_end = static_cast<uint16_t>(ports_from_ + kUpstreamPorts);
  service.upstream_try_ms = said_.try_ms;
  service.upstream_hedge_ms = said_.hedge_ms;
  service.upstream_give_up_ms = said_.give_up_ms;
  service.upstream_tries_max = said_.tries_max;
  service.probe_interval_ms = said_.probe_interval_ms;
  service.down_after = said_.down_after;
  service.prefetch = {said_.prefetch_percent, 1, 1000};
  service.stale = {said_.stale_kept_s, said_.stale_timer_ms, 2, kStaleTtlS};
  service.limits = {.domain_misses_max = said_.domain_misses_max,
                    .client_misses_max = said_.client_misses_max,
                    .responses_per_second = said_.responses_per_second,
                    .slip = static_cast<uint16_t>(said_.slip),
                    .prefix_bits4 = 24,
                    .prefix_bits6 = 56};
  service.answer_rd0 = plan_.answer_rd0 ? 1 : 0;
  service.upstream_randomize_case = plan_.randomize_case ? 1 : 0;
  service.upstream_cookies = plan_.cookies ? 1 : 0;
  for (const uint16_t tag : kClientTag)
    if (tag != 0) service.vlan[tag % 4096 / 32] |= 1u << tag % 32;
  service.tcp = {1000, 100, said_.tcp_queries_max, kTcpIdleMs};
}

std::unique_ptr<abi::ConfigImage> Control::compile() {
  auto image = std::make_unique<abi::ConfigImage>();
  std::memset(static_cast<void*>(image.get()), 0, sizeof *image);
  write_boot(image->boot);
  write_service(image->service);
  write_pools(image->service);
  seal(*image, abi::kConfigMagic, ++generation_);
  return image;
}

void Control::publish_config() {
  std::unique_ptr<abi::ConfigImage> image = compile();
  oracle_.config_published(*image);
  trace_.event("config", generation_, [this] {
    return std::to_string(generation_) + ": stale " + std::to_string(said_.stale_kept_s) +
           " s, give up " + std::to_string(said_.give_up_ms) + " ms, try " +
           std::to_string(said_.try_ms) + " ms, tries " + std::to_string(said_.tries_max) +
           ", TTL at least " + std::to_string(ttl_s_min_cacheable_) + " s";
  });
  plane_.config().publish(image.get());
  std::swap(config_, image);
  const GracePeriod grace = plane_.grace();
  if (image != nullptr) old_configs_.push_back({std::move(image), grace.start(grace.context)});
}

void Control::publish_routes() {
  if (config_ == nullptr) return;
  auto image = std::make_unique<abi::RoutesImage>();
  std::memset(static_cast<void*>(image.get()), 0, sizeof *image);
  image->config_generation = generation_;
  image->backends = static_cast<uint32_t>(backends_.size());
  for (uint32_t i = 0; i < image->backends; ++i) {
    abi::NextHop& hop = image->hop[i];
    const uint32_t b = backends_[i];
    hop.source = address_of(is_v6(kBackend[b].text) ? kSourceV6 : kSourceV4);
    hop.usable = routed_[b] ? 1 : 0;
    hop.mtu = 1500;
    const uint8_t source_mac[6] = {0x02, 0, 0, 0, 0, 0x53};
    const uint8_t target_mac[6] = {0x02, 0, 0, 0, 1, static_cast<uint8_t>(b)};
    std::memcpy(hop.source_mac, source_mac, 6);
    std::memcpy(hop.target_mac, target_mac, 6);
    if (b == 3) hop.vlan_tci_be = 0x0700;
    hop.port = port_to(b);
  }
  seal(*image, abi::kRoutesMagic, ++routes_generation_);
  const std::string why = snapshot::verify_routes(image.get(), sizeof *image, *config_);
  if (!why.empty()) violate("simulator", why);
  oracle_.routes_published(*image);
  trace_.event("routes", routes_generation_);
  plane_.routes().publish(image.get());
  std::swap(routes_, image);
  const GracePeriod grace = plane_.grace();
  if (image != nullptr) old_routes_.push_back({std::move(image), grace.start(grace.context)});
}

void Control::restore() {
  backends_.clear();
  for (uint32_t b = 0; b < kBackends; ++b)
    backends_.push_back(b);
  routed_.fill(true);
  const uint32_t give_up_ms = said_.give_up_ms;
  said_ = plan_;
  said_.give_up_ms = give_up_ms;
  said_.responses_per_second = 0;
  policies_.fill(static_cast<abi::PoolPolicy>(plan_.policy));
  publish_config();
  publish_routes();
}

void Control::change_something() {
  const auto shuffle = [this](std::vector<uint32_t>& list) {
    for (std::size_t i = list.size(); i > 1; --i) {
      std::swap(list[i - 1], list[random_.below(static_cast<uint32_t>(i))]);
    }
  };
  switch (random_.below(11)) {
    case 0:
      shuffle(backends_);
      return;
    case 1:
      shuffle(pools_);
      return;
    case 2:
      shuffle(binds_);
      return;
    case 6:
      sorted_by_ = static_cast<SortedBy>(random_.below(3));
      return;
    case 3: {
      const uint32_t b = random_.below(kBackends);
      const auto found = std::find(backends_.begin(), backends_.end(), b);
      if (found == backends_.end()) {
        backends_.insert(
            backends_.begin() + random_.below(static_cast<uint32_t>(backends_.size() + 1)), b);
      } else if (backends_.size() > 1) {
        backends_.erase(found);
      }
      return;
    }
    case 4: {
      const auto found = std::find(pools_.begin(), pools_.end(), 2u);
      if (found != pools_.end()) {
        pools_.erase(found);
      } else {
        pools_.insert(pools_.begin() + random_.below(3), 2u);
      }
      return;
    }
    case 5: {
      static constexpr uint32_t kMax[] = {5, 60, 86400};
      static constexpr uint32_t kMin[] = {0, 0, 2, 10};
      ttl_s_max_ = random_.pick(kMax);
      negative_ttl_s_max_ = random_.pick(kMax);
      ttl_s_min_ = random_.pick(kMin);
      ttl_s_min_cacheable_ = random_.pick(kMin);
      return;
    }
    default:
      change_setting();
      return;
  }
}

// Something that the plan says for the whole run. The oracle goes by the plan, so it may only
// become what the oracle does not mind: less where that says "at most", more where "at least".
void Control::change_setting() {
  switch (random_.below(12)) {
    case 0:
      for (abi::PoolPolicy& policy : policies_)
        policy = static_cast<abi::PoolPolicy>(random_.below(5));
      return;
    case 1:
      said_.in_flight_max = random_.chance(500) ? 0 : 1 + random_.below(10);
      return;
    case 2:
      // Never longer again: a try that was cut short by the old time would not be given the new.
      said_.give_up_ms /= static_cast<uint32_t>(random_.between(1, 4));
      said_.give_up_ms = std::max(said_.give_up_ms, plan_.try_ms);
      said_.try_ms = static_cast<uint32_t>(random_.between(plan_.try_ms, said_.give_up_ms));
      said_.tries_max = static_cast<uint32_t>(random_.between(1, plan_.tries_max));
      return;
    case 3:
      said_.hedge_ms = plan_.hedge_ms == 0 ? 50 : plan_.hedge_ms;
      said_.hedge_ms *= random_.below(5);
      return;
    case 4:
      said_.prefetch_percent = plan_.prefetch_percent / (1 + random_.below(2)) * random_.below(2);
      return;
    case 5:
      said_.stale_kept_s = plan_.stale_kept_s / (1 + random_.below(4)) * random_.below(2);
      said_.stale_timer_ms = 20 + random_.below(400);
      return;
    case 6:
      said_.down_after = static_cast<uint32_t>(random_.between(1, 6));
      said_.probe_interval_ms = plan_.probe_interval_ms * (1 + random_.below(4));
      return;
    case 7:
      said_.domain_misses_max = random_.below(4) * random_.below(10);
      said_.client_misses_max = random_.below(4) * random_.below(10);
      said_.responses_per_second = plan_.responses_per_second * random_.below(2);
      said_.slip = random_.below(4);
      return;
    case 8:
      said_.tcp_queries_max = 1 + random_.below(100);
      return;
    case 9:
      if (plan_.subnet_variants != 0) said_.subnet_variants = random_.below(2) * random_.below(20);
      return;
    case 10:
      failure_ttl_s_max_ = 1 + random_.below(300);
      return;
    default:
      ports_from_ = static_cast<uint16_t>(kUpstreamPortFirst + random_.below(3) * kUpstreamPorts);
      return;
  }
}

void Control::act(uint64_t now_ns, const std::vector<Bytes>& names) {
  const auto due = [this](uint32_t per_100000) { return random_.below(100'000) < per_100000; };
  if (due(plan_.reconfigure)) {
    change_something();
    publish_config();
    if (random_.chance(700)) publish_routes();
  }
  if (due(plan_.reroute)) {
    bool& routed = random_.pick(routed_);
    routed = !routed;
    publish_routes();
  }
  if (!mail_pending_ && due(plan_.mail)) post_mail(now_ns, names);
  collect(now_ns);
}

void Control::collect(uint64_t now_ns) {
  if (mail_pending_) take_mail(now_ns);
  const GracePeriod grace = plane_.grace();
  const auto passed = [&grace](auto& old) {
    if (!grace.passed(grace.context, old.token)) return false;
    spoil(*old.image);
    return true;
  };
  std::erase_if(old_configs_, passed);
  std::erase_if(old_routes_, passed);
}

void Control::post_mail(uint64_t now_ns, const std::vector<Bytes>& names) {
  mail_ = {};
  mail_removes_ = random_.chance(700);
  mail_.packet_cache = random_.chance(700) ? 0xff : static_cast<uint8_t>(random_.below(kViews));
  mail_.qtype = random_.chance(700) ? 0 : kTypeA;
  mail_.negative_only = mail_removes_ && random_.chance(200) ? 1 : 0;
  Bytes name;
  switch (random_.below(4)) {
    case 0:
      mail_.match = abi::NameMatch::all;
      break;
    case 1:
      mail_.match = abi::NameMatch::suffix;
      name = Name("mr.test").bytes();
      break;
    case 2:
      mail_.match = abi::NameMatch::suffix;
      name = names[random_.below(static_cast<uint32_t>(names.size()))];
      break;
    default:
      mail_.match = abi::NameMatch::exact;
      name = names[0];
      break;
  }
  mail_.name_bytes = static_cast<uint8_t>(name.size());
  const Bytes lower = folded(name);
  std::copy(lower.begin(), lower.end(), mail_.name);
  mail_number_ += 1;
  mail_pending_ = true;
  trace_.event(mail_removes_ ? "flush" : "lookup", mail_number_);
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w) {
    dp::Mailbox& mailbox = plane_.core(w).mailbox;
    mailbox.remove = mail_removes_;
    mailbox.query = mail_;
    // Release pairs with the worker's acquire.
    mailbox.asked.store(mail_number_, std::memory_order_release);
  }
  if (mail_removes_) oracle_.flush_asked(mail_, now_ns);
}

void Control::take_mail(uint64_t now_ns) {
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w) {
    // Acquire pairs with the worker's release.
    if (plane_.core(w).mailbox.answered.load(std::memory_order_acquire) != mail_number_) return;
  }
  mail_pending_ = false;
  trace_.event("mail done", mail_number_);
  if (mail_removes_) {
    oracle_.flush_answered(now_ns);
    return;
  }
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w)
    check_rows(plane_.core(w).mailbox);
}

void Control::check_rows(const dp::Mailbox& mailbox) const {
  demand(mailbox.rows <= mailbox.rows_total && mailbox.rows <= abi::kCacheRowsMax, "lookup",
         "more rows than there are");
  for (uint32_t i = 0; i < mailbox.rows; ++i) {
    const abi::CacheRow& row = mailbox.row[i];
    demand(row.ttl_s <= row.lifetime_s && (row.ttl_s != 0) == (row.stale_s == 0), "lookup",
           "a row past its time");
    demand(mail_.qtype == 0 || row.qtype == mail_.qtype, "lookup", "a row of another type");
    demand(mail_.packet_cache == 0xff || row.packet_cache == mail_.packet_cache, "lookup",
           "a row of another cache");
  }
}

}  // namespace millrace::sim
