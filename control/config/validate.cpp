// SPDX-License-Identifier: Apache-2.0
#include "control/config/validate.hpp"

#include "control/base/counted.hpp"
#include "control/config/fields.hpp"
#include "control/config/key_set.hpp"
#include "control/config/local_zones.hpp"
#include "control/config/nearest.hpp"
#include "control/config/pool_subnets.hpp"
#include "control/snapshot/compile.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <string_view>

namespace millrace::ctl {
namespace {

using Problems = std::vector<Problem>;

constexpr std::size_t kZoneBytesMax = 3072;  // with the built-in ones they fit the image

std::string element(std::string_view list, std::size_t idx) {
  return std::string(list) + "[" + std::to_string(idx) + "]";
}

std::string listed(const std::vector<std::string_view>& names) {
  std::string text;
  for (const std::string_view name : names)
    text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

// --- single keys

template <class Object>
void check_fields(const Object& object, const std::string& path, Problems& problems) {
  for_each_field(object, [&](auto kind, const FieldInfo& info, const auto& member) {
    std::string problem = decltype(kind)::check(member, info);
    if (!problem.empty()) problems.push_back({path + "." + std::string(info.key), problem, ""});
  });
}

template <class Object>
void check_section(const SectionInfo& info, const std::vector<Object>& list, Problems& problems) {
  const std::string path(info.key);
  if (list.empty() && info.presence != Presence::optional) {
    problems.push_back({path, "the list is empty: at least one is needed", ""});
  }
  if (list.size() > info.count_max) {
    problems.push_back({path, "has more than " + std::to_string(info.count_max) + " objects", ""});
  }
  for (std::size_t i = 0; i < list.size(); ++i)
    check_fields(list[i], element(path, i), problems);
}

template <class Object>
void check_section(const SectionInfo& info, const Object& group, Problems& problems) {
  check_fields(group, std::string(info.key), problems);
}

// --- names

template <class Object>
void check_names(const std::string& path, const std::vector<Object>& list, Problems& problems) {
  std::map<std::string_view, std::size_t> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto [first, is_new] = names.try_emplace(list[i].name, i);
    if (is_new) continue;
    problems.push_back({element(path, i) + ".name",
                        "\"" + clip(list[i].name) + "\" is the name of " +
                            element(path, first->second) + " already",
                        element(path, first->second) + ".name"});
  }
}

template <class Object>
void check_names(const std::string&, const Object&, Problems&) {}  // a group has no name

// --- references

template <class Object>
std::vector<std::string_view> names_of(const std::vector<Object>& list) {
  std::vector<std::string_view> names;
  for (const Object& object : list)
    names.push_back(object.name);
  return names;
}

void check_reference(const std::string& key, const std::string& name, std::string_view what,
                     std::string_view section, const std::vector<std::string_view>& known,
                     Problems& problems) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  std::string message = "no " + std::string(what) + " is named \"" + clip(name) + "\"";
  const std::string_view near = nearest(name, known);
  message += near.empty() ? " (there are: " + listed(known) + ")"
                          : "; did you mean \"" + std::string(near) + "\"?";
  problems.push_back({key, message, std::string(section), clip(name)});
}

// Or may be meant to be: a name that no pool has is reported where it stands.
bool is_served(const Config& config, const std::string& pool) {
  const auto known = names_of(config.pools);
  const auto is_meant = [&](const std::string& name) {
    return name == pool || std::find(known.begin(), known.end(), name) == known.end();
  };
  return std::any_of(config.backends.begin(), config.backends.end(), [&](const Backend& backend) {
    return std::any_of(backend.pools.begin(), backend.pools.end(), is_meant);
  });
}

// What binds and rules ask must have somebody who answers.
void check_pool_asked(const Config& config, const std::string& key, const std::string& pool,
                      Problems& problems) {
  const std::size_t before = problems.size();
  check_reference(key, pool, "pool", "pools", names_of(config.pools), problems);
  if (problems.size() == before && !is_served(config, pool)) {
    problems.push_back(
        {key, "no backend serves pool \"" + clip(pool) + "\": add it to the `pools` of one",
         "backends"});
  }
}

void check_references(const Config& config, Problems& problems) {
  const auto pools = names_of(config.pools);
  const auto caches = names_of(config.packet_caches);
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    check_reference(element("pools", i) + ".packet_cache", config.pools[i].packet_cache,
                    "packet cache", "packet_caches", caches, problems);
  }
  for (std::size_t i = 0; i < config.backends.size(); ++i) {
    const std::vector<std::string>& serves = config.backends[i].pools;
    for (std::size_t j = 0; j < serves.size(); ++j) {
      const std::string key = element(element("backends", i) + ".pools", j);
      check_reference(key, serves[j], "pool", "pools", pools, problems);
      if (std::find(serves.begin(), serves.begin() + static_cast<std::ptrdiff_t>(j), serves[j]) !=
          serves.begin() + static_cast<std::ptrdiff_t>(j)) {
        problems.push_back({key, "\"" + clip(serves[j]) + "\" is in the list twice", ""});
      }
    }
  }
  for (std::size_t i = 0; i < config.binds.size(); ++i) {
    check_pool_asked(config, element("binds", i) + ".pool", config.binds[i].pool, problems);
  }
}

// --- access rules

void check_sources(const std::string& path, const std::vector<Prefix>& sources,
                   Problems& problems) {
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const std::string key = element(path, i);
    const std::string text = sources[i].text();
    if (sources[i].cut() != sources[i]) {
      problems.push_back(
          {key, text + " has bits behind its length: write " + sources[i].cut().text(), ""});
    } else if (sources[i].is_v4_mapped()) {
      problems.push_back({key, text + " is IPv4 written as IPv6: write the IPv4 prefix", ""});
    }
  }
}

void check_access(const Config& config, Problems& problems) {
  std::size_t prefixes = 0;
  for (std::size_t i = 0; i < config.access.size(); ++i) {
    const AccessRule& rule = config.access[i];
    const std::string path = element("access", i);
    check_sources(path + ".sources", rule.sources, problems);
    const bool fitted = prefixes <= abi::kPrefixesMax;
    prefixes += rule.sources.size();
    if (fitted && prefixes > abi::kPrefixesMax) {
      problems.push_back({path + ".sources",
                          "with the rules before it these are " + std::to_string(prefixes) +
                              " prefixes: allowed are at most " + std::to_string(abi::kPrefixesMax),
                          ""});
    }
    for (std::size_t j = 0; j < rule.binds.size(); ++j) {
      check_reference(element(path + ".binds", j), rule.binds[j], "bind", "binds",
                      names_of(config.binds), problems);
    }
    if (rule.pool.empty()) continue;
    if (rule.action != abi::RuleAction::allow) {
      problems.push_back({path + ".pool",
                          "goes with `action: allow` alone: whoever gets no answer needs no pool",
                          path + ".action"});
    } else {
      check_pool_asked(config, path + ".pool", rule.pool, problems);
    }
  }
}

// --- forwarding

std::size_t wire_bytes(const std::string& suffix) {
  return suffix == "." ? 1 : suffix.size() + 2;
}

// Both hold for a query of some pool.
bool share_a_pool(const ForwardRule& a, const ForwardRule& b) {
  return a.from.empty() || b.from.empty() ||
         std::find_first_of(a.from.begin(), a.from.end(), b.from.begin(), b.from.end()) !=
             a.from.end();
}

void check_twice(const Config& config, std::size_t rule, std::size_t suffix, Problems& problems) {
  const std::string& text = config.forward[rule].suffixes[suffix];
  for (std::size_t i = 0; i <= rule; ++i) {
    const std::vector<std::string>& others = config.forward[i].suffixes;
    const auto end =
        i == rule ? others.begin() + static_cast<std::ptrdiff_t>(suffix) : others.end();
    if (std::find(others.begin(), end, text) == end) continue;
    if (!share_a_pool(config.forward[i], config.forward[rule])) continue;
    const std::string other = element("forward", i) + ".suffixes";
    problems.push_back({element(element("forward", rule) + ".suffixes", suffix),
                        "\"" + clip(text) + "\" is in " + other + " already", other});
    return;
  }
}

void check_forward(const Config& config, Problems& problems) {
  const auto pools = names_of(config.pools);
  std::size_t suffixes = 0;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < config.forward.size(); ++i) {
    const ForwardRule& rule = config.forward[i];
    const std::string path = element("forward", i);
    const bool fitted = suffixes <= abi::kForwardsMax && bytes <= abi::kForwardBytesMax;
    suffixes += rule.suffixes.size();
    for (std::size_t j = 0; j < rule.suffixes.size(); ++j) {
      bytes += wire_bytes(rule.suffixes[j]);
      check_twice(config, i, j, problems);
    }
    if (fitted && (suffixes > abi::kForwardsMax || bytes > abi::kForwardBytesMax)) {
      problems.push_back({path + ".suffixes",
                          "with the rules before it these are " + std::to_string(suffixes) +
                              " names of " + std::to_string(bytes) +
                              " octets: allowed are at most " + std::to_string(abi::kForwardsMax) +
                              " of " + std::to_string(abi::kForwardBytesMax),
                          ""});
    }
    check_pool_asked(config, path + ".pool", rule.pool, problems);
    for (std::size_t j = 0; j < rule.from.size(); ++j) {
      check_reference(element(path + ".from", j), rule.from[j], "pool", "pools", pools, problems);
    }
  }
}

// --- ports and addresses

void check_ports(const std::vector<Port>& ports, Problems& problems) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Port& port = ports[i];
    const std::string path = element("ports", i);
    if (port.interface.empty() && port.device.empty()) {
      problems.push_back({path, "says neither `interface` nor `device`: give one", ""});
    } else if (!port.interface.empty() && !port.device.empty()) {
      problems.push_back({path + ".device", "stands beside `interface`: give one of them", ""});
    }
    for (std::size_t j = 0; j < i; ++j) {
      const std::string other = element("ports", j);
      if (!port.interface.empty() && port.interface == ports[j].interface) {
        problems.push_back({path + ".interface",
                            "\"" + clip(port.interface) + "\" is driven by " + other + " already",
                            other + ".interface"});
      }
      if (!port.device.empty() && port.device == ports[j].device) {
        problems.push_back({path + ".device",
                            "\"" + clip(port.device) + "\" is driven by " + other + " already",
                            other + ".device"});
      }
    }
  }
}

void check_binds(const Config& config, Problems& problems) {
  const PortRange& range = config.upstream.port_range;
  for (std::size_t i = 0; i < config.binds.size(); ++i) {
    const Endpoint& address = config.binds[i].listen_address;
    const std::string key = element("binds", i) + ".listen_address";
    for (std::size_t j = 0; j < i; ++j) {
      if (address.family == 0 || address != config.binds[j].listen_address) continue;
      const std::string other = element("binds", j) + ".listen_address";
      problems.push_back(
          {key, address.text() + " is that of " + element("binds", j) + " already", other});
      break;
    }
    if (address.port >= range.first && address.port < range.end) {
      problems.push_back({key,
                          "port " + std::to_string(address.port) +
                              " is in upstream.port_range, where answers of backends arrive",
                          "upstream.port_range"});
    }
  }
}

void check_backends(const Config& config, Problems& problems) {
  for (std::size_t i = 0; i < config.backends.size(); ++i) {
    const Endpoint& address = config.backends[i].address;
    if (address.family == 0) continue;
    const std::string key = element("backends", i) + ".address";
    for (std::size_t j = 0; j < i; ++j) {
      if (address != config.backends[j].address) continue;
      problems.push_back({key,
                          address.text() + " is that of " + element("backends", j) +
                              " already: list all its pools there",
                          element("backends", j) + ".address"});
      break;
    }
    for (std::size_t j = 0; j < config.binds.size(); ++j) {
      if (address != config.binds[j].listen_address) continue;
      problems.push_back(
          {key,
           address.text() + " is that of " + element("binds", j) + ": millrace would ask itself",
           element("binds", j) + ".listen_address"});
    }
  }
}

// --- limits

void check_caches(const std::vector<PacketCache>& caches, Problems& problems) {
  for (std::size_t i = 0; i < caches.size(); ++i) {
    const std::string path = element("packet_caches", i);
    const std::string max_ttl = kinds::Seconds::format(caches[i].max_ttl_s);
    if (caches[i].min_ttl_s > caches[i].max_ttl_s) {
      problems.push_back(
          {path + ".min_ttl", "is above max_ttl (" + max_ttl + ")", path + ".max_ttl"});
    }
    if (caches[i].max_failure_ttl_s < caches[i].failure_ttl_s) {
      problems.push_back({path + ".max_failure_ttl",
                          "is below failure_ttl (" +
                              kinds::Seconds::format(caches[i].failure_ttl_s) + ")",
                          path + ".failure_ttl"});
    }
    if (caches[i].min_cacheable_ttl_s > caches[i].max_ttl_s) {
      problems.push_back({path + ".min_cacheable_ttl",
                          "is above max_ttl (" + max_ttl + "): hardly anything would be kept",
                          path + ".max_ttl"});
    }
  }
}

void check_local_zones(const LocalZones& zones, Problems& problems) {
  std::vector<std::string_view> known;
  for (const BuiltinZone& zone : builtin_zones()) {
    known.push_back(zone.name);
    if (!zone.prefix.empty()) known.push_back(zone.prefix);
  }
  for (std::size_t i = 0; i < zones.except.size(); ++i) {
    const std::string& text = zones.except[i];
    const std::string wire = wire_of(text);
    const auto is_meant = [&](std::string_view name) {
      return text == name || (!wire.empty() && wire == wire_of(name));
    };
    if (std::any_of(known.begin(), known.end(), is_meant)) continue;
    std::string message = "\"" + clip(text) + "\" is no built-in zone";
    const std::string_view near = nearest(text, known);
    message += near.empty() ? ", nor the prefix of one"
                            : "; did you mean \"" + std::string(near) + "\"?";
    problems.push_back({element("local_zones.except", i), message, ""});
  }
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < zones.also.size(); ++i) {
    const std::string wire = wire_of(zones.also[i]);
    bytes += wire.size();
    if (!wire.empty()) continue;
    problems.push_back({element("local_zones.also", i),
                        "\"" + clip(zones.also[i]) +
                            "\" is not a domain name of letters, digits, '-' and '_'",
                        ""});
  }
  if (bytes > kZoneBytesMax) {
    problems.push_back({"local_zones.also",
                        "the names have " + std::to_string(bytes) + " octets: allowed are " +
                            std::to_string(kZoneBytesMax),
                        ""});
  }
}

void check_upstream(const Upstream& upstream, Problems& problems) {
  if (upstream.give_up_ms < upstream.try_timeout_ms) {
    problems.push_back({"upstream.give_up",
                        "is below try_timeout (" +
                            kinds::Milliseconds::format(upstream.try_timeout_ms) +
                            "): the first try could not end",
                        "upstream.try_timeout"});
  }
}

void check_shards(const Config& config, Problems& problems) {
  const Dataplane& dataplane = config.dataplane;
  const uint32_t shards = dataplane.shards;
  if (shards == kAutoShards || !std::has_single_bit(shards)) return;
  if (shards < dataplane.workers) {
    problems.push_back({"dataplane.shards",
                        std::to_string(shards) + " are too few for " +
                            std::to_string(dataplane.workers) + " workers: each needs one at least",
                        "dataplane.workers"});
  }
  uint64_t sizes = 0;
  for (const PacketCache& cache : config.packet_caches)
    sizes += cache.size_bytes;
  // One per worker there must be, even if that takes more memory than was asked for.
  const bool is_needed = shards == std::bit_ceil(dataplane.workers);
  if (shards * kShardBytesMin > sizes && shards > 1 && !is_needed) {
    problems.push_back({"dataplane.shards",
                        std::to_string(shards) + " of at least 2MiB need " +
                            kinds::Bytes::format(shards * kShardBytesMin) +
                            ", the packet caches have " + kinds::Bytes::format(sizes) +
                            ": raise their size, or take fewer shards",
                        "packet_caches"});
  }
}

void check_cores(const Dataplane& dataplane, const Host& host, Problems& problems) {
  std::string available;
  for (const int cpu : host.cpus)
    available += (available.empty() ? "" : ", ") + std::to_string(cpu);
  const auto is_available = [&](int core) {
    return std::find(host.cpus.begin(), host.cpus.end(), core) != host.cpus.end();
  };
  if (dataplane.cores.empty()) {
    problems.push_back({"dataplane.workers",
                        counted(dataplane.workers, "worker", "workers") + ", but " +
                            counted(host.cpus.size(), "CPU", "CPUs") + " available (" + available +
                            "): take fewer, or say in `cores` which share a CPU",
                        "dataplane.cores"});
    return;
  }
  if (dataplane.cores.size() != dataplane.workers) {
    problems.push_back({"dataplane.cores",
                        "names " + counted(dataplane.cores.size(), "CPU", "CPUs") + " for " +
                            counted(dataplane.workers, "worker", "workers") + ": give one for each",
                        "dataplane.workers"});
  }
  for (std::size_t i = 0; i < dataplane.cores.size(); ++i) {
    if (is_available(dataplane.cores[i])) continue;
    problems.push_back({element("dataplane.cores", i),
                        "CPU " + std::to_string(dataplane.cores[i]) +
                            " is not available here (there are: " + available + ")",
                        ""});
  }
  if (!is_available(dataplane.main_core)) {
    problems.push_back({"dataplane.main_core",
                        "CPU " + std::to_string(dataplane.main_core) +
                            " is not available here (there are: " + available + ")",
                        "dataplane.cores"});
  }
}

// An appliance that serves must never have its clock stopped by a line that was left in its config.
void check_testing(const Testing& testing, const Host& host, Problems& problems) {
  if (testing.clock == abi::ClockMode::real || host.testing) return;
  problems.push_back(
      {"testing.clock", "\"manual\" is for tests: start millraced with --testing", ""});
}

}  // namespace

std::vector<Problem> validate(const Config& config, const Host& host) {
  Problems problems;
  for_each_section(config, [&](const SectionInfo& info, const auto& section) {
    check_section(info, section, problems);
  });
  KeySet broken;
  for (const Problem& problem : problems)
    broken.insert(problem.key);

  Problems together;
  for_each_section(config, [&](const SectionInfo& info, const auto& section) {
    check_names(std::string(info.key), section, together);
  });
  check_ports(config.ports, together);
  check_binds(config, together);
  check_backends(config, together);
  check_references(config, together);
  check_subnets(config.pools, together);
  check_access(config, together);
  check_forward(config, together);
  check_caches(config.packet_caches, together);
  check_upstream(config.upstream, together);
  check_local_zones(config.local_zones, together);
  check_shards(config, together);
  check_cores(config.dataplane, host, together);
  check_testing(config.testing, host, together);
  // A value that is wrong by itself says nothing about others.
  std::erase_if(together, [&](const Problem& problem) {
    return broken.touches(problem.key) || broken.touches(problem.because);
  });
  problems.insert(problems.end(), together.begin(), together.end());
  return problems;
}

}  // namespace millrace::ctl
