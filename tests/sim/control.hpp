// SPDX-License-Identifier: Apache-2.0
#pragma once
// The control plane of a run: publishes configs and routes, frees old ones, flushes and looks up.
//
// Old images are freed as soon as the grace period allows and filled with garbage first, so a
// worker that still looks at one reads nonsense (and AddressSanitizer says where).

#include "tests/sim/oracle.hpp"
#include "tests/sim/plan.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace millrace::sim {

class Control {
 public:
  Control(const Plan& plan, Plane& plane, Oracle& oracle, Trace& trace, Random random);
  ~Control();

  // One chance to do something.
  void act(uint64_t now_ns, const std::vector<Bytes>& names);
  void publish_config();
  void publish_routes();
  // Every backend configured and reachable, for the end of a run.
  void restore();
  bool mail_pending() const { return mail_pending_; }
  void collect(uint64_t now_ns);

 private:
  struct OldConfig {
    std::unique_ptr<abi::ConfigImage> image;
    uint64_t token;
  };
  struct OldRoutes {
    std::unique_ptr<abi::RoutesImage> image;
    uint64_t token;
  };

  std::unique_ptr<abi::ConfigImage> compile();
  void write_boot(abi::BootSection& boot) const;
  void write_service(abi::ServiceSection& service);
  void write_pools(abi::ServiceSection& service);
  void write_rules(abi::ServiceSection& service);
  void write_forwards(abi::ServiceSection& service);
  uint32_t pool_of(uint32_t view) const;
  void change_something();
  void change_setting();
  void post_mail(uint64_t now_ns, const std::vector<Bytes>& names);
  void take_mail(uint64_t now_ns);
  void check_rows(const dp::Mailbox& mailbox) const;

  const Plan& plan_;
  Plane& plane_;
  Oracle& oracle_;
  Trace& trace_;
  Random random_;

  // What the next config says.
  std::vector<uint32_t> backends_;  // of the world, in the order of the config
  std::vector<uint32_t> pools_;     // 0 near, 1 far, 2 spare
  std::vector<uint32_t> binds_;
  enum class SortedBy : uint8_t { bind, access, name };
  SortedBy sorted_by_ = SortedBy::bind;  // how queries come to the pool of their view
  Plan said_;  // the plan, as far as configs go by it
  std::array<abi::PoolPolicy, 3> policies_;
  uint32_t ttl_s_max_ = 86400;
  uint32_t negative_ttl_s_max_ = 3600;
  uint32_t ttl_s_min_ = 0;
  uint32_t ttl_s_min_cacheable_ = 0;
  uint32_t failure_ttl_s_max_ = 4;
  uint16_t ports_from_ = kUpstreamPortFirst;
  std::array<bool, kBackends> routed_;

  uint64_t generation_ = 0;
  uint64_t routes_generation_ = 0;
  std::unique_ptr<abi::ConfigImage> config_;
  std::unique_ptr<abi::RoutesImage> routes_;
  std::vector<OldConfig> old_configs_;
  std::vector<OldRoutes> old_routes_;

  uint64_t mail_number_ = 0;
  bool mail_pending_ = false;
  abi::CacheQuery mail_{};
  bool mail_removes_ = false;
};

}  // namespace millrace::sim
