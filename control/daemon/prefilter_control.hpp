// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the daemon asks of the prefilter. A cold interface, so that tests need no kernel.

#include <memory>
#include <string>
#include <vector>

#include "control/xdp/prefilter.hpp"

namespace millrace::ctl {

class PrefilterControl {
 public:
  virtual ~PrefilterControl() = default;

  // Attaches to these interfaces (keeping what already runs there) and leaves every other one.
  virtual Status use(const std::vector<std::string>& interfaces) = 0;
  // The kernel still has there what use() left there. Code::unreachable: no such interface.
  virtual Status verify(const std::string& interface) const = 0;
  virtual Status set_rules(const PrefilterRules& rules) = 0;
  virtual Result<PrefilterCounters> counters(const std::string& interface) const = 0;
  virtual std::string mode(const std::string& interface) const = 0;
  // The sockets of a data plane that ran before use() are still in service there.
  virtual bool adopted(const std::string& interface) const = 0;
  virtual Status remove_all() = 0;
  // The same, but for what the last use() found in place: that stays, and is returned.
  virtual Result<std::vector<std::string>> remove_fresh() = 0;
};

class XdpPrefilterControl final : public PrefilterControl {
 public:
  explicit XdpPrefilterControl(std::string pin_dir) : pin_dir_(std::move(pin_dir)) {}

  Status use(const std::vector<std::string>& interfaces) override;
  Status verify(const std::string& interface) const override;
  Status set_rules(const PrefilterRules& rules) override;
  Result<PrefilterCounters> counters(const std::string& interface) const override;
  std::string mode(const std::string& interface) const override;
  bool adopted(const std::string& interface) const override;
  Status remove_all() override;
  Result<std::vector<std::string>> remove_fresh() override;

 private:
  std::string pin_dir_;
  std::unique_ptr<Prefilter> prefilter_;
};

}  // namespace millrace::ctl
