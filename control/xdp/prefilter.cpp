// SPDX-License-Identifier: Apache-2.0
#include "control/xdp/prefilter.hpp"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <net/if.h>
#include <optional>
#include <prefilter.skel.h>

#include "control/xdp/bpffs.hpp"
#include "control/xdp/endpoint_rows.hpp"
#include "control/xdp/kernel_bpf.hpp"
#include "ebpf/abi/xdp_abi.h"

namespace millrace::ctl {

namespace {

constexpr std::size_t kLibraryTextBytesMax = 2000;

struct SkeletonDeleter {
  void operator()(prefilter_bpf* skeleton) const { prefilter_bpf::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<prefilter_bpf, SkeletonDeleter>;

struct Loaded {
  Skeleton skeleton;
  KernelProgram program;
  bool keeps_xsks = false;

  int fd() const { return bpf_program__fd(skeleton->progs.MR_XDP_PROGRAM); }
};

// What runs on one interface.
struct Instance {
  int interface_idx = 0;
  uint32_t program_id = 0;
  Fd link = {};
  Fd xsks = {};
  Fd rules = {};
  Fd counters = {};
  bool native = false;
  bool found = false;    // a prefilter ran there before
  bool adopted = false;  // its sockets as well
  std::string native_refusal = {};
};

// libbpf prints its reasons; the last of them belong into the Status.
std::string& library_text() {
  thread_local std::string text;
  return text;
}

__attribute__((format(printf, 2, 0))) int keep_library_text(libbpf_print_level level,
                                                            const char* format, va_list args) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 512> line = {};
  const int bytes = std::vsnprintf(line.data(), line.size(), format, args);
  std::string& text = library_text();
  text += line.data();
  if (text.size() > kLibraryTextBytesMax) text.erase(0, text.size() - kLibraryTextBytesMax);
  return bytes;
}

Result<int> index_of(const std::string& interface) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index != 0) return static_cast<int>(index);
  return Status(Code::error, "interface '" + interface +
                                 "' does not exist in this network namespace (see `ip link`)");
}

Status foreign_program(const std::string& interface, int interface_idx,
                       const AttachedProgram& found) {
  const Result<Fd> link = find_link(interface_idx, found.id);
  std::string remedy =
      "ip link set dev " + interface + (found.native ? " xdp off" : " xdpgeneric off");
  if (link.ok() && link.value().valid()) {
    bpf_link_info info = {};
    uint32_t bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(link.value().get(), &info, &bytes) == 0)
      remedy = "bpftool link detach id " + std::to_string(info.id);
  }
  return Status(Code::error, "interface " + interface + " has an XDP program of somebody else, '" +
                                 found.program.name + "' (id " + std::to_string(found.id) +
                                 "), which is never replaced: stop the software that owns it, or " +
                                 "remove it with `" + remedy + "`");
}

// The socket map of `running`, if the program of today can go on with it.
Result<Fd> reusable_xsks(const KernelProgram& running, const bpf_map* ours) {
  const KernelMap* theirs = running.map(kXsksName);
  const KernelMap wanted = {.name = kXsksName,
                            .id = 0,
                            .type = static_cast<uint32_t>(bpf_map__type(ours)),
                            .key_bytes = bpf_map__key_size(ours),
                            .value_bytes = bpf_map__value_size(ours),
                            .entries_max = bpf_map__max_entries(ours),
                            .flags = bpf_map__map_flags(ours)};
  if (!wanted.same_definition(*theirs)) return Fd();
  return open_map(theirs->id);
}

// Loads the program, around the socket map of the running prefilter where there is one.
Result<Loaded> load_program(const KernelProgram* running) {
  library_text().clear();
  Loaded loaded = {.skeleton = Skeleton(prefilter_bpf::open()), .program = {}};
  if (loaded.skeleton == nullptr) return kernel_error("cannot open the prefilter object", errno);
  bpf_map* const xsks = loaded.skeleton->maps.MR_XDP_XSKS;
  if (running != nullptr) {
    const Result<Fd> theirs = reusable_xsks(*running, xsks);
    if (!theirs.ok()) return theirs.status();
    loaded.keeps_xsks = theirs.value().valid();
    const int error = loaded.keeps_xsks ? bpf_map__reuse_fd(xsks, theirs.value().get()) : 0;
    if (error != 0) return kernel_error("bpf_map__reuse_fd", -error);
  }
  const int error = prefilter_bpf::load(loaded.skeleton.get());
  if (error != 0)
    return kernel_error("the kernel does not load the prefilter\n" + library_text(), -error);
  Result<KernelProgram> program = describe_program(loaded.fd());
  if (!program.ok()) return program.status();
  loaded.program = std::move(program).value();
  return loaded;
}

Status take_maps(Instance& instance, const KernelProgram& program) {
  const std::pair<Fd*, const char*> wanted[] = {{&instance.xsks, kXsksName},
                                                {&instance.rules, kRulesName},
                                                {&instance.counters, kCountersName}};
  for (const auto& [fd, name] : wanted) {
    Result<Fd> map = open_map(program.map(name)->id);
    if (!map.ok()) return map.status();
    *fd = std::move(map).value();
  }
  return Status();
}

Status attach_fresh(Instance& instance) {
  const Result<Loaded> loaded = load_program(nullptr);
  if (!loaded.ok()) return loaded.status();
  const Status maps = take_maps(instance, loaded.value().program);
  if (!maps.ok()) return maps;
  Result<LinkAttempt> attempt = create_link(loaded.value().fd(), instance.interface_idx);
  if (!attempt.ok()) return attempt.status();
  instance.link = std::move(attempt.value().link);
  instance.native_refusal = attempt.value().native_refusal;
  instance.native = instance.native_refusal.empty();
  return Status();
}

// `instance.link` holds `running`, a prefilter of this or of another version.
Status adopt(Instance& instance, const AttachedProgram& running) {
  instance.native = running.native;
  const Result<Loaded> loaded = load_program(&running.program);
  if (!loaded.ok()) return loaded.status();
  const KernelProgram& fresh = loaded.value().program;
  instance.adopted = loaded.value().keeps_xsks;
  if (fresh.same_as(running.program)) return take_maps(instance, running.program);
  const Status maps = take_maps(instance, fresh);
  if (!maps.ok()) return maps;
  const int error = bpf_link_update(instance.link.get(), loaded.value().fd(), nullptr);
  return error == 0 ? Status() : kernel_error("bpf_link_update", -error);
}

Status pin_instance(const Instance& instance, const std::string& folder) {
  const std::pair<const Fd*, std::string> objects[] = {{&instance.link, "link"},
                                                       {&instance.xsks, kXsksName},
                                                       {&instance.rules, kRulesName},
                                                       {&instance.counters, kCountersName}};
  for (const auto& [fd, name] : objects) {
    const Status status = pin_object(fd->get(), folder + "/" + name);
    if (!status.ok()) return status;
  }
  return Status();
}

// Works whatever else pins the link, on whichever bpffs.
Status detach_link(const Fd& link) {
  const int error = bpf_link_detach(link.get());
  return error == 0 ? Status() : kernel_error("bpf_link_detach", -error);
}

Result<bpf_link_info> describe_link(const Fd& link) {
  bpf_link_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &bytes) == 0) return info;
  return kernel_error("bpf_obj_get_info_by_fd (link)", errno);
}

// Takes prefilters off every interface of this network namespace that is not in `keep`.
Status detach_all_but(const std::vector<std::string>& keep) {
  Status first;
  struct if_nameindex* const names = ::if_nameindex();
  if (names == nullptr) return kernel_error("if_nameindex", errno);
  for (const struct if_nameindex* it = names; it->if_index != 0; ++it) {
    if (std::find(keep.begin(), keep.end(), it->if_name) != keep.end()) continue;
    const int index = static_cast<int>(it->if_index);
    Status status;
    const auto found = attached_program(index);
    if (!found.ok()) {
      status = found.status();
    } else if (found.value().has_value() && found.value()->program.is_prefilter()) {
      const Result<Fd> link = find_link(index, found.value()->id);
      if (!link.ok())
        status = link.status();
      else if (link.value().valid())
        status = detach_link(link.value());
    }
    if (first.ok()) first = status.in(std::string("interface ") + it->if_name);
  }
  ::if_freenameindex(names);
  return first;
}

}  // namespace

struct Prefilter::Impl {
  PinFolder pins;
  std::map<std::string, Instance> instances = {};

  Result<const Instance*> find(const std::string& interface) const {
    const auto it = instances.find(interface);
    if (it != instances.end()) return &it->second;
    return Status(Code::error, "interface '" + interface + "' has no prefilter attached");
  }

  std::vector<std::string> interfaces() const {
    std::vector<std::string> names;
    for (const auto& [name, instance] : instances) names.push_back(name);
    return names;
  }
};

Prefilter::Prefilter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Prefilter::~Prefilter() = default;

Result<std::unique_ptr<Prefilter>> Prefilter::open(const std::string& pin_dir) {
  libbpf_set_print(keep_library_text);
  auto impl = std::make_unique<Impl>(Impl{.pins = PinFolder(pin_dir)});
  const Status made = impl->pins.make();
  if (!made.ok()) return made;
  return std::unique_ptr<Prefilter>(new Prefilter(std::move(impl)));
}

Status Prefilter::clean(const std::string& pin_dir) {
  libbpf_set_print(keep_library_text);
  const Status detached = detach_all_but({});
  const Status removed = PinFolder(pin_dir).remove_all_but({});
  PinFolder::unmount();
  return detached.ok() ? removed : detached;
}

Status Prefilter::attach(const std::string& interface) {
  const Result<int> index = index_of(interface);
  if (!index.ok()) return index.status();
  const auto found = attached_program(index.value());
  if (!found.ok()) return found.status();

  const Result<std::string> folder = impl_->pins.make_interface(interface);
  if (!folder.ok()) return folder.status();
  Instance instance = {.interface_idx = index.value()};
  Status status;
  if (!found.value().has_value()) {
    status = attach_fresh(instance);
  } else {
    const AttachedProgram& running = *found.value();
    Result<Fd> link = find_link(index.value(), running.id);
    if (!link.ok()) return link.status();
    if (!running.program.is_prefilter() || !link.value().valid())
      return foreign_program(interface, index.value(), running);
    instance.link = std::move(link).value();
    instance.found = true;
    status = adopt(instance, running);
  }
  if (!status.ok()) return status;

  const auto info = describe_link(instance.link);
  if (!info.ok()) return info.status();
  instance.program_id = info.value().prog_id;
  status = pin_instance(instance, folder.value());
  if (!status.ok()) return status;
  impl_->instances[interface] = std::move(instance);
  return impl_->pins.remove_other_versions(interface);
}

Status Prefilter::verify(const std::string& interface) const {
  const auto instance = impl_->find(interface);
  if (!instance.ok()) return instance.status();
  const Result<int> index = index_of(interface);
  if (!index.ok()) return {Code::unreachable, index.status().message()};
  if (index.value() != instance.value()->interface_idx)
    return {Code::error, "interface '" + interface + "' was deleted and created again"};
  const auto info = describe_link(instance.value()->link);
  if (!info.ok()) return info.status();
  // A link that was detached, by hand or with its interface, has index 0.
  if (info.value().xdp.ifindex != static_cast<uint32_t>(index.value()))
    return {Code::error, "the prefilter on '" + interface + "' was detached by somebody"};
  if (info.value().prog_id != instance.value()->program_id)
    return {Code::error, "the prefilter on '" + interface + "' was replaced by somebody"};
  return Status();
}

Status Prefilter::set_rules(const PrefilterRules& rules) {
  Result<std::vector<EndpointRow>> rows = endpoint_rows(rules);
  if (!rows.ok()) return rows.status().in("prefilter rules");
  const Result<Fd> fresh = make_endpoints_map(rows.value());
  if (!fresh.ok()) return fresh.status().in("prefilter rules");

  std::vector<std::pair<int, Fd>> replaced;
  for (const auto& [interface, instance] : impl_->instances) {
    Result<Fd> old = current_endpoints(instance.rules.get());
    const Status status = old.ok() ? swap_endpoints(instance.rules.get(), fresh.value().get())
                                   : old.status();
    if (status.ok()) {
      replaced.emplace_back(instance.rules.get(), std::move(old).value());
      continue;
    }
    for (const auto& [outer, before] : replaced) {
      const Status undone = swap_endpoints(outer, before.get());
      if (!undone.ok()) return undone.in("cannot restore the prefilter rules after a failure");
    }
    return status.in("prefilter rules of " + interface);
  }
  return Status();
}

Result<PrefilterCounters> Prefilter::counters(const std::string& interface) const {
  static constexpr const char* kReasons[] = {
#define MR_XDP_REASON(name, text) #name,
#include "ebpf/abi/xdp_reasons.def"
#undef MR_XDP_REASON
  };
  const auto instance = impl_->find(interface);
  if (!instance.ok()) return instance.status();
  const int cpu_cnt = libbpf_num_possible_cpus();
  if (cpu_cnt < 0) return kernel_error("libbpf_num_possible_cpus", -cpu_cnt);
  std::vector<uint64_t> per_cpu(static_cast<std::size_t>(cpu_cnt));
  PrefilterCounters counters;
  for (uint32_t reason = 0; reason < MR_XDP_REASON_CNT; ++reason) {
    const int fd = instance.value()->counters.get();
    if (bpf_map_lookup_elem(fd, &reason, per_cpu.data()) != 0)
      return kernel_error("cannot read the prefilter counters of " + interface, errno);
    uint64_t packets = 0;
    for (const uint64_t count : per_cpu) packets += count;
    counters.by_reason.emplace_back(kReasons[reason], packets);
  }
  return counters;
}

Result<uint64_t> Prefilter::generation(const std::string& interface) const {
  const auto instance = impl_->find(interface);
  if (!instance.ok()) return instance.status();
  const Result<Fd> endpoints = current_endpoints(instance.value()->rules.get());
  if (!endpoints.ok()) return endpoints.status();
  return endpoints.value().valid() ? generation_of(endpoints.value().get()) : uint64_t{0};
}

bool Prefilter::native(const std::string& interface) const {
  const auto instance = impl_->find(interface);
  return instance.ok() && instance.value()->native;
}

bool Prefilter::adopted(const std::string& interface) const {
  const auto instance = impl_->find(interface);
  return instance.ok() && instance.value()->adopted;
}

std::string Prefilter::mode(const std::string& interface) const {
  const auto instance = impl_->find(interface);
  if (!instance.ok()) return "not attached";
  if (instance.value()->native) return "native";
  const std::string& why = instance.value()->native_refusal;
  return why.empty() ? "generic" : "generic (native refused: " + why + ")";
}

Status Prefilter::detach_others() {
  const std::vector<std::string> mine = impl_->interfaces();
  const Status detached = detach_all_but(mine);
  const Status removed = impl_->pins.remove_all_but(mine);
  return detached.ok() ? removed : detached;
}

Result<std::vector<std::string>> Prefilter::detach_fresh() {
  Status first;
  std::vector<std::string> kept;
  for (const auto& [interface, instance] : impl_->instances) {
    if (instance.found) {
      kept.push_back(interface);
      continue;
    }
    const Status status = detach_link(instance.link).in("interface " + interface);
    if (first.ok()) first = status;
  }
  std::erase_if(impl_->instances, [](const auto& one) { return !one.second.found; });
  const Status removed = impl_->pins.remove_all_but(kept);
  if (kept.empty()) PinFolder::unmount();
  if (!first.ok()) return first;
  if (!removed.ok()) return removed;
  return kept;
}

Status Prefilter::detach_all() {
  Status first;
  for (const auto& [interface, instance] : impl_->instances) {
    const Status status = detach_link(instance.link).in("interface " + interface);
    if (first.ok()) first = status;
  }
  impl_->instances.clear();
  const Status removed = impl_->pins.remove_all_but({});
  PinFolder::unmount();
  return first.ok() ? removed : first;
}

}  // namespace millrace::ctl
