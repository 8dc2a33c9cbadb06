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

}  // namespace

Result<std::vector<EndpointRow>> endpoint_rows(const PrefilterRules& rules) {
  if (rules.generation == 0)
    return Status(Code::rejected, "generation 0 stands for 'no rules'; must be 1 or more");
  if (!rules.backends.empty() && rules.upstream_port_first >= rules.upstream_port_end)
    return Status(Code::rejected,
                  "upstream ports [" + std::to_string(rules.upstream_port_first) + ", " +
                      std::to_string(rules.upstream_port_end) + "): the range is empty");

  const mr_endpoint plain = {
      .generation = rules.generation, .flags = 0, .port_first = 0, .port_end = 0};
  mr_endpoint asking = plain;
  asking.port_first = rules.upstream_port_first;
  asking.port_end = rules.upstream_port_end;
  mr_endpoint answering = asking;
  answering.flags = rules.sources.empty() ? 0 : MR_ENDPOINT_CHECK_SOURCE;

  std::vector<EndpointRow> rows = {{.key = {}, .value = plain}};
  const struct {
    const std::vector<abi::Address>& addresses;
    mr_endpoint_kind kind;
    const char* what;
    const mr_endpoint& value;
  } lists[] = {{rules.services, MR_ENDPOINT_SERVICE, "service", plain},
               {rules.backends, MR_ENDPOINT_BACKEND, "backend", answering},
               {rules.sources, MR_ENDPOINT_SOURCE, "source", asking},
               {rules.services, MR_ENDPOINT_SERVICE_ADDRESS, "service", plain}};
  for (const auto& list : lists) {
    for (const abi::Address& address : list.addresses) {
      const Status status = check(address, list.what, list.kind != MR_ENDPOINT_SOURCE);
      if (!status.ok()) return status;
      rows.push_back({.key = key_of(address, list.kind), .value = list.value});
    }
  }
  if (rows.size() > MR_XDP_ENDPOINTS_MAX)
    return Status(Code::rejected, std::to_string(rows.size() - 1) +
                                      " services, addresses of services, backends and sources "
                                      "together, must be at most " +
                                      std::to_string(MR_XDP_ENDPOINTS_MAX - 1));
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
