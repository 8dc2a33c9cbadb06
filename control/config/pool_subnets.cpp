// SPDX-License-Identifier: Apache-2.0
#include "control/config/pool_subnets.hpp"

#include <string>
#include <tuple>

namespace millrace::ctl {

void check_subnets(const std::vector<Pool>& pools, std::vector<Problem>& problems) {
  const auto told = [](const Pool& pool) {
    return std::tie(pool.client_subnet, pool.client_subnet_ipv4, pool.client_subnet_ipv6,
                    pool.client_subnet_variants);
  };
  for (std::size_t i = 0; i < pools.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const bool same_cache = pools[i].packet_cache == pools[j].packet_cache;
      if (!same_cache || told(pools[i]) == told(pools[j])) continue;
      const std::string other = "pools[" + std::to_string(j) + "]";
      problems.push_back({"pools[" + std::to_string(i) + "].client_subnet",
                          "with the three keys beside it, differs from " + other +
                              ", which has the same packet cache: give one of them another",
                          other + ".client_subnet"});
      break;
    }
  }
}

}  // namespace millrace::ctl
