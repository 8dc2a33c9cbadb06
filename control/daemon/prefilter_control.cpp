// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/prefilter_control.hpp"

namespace millrace::ctl {

Status XdpPrefilterControl::use(const std::vector<std::string>& interfaces) {
  auto opened = Prefilter::open(pin_dir_);
  if (!opened.ok()) return opened.status();
  auto next = std::move(opened).value();
  for (const auto& interface : interfaces) {
    if (auto attached = next->attach(interface); !attached.ok()) {
      return attached.in("prefilter on " + interface);
    }
  }
  // The old object only closes its descriptors; what it attached and `next` did not is an "other".
  if (auto detached = next->detach_others(); !detached.ok()) return detached;
  prefilter_ = std::move(next);
  return {};
}

Status XdpPrefilterControl::verify(const std::string& interface) const {
  if (!prefilter_) return {Code::error, "prefilter is not attached"};
  return prefilter_->verify(interface);
}

Status XdpPrefilterControl::set_rules(const PrefilterRules& rules) {
  if (!prefilter_) return {Code::error, "prefilter is not attached"};
  return prefilter_->set_rules(rules);
}

Result<PrefilterCounters> XdpPrefilterControl::counters(const std::string& interface) const {
  if (!prefilter_) return Status(Code::error, "prefilter is not attached");
  return prefilter_->counters(interface);
}

std::string XdpPrefilterControl::mode(const std::string& interface) const {
  return prefilter_ ? prefilter_->mode(interface) : "detached";
}

bool XdpPrefilterControl::adopted(const std::string& interface) const {
  return prefilter_ && prefilter_->adopted(interface);
}

Status XdpPrefilterControl::remove_all() {
  if (!prefilter_) return {};
  auto removed = prefilter_->detach_all();
  prefilter_.reset();
  return removed;
}

Result<std::vector<std::string>> XdpPrefilterControl::remove_fresh() {
  if (!prefilter_) return std::vector<std::string>();
  auto kept = prefilter_->detach_fresh();
  prefilter_.reset();
  return kept;
}

}  // namespace millrace::ctl
