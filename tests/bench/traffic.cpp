// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/traffic.hpp"

#include "tests/unit/worker/images.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <unordered_set>

namespace millrace::test {
namespace {

constexpr uint8_t kOurMac[6] = {0x02, 0, 0, 0, 0, 0x53};
constexpr uint8_t kClientMac[6] = {0x02, 0, 0, 0, 0, 0x09};

// Numbers that follow from a packet's or a name's and look random (splitmix64's last step).
uint64_t mixed(uint64_t of) {
  of = (of + 1) * 0x9e3779b97f4a7c15u;
  of = (of ^ of >> 30) * 0xbf58476d1ce4e5b9u;
  of = (of ^ of >> 27) * 0x94d049bb133111ebu;
  return of ^ of >> 31;
}

uint16_t id_of(uint32_t i) {
  return static_cast<uint16_t>(mixed(i));
}
uint16_t port_of(uint32_t i) {
  return static_cast<uint16_t>(1024 + (mixed(i) >> 16) % 64000);
}

// Ranks by weight 1/rank; the names that stand for them are spread over all numbers.
std::vector<uint32_t> draw_zipf(uint32_t names, uint32_t packets, std::mt19937_64& random) {
  std::vector<double> up_to(names);
  double sum = 0;
  for (uint32_t rank = 0; rank < names; ++rank)
    up_to[rank] = sum += 1.0 / (rank + 1);
  std::vector<uint32_t> name_of_rank(names);
  for (uint32_t n = 0; n < names; ++n)
    name_of_rank[n] = n;
  std::shuffle(name_of_rank.begin(), name_of_rank.end(), random);
  std::vector<uint32_t> drawn(packets);
  std::uniform_real_distribution<double> any(0, sum);
  for (uint32_t& n : drawn) {
    const auto at = std::lower_bound(up_to.begin(), up_to.end(), any(random));
    n = name_of_rank[std::min<std::size_t>(at - up_to.begin(), names - 1)];
  }
  return drawn;
}

}  // namespace

Traffic::Traffic(const TrafficPlan& plan) : plan_(plan) {
  std::mt19937_64 random(1);
  if (plan.zipf) {
    name_of_ = draw_zipf(plan.names, plan.packets, random);
    return;
  }
  name_of_.resize(plan.packets);
  for (uint32_t i = 0; i < plan.packets; ++i)
    name_of_[i] = i % plan.names;
  std::shuffle(name_of_.begin(), name_of_.end(), random);
}

uint32_t Traffic::distinct_names() const {
  return static_cast<uint32_t>(
      std::unordered_set<uint32_t>(name_of_.begin(), name_of_.end()).size());
}

// 16 to 37 octets in wire form: some entries fit one cache line, some take two.
std::string Traffic::name(uint32_t n) {
  static constexpr const char* kHosts[] = {"www",          "a",     "api",           "mail",
                                           "cdn-7.assets", "login", "static.images", "m"};
  static constexpr const char* kZones[] = {"com", "net", "example.org", "co.uk"};
  const uint64_t choice = mixed(n);
  return std::string(kHosts[choice % 8]) + ".site" + std::to_string(n) + "." +
         kZones[choice / 8 % 4];
}

bool Traffic::has_opt(uint32_t i) const {
  return (mixed(i) >> 40) % 100 < plan_.edns_percent;
}

std::string Traffic::client(uint32_t i) const {
  char text[48];
  if (plan_.v6) {
    std::snprintf(text, sizeof text, "fd00:18:2::%x:%x", i >> 16, i & 0xffff);
  } else {
    std::snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
  }
  return text;
}

Bytes Traffic::message(uint32_t i) const {
  DnsBuilder query;
  query.id(id_of(i)).rd().question(name(name_of_[i]), kTypeA);
  if (has_opt(i)) query.opt();
  return query.build();
}

FrameBuilder Traffic::addressed(uint32_t i, bool back) const {
  const char* service = plan_.v6 ? kServiceV6 : kServiceV4;
  FrameBuilder frame;
  if (back) {
    frame.mac(kClientMac, kOurMac).from(service, 53).to(client(i), port_of(i));
    frame.identification(0);  // DF is set, so no receiver looks at it (RFC 6864)
  } else {
    frame.mac(kOurMac, kClientMac).from(client(i), port_of(i)).to(service, 53);
  }
  return frame;
}

Bytes Traffic::frame(uint32_t i) const {
  FrameBuilder frame = addressed(i, false);
  if (!plan_.udp_checksum && !plan_.v6) frame.udp_checksum(0);
  return frame.payload(message(i)).build();
}

Bytes Traffic::reply(uint32_t i, uint32_t ttl_s) const {
  const uint32_t address = address_of_name(name_of_[i]);
  const Bytes rdata{static_cast<uint8_t>(address >> 24), static_cast<uint8_t>(address >> 16),
                    static_cast<uint8_t>(address >> 8), static_cast<uint8_t>(address)};
  DnsBuilder answer;
  answer.id(id_of(i))
      .response()
      .rd()
      .question(name(name_of_[i]), kTypeA)
      .answer(Name::pointer(kQuestionOffset), kTypeA, ttl_s, rdata);
  OptFields opt;
  opt.udp_bytes = kEdnsUdpBytes;
  if (has_opt(i)) answer.opt(opt);
  return addressed(i, true).payload(answer.build()).build();
}

uint32_t Traffic::query_of(const uint8_t* reply, std::size_t bytes, std::size_t& ttl_at) const {
  const std::size_t client_end = plan_.v6 ? 14 + 40 : 14 + 20;
  if (bytes < client_end) return packet_cnt();
  const uint8_t* at = reply + client_end - 4;
  uint32_t i = uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
  if (!plan_.v6) i -= 10u << 24;
  if (i >= packet_cnt()) return packet_cnt();
  // UDP and DNS headers; name; type and class; then owner, type and class of the record.
  ttl_at = client_end + 8 + 12 + Name(name(name_of_[i])).bytes().size() + 4 + 6;
  return ttl_at + 4 <= bytes ? i : packet_cnt();
}

bool write_capture(const Traffic& traffic, const std::string& path) {
  struct FileHeader {
    uint32_t magic = 0xa1b2c3d4;
    uint16_t major = 2, minor = 4;
    uint32_t zone = 0, accuracy = 0, frame_bytes_max = 65535, link_type = 1;
  } head;
  struct PacketHeader {
    uint32_t seconds = 0, microseconds = 0, kept_bytes = 0, bytes = 0;
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"),
                                                             &std::fclose);
  if (file == nullptr) return false;
  bool good = std::fwrite(&head, sizeof head, 1, file.get()) == 1;
  for (uint32_t i = 0; good && i < traffic.packet_cnt(); ++i) {
    const Bytes frame = traffic.frame(i);
    PacketHeader packet;
    packet.kept_bytes = packet.bytes = static_cast<uint32_t>(frame.size());
    good = std::fwrite(&packet, sizeof packet, 1, file.get()) == 1 &&
           std::fwrite(frame.data(), frame.size(), 1, file.get()) == 1;
  }
  return good && std::fflush(file.get()) == 0;
}

}  // namespace millrace::test
