// SPDX-License-Identifier: Apache-2.0
#include "control/xdp/endpoint_rows.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <bpf/bpf.h>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>

namespace millrace::ctl {

namespace {

constexpr uint32_t kOuterIdx = 0;

// How the log names an endpoint: 198.18.0.53:53, [fd00:18::53]:53.
std::string text_of(const abi::Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  const bool v6 = address.family == 6;
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, address.bytes, text.data(), text.size());
  const std::string port = std::to_string(ntohs(address.port_be));
  return v6 ? "[" + std::string(text.data()) + "]:" + port : std::string(text.data()) + ":" + port;
}

Status check(const abi::Address& address, const char* what, bool needs_port) {
  if (address.family != 4 && address.family != 6)
    return Status(Code::rejected, std::string(what) + ": address family " +
                                      std::to_string(address.family) + ", must be 4 or 6");
  const std::string where = std::string(what) + " " + text_of(address);
  if (std::all_of(std::begin(address.bytes), std::end(address.bytes),
                  [](uint8_t byte) { return byte == 0; }))
    return Status(Code::rejected, where + ": the unspecified address matches no packet; name the "
                                          "addresses one by one");
  if (needs_port && address.port_be == 0)
    return Status(Code::rejected, where + ": port 0, must be 1..65535");
  return Status();
}

mr_endpoint_key key_of(const abi::Address& address, mr_endpoint_kind kind) {
  mr_endpoint_key key = {};
  key.kind = static_cast<uint8_t>(kind);
  key.family = address.family;
  const bool any_port = kind == MR_ENDPOINT_SOURCE || kind == MR_ENDPOINT_SERVICE_ADDRESS;
  if (!any_port) key.port_be = address.port_be;
  static_assert(sizeof(key.address) == sizeof(address.bytes));
  std::memcpy(key.address, address.bytes, address.family == 4 ? 4 : sizeof(key.address));
  return key;
}

using Rows = std::vector<EndpointRow>;

// Ranges stay apart, in order. Where there is no place for another, the two that are nearest to
// each other become one: some ports too many, for a while, are better than answers lost.
void add_ports(mr_endpoint& value, mr_port_range added) {
  std::vector<mr_port_range> ranges = {added};
  for (const mr_port_range& known : value.ports) {
    if (known.end != 0) ranges.push_back(known);
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto join = [&ranges](std::size_t i) {
    ranges[i].end = std::max(ranges[i].end, ranges[i + 1].end);
    ranges.erase(ranges.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  };
  for (std::size_t i = 0; i + 1 < ranges.size();) {
    if (ranges[i + 1].first <= ranges[i].end) join(i);
    else ++i;
  }
  if (ranges.size() > MR_XDP_PORT_RANGES_MAX) {
    std::size_t nearest = 0;
    for (std::size_t i = 1; i + 1 < ranges.size(); ++i) {
      if (ranges[i + 1].first - ranges[i].end < ranges[nearest + 1].first - ranges[nearest].end)
        nearest = i;
    }
    join(nearest);
  }
  std::fill(std::begin(value.ports), std::end(value.ports), mr_port_range{0, 0});
  std::copy(ranges.begin(), ranges.end(), value.ports);
}

// Adds to the row of the same key, if there is one.
Status add_rows(Rows& rows, const std::vector<abi::Address>& addresses, mr_endpoint_kind kind,
                const char* what, const mr_endpoint& value) {
  for (const abi::Address& address : addresses) {
    const Status status = check(address, what, kind != MR_ENDPOINT_SOURCE);
    if (!status.ok()) return status;
    const mr_endpoint_key key = key_of(address, kind);
    const auto known = std::find_if(rows.begin(), rows.end(), [&key](const EndpointRow& row) {
      return std::memcmp(&row.key, &key, sizeof(key)) == 0;
    });
    if (known == rows.end()) {
      rows.push_back({.key = key, .value = value});
      continue;
    }
    known->value.flags &= value.flags;
    if (value.ports[0].end != 0) add_ports(known->value, value.ports[0]);
  }
  return Status();
}

Status add_answers(Rows& rows, const AnswerRules& answers, uint64_t generation) {
  mr_endpoint asking = {};
  asking.generation = generation;
  asking.ports[0] = {answers.port_first, answers.port_end};
  mr_endpoint answering = asking;
  answering.flags = answers.sources.empty() ? 0 : MR_ENDPOINT_CHECK_SOURCE;
  const Status added =
      add_rows(rows, answers.backends, MR_ENDPOINT_BACKEND, "backend", answering);
  if (!added.ok()) return added;
  return add_rows(rows, answers.sources, MR_ENDPOINT_SOURCE, "source", asking);
}

}  // namespace

Result<std::vector<EndpointRow>> endpoint_rows(const PrefilterRules& rules) {
  if (rules.generation == 0)
    return Status(Code::rejected, "generation 0 stands for 'no rules'; must be 1 or more");
  if (!rules.backends.empty() && rules.upstream_port_first >= rules.upstream_port_end)
    return Status(Code::rejected,
                  "upstream ports [" + std::to_string(rules.upstream_port_first) + ", " +
                      std::to_string(rules.upstream_port_end) + "): the range is empty");

  mr_endpoint plain = {};
  plain.generation = rules.generation;
  Rows rows = {{.key = {}, .value = plain}};
  for (const mr_endpoint_kind kind : {MR_ENDPOINT_SERVICE, MR_ENDPOINT_SERVICE_ADDRESS}) {
    const Status added = add_rows(rows, rules.services, kind, "service", plain);
    if (!added.ok()) return added;
  }
  const AnswerRules running = {rules.backends, rules.sources, rules.upstream_port_first,
                               rules.upstream_port_end};
  const Status added = add_answers(rows, running, rules.generation);
  if (!added.ok()) return added;
  if (rows.size() > MR_XDP_ENDPOINTS_MAX)
    return Status(Code::rejected, std::to_string(rows.size() - 1) +
                                      " services, addresses of services, backends and sources "
                                      "together, must be at most " +
                                      std::to_string(MR_XDP_ENDPOINTS_MAX - 1));
  for (const AnswerRules& also : rules.also) {
    Rows more = rows;
    const Status taken = add_answers(more, also, rules.generation);
    if (!taken.ok()) return taken;
    if (more.size() > MR_XDP_ENDPOINTS_MAX) break;
    rows = std::move(more);
  }
  return rows;
}

Result<Fd> make_endpoints_map(const std::vector<EndpointRow>& rows) {
  Fd fd(bpf_map_create(BPF_MAP_TYPE_HASH, "mr_endpoints", sizeof(mr_endpoint_key),
                       sizeof(mr_endpoint), MR_XDP_ENDPOINTS_MAX, nullptr));
  if (!fd.valid()) return kernel_error("bpf_map_create", errno);
  for (const EndpointRow& row : rows) {
    if (bpf_map_update_elem(fd.get(), &row.key, &row.value, BPF_ANY) != 0)
      return kernel_error("bpf_map_update_elem (endpoint)", errno);
  }
  return fd;
}

Result<Fd> current_endpoints(int rules_fd) {
  uint32_t id = 0;
  if (bpf_map_lookup_elem(rules_fd, &kOuterIdx, &id) == 0) return open_map(id);
  if (errno == ENOENT) return Fd();
  return kernel_error("bpf_map_lookup_elem (rules)", errno);
}

Status swap_endpoints(int rules_fd, int endpoints_fd) {
  if (endpoints_fd < 0) {
    if (bpf_map_delete_elem(rules_fd, &kOuterIdx) == 0 || errno == ENOENT) return Status();
    return kernel_error("bpf_map_delete_elem (rules)", errno);
  }
  if (bpf_map_update_elem(rules_fd, &kOuterIdx, &endpoints_fd, BPF_ANY) == 0) return Status();
  return kernel_error("bpf_map_update_elem (rules)", errno);
}

Result<uint64_t> generation_of(int endpoints_fd) {
  const mr_endpoint_key key = {};
  mr_endpoint value = {};
  if (bpf_map_lookup_elem(endpoints_fd, &key, &value) == 0) return uint64_t{value.generation};
  return kernel_error("bpf_map_lookup_elem (generation)", errno);
}

}  // namespace millrace::ctl
