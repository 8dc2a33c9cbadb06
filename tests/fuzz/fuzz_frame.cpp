// SPDX-License-Identifier: Apache-2.0
// Frames as they come, and the same with checksums made right: a fuzzer does not guess those.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/checksum.hpp"
#include "tests/fuzz/oracles.hpp"

namespace {

using millrace::load_be16;
namespace wire = millrace::wire;

void expect_holds(const uint8_t* data, std::size_t size) {
  const std::string wrong = millrace::test::check_frame(data, size);
  if (wrong.empty()) return;
  std::fprintf(stderr, "%s\n", wrong.c_str());
  std::abort();
}

void store_sum(uint8_t* at, uint64_t sum) {
  const auto checksum = static_cast<uint16_t>(~wire::sum_fold(sum));
  std::memcpy(at, &checksum, sizeof checksum);
}

// An untagged IPv4 or IPv6 frame without extension headers; false: it is none.
bool mend_sums(std::vector<uint8_t>& frame) {
  if (frame.size() < 62) return false;
  uint8_t* const ip = frame.data() + 14;
  const bool v6 = load_be16(frame.data() + 12) == 0x86dd;
  if (!v6 && load_be16(frame.data() + 12) != 0x0800) return false;
  const std::size_t head_bytes = v6 ? 40 : (ip[0] & 0xfu) * 4;
  const std::size_t room = frame.size() - 14;
  if (head_bytes < 20 || head_bytes + 8 > room) return false;
  if (!v6) {
    ip[10] = ip[11] = 0;
    store_sum(ip + 10, wire::sum_bytes(ip, static_cast<uint32_t>(head_bytes)));
  }
  uint8_t* const udp = ip + head_bytes;
  const uint32_t udp_bytes = load_be16(udp + 4);
  if (udp_bytes < 8 || head_bytes + udp_bytes > room) return true;
  udp[6] = udp[7] = 0;
  uint64_t sum = wire::sum_bytes(ip + (v6 ? 8 : 12), v6 ? 32 : 8);
  const uint8_t pseudo[4] = {0, 17, udp[4], udp[5]};
  sum = wire::sum_add(sum, wire::sum_bytes(pseudo, sizeof pseudo));
  store_sum(udp + 6, wire::sum_add(sum, wire::sum_bytes(udp, udp_bytes)));
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  expect_holds(data, size);
  std::vector<uint8_t> mended(data, data + size);
  if (mend_sums(mended)) expect_holds(mended.data(), mended.size());
  return 0;
}
