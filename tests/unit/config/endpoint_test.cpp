// SPDX-License-Identifier: Apache-2.0
// Addresses: what is read, how it is written, how it stands in an image.
#include "control/config/endpoint.hpp"

#include <gtest/gtest.h>

namespace millrace::ctl {
namespace {

std::string canonical(std::string_view text) {
  const Result<Endpoint> endpoint = parse_endpoint(text);
  return endpoint.ok() ? endpoint.value().text() : endpoint.status().message();
}

TEST(Endpoint, IsWrittenInOneWay) {
  EXPECT_EQ(canonical("198.18.0.53"), "198.18.0.53:53");
  EXPECT_EQ(canonical("198.18.0.53:5353"), "198.18.0.53:5353");
  EXPECT_EQ(canonical("fd00:18::53"), "[fd00:18::53]:53");
  EXPECT_EQ(canonical("[fd00:18::53]"), "[fd00:18::53]:53");
  EXPECT_EQ(canonical("[FD00:18:0:0::53]:65535"), "[fd00:18::53]:65535");
}

TEST(Endpoint, RefusesWhatIsNoAddress) {
  for (const char* text : {"", ":53", "1.2.3", "1.2.3.4.5", "1.2.3.256", "fd00::1::2", "[]:53"}) {
    EXPECT_FALSE(parse_endpoint(text).ok()) << text;
  }
  EXPECT_EQ(canonical("[1.2.3.4]:53"), "brackets are for IPv6 addresses");
  EXPECT_EQ(canonical("[fd00::1]53"), "after the bracket comes \":port\"");
  EXPECT_EQ(canonical("fe80::1%eth0"), "an address with a zone (%) is not supported");
  for (const char* text :
       {"1.2.3.4:", "1.2.3.4:+53", "1.2.3.4:53x", "[fd00::1]:", "1.2.3.4:99999"}) {
    EXPECT_EQ(canonical(text), "the port must be a number from 1 to 65535") << text;
  }
  EXPECT_FALSE(parse_endpoint(std::string_view("1.2.3.4\0", 8)).ok());
}

TEST(Endpoint, HintsAtBracketsForAPort) {
  EXPECT_EQ(canonical("fd00::1:10053"), "not an IP address; with a port: \"[fd00::1]:10053\"");
  EXPECT_EQ(canonical("1:2:3:4:5:6:7:8:53"),
            "not an IP address; with a port: \"[1:2:3:4:5:6:7:8]:53\"");
  for (const char* text : {"fd00::1:65536", "fd00::1::53", "1:2:3:4:5:6:7:8:5a", "fd00::g:53"})
    EXPECT_EQ(canonical(text), "not an IP address") << text;
  // Which is an address, too.
  EXPECT_EQ(canonical("fd00::1:53"), "[fd00::1:53]:53");
  EXPECT_EQ(with_brackets("fd00::1:53"), "[fd00::1]:53");
  EXPECT_EQ(with_brackets("fd00:::53"), "[fd00::]:53");
  for (const char* text : {"fd00::53", "fd00:18::53", "1:2:3:4:5:6:7:53", "1.2.3.4:53", "fd00::"})
    EXPECT_EQ(with_brackets(text), "") << text;
}

TEST(Endpoint, KnowsItsKind) {
  EXPECT_TRUE(parse_endpoint("127.1.2.3").value().is_loopback());
  EXPECT_TRUE(parse_endpoint("::1").value().is_loopback());
  EXPECT_FALSE(parse_endpoint("::2").value().is_loopback());
  EXPECT_FALSE(parse_endpoint("fd00::1").value().is_loopback());
  EXPECT_TRUE(parse_endpoint("::").value().is_unspecified());
  EXPECT_TRUE(parse_endpoint("169.254.1.1").value().is_link_local());
  EXPECT_TRUE(parse_endpoint("febf::1").value().is_link_local());
  EXPECT_FALSE(parse_endpoint("fec0::1").value().is_link_local());
  EXPECT_TRUE(parse_endpoint("239.1.1.1").value().is_multicast());
  EXPECT_TRUE(parse_endpoint("255.255.255.255").value().is_multicast());
  EXPECT_FALSE(parse_endpoint("240.0.0.1").value().is_multicast());
  EXPECT_TRUE(parse_endpoint("::ffff:1.2.3.4").value().is_v4_mapped());
}

TEST(Endpoint, StandsInTheImageInWireOrder) {
  const abi::Address v4 = parse_endpoint("198.18.0.53:5353").value().to_abi();
  EXPECT_EQ(v4.family, 4);
  EXPECT_EQ(v4.bytes[0], 198);
  EXPECT_EQ(v4.bytes[3], 53);
  EXPECT_EQ(v4.bytes[4], 0);
  const auto* port = reinterpret_cast<const uint8_t*>(&v4.port_be);
  EXPECT_EQ(port[0] << 8 | port[1], 5353);
  const abi::Address v6 = parse_endpoint("fd00:18::53").value().to_abi();
  EXPECT_EQ(v6.family, 6);
  EXPECT_EQ(v6.bytes[0], 0xfd);
  EXPECT_EQ(v6.bytes[15], 0x53);
}

}  // namespace
}  // namespace millrace::ctl
