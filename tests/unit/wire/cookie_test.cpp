// SPDX-License-Identifier: Apache-2.0
// Cookies against the test vectors of their sources.
#include "dataplane/wire/cookie.hpp"

#include "tests/unit/wire/wire_test.hpp"

#include <string>

namespace millrace::test {
namespace {

Bytes from_hex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// The cookie that a client with this cookie of its own gets.
Bytes made(const std::string& client_cookie, const char* address, uint32_t unix_s,
           const std::string& secret) {
  Bytes cookie = from_hex(client_cookie);
  cookie.resize(wire::kCookieBytes, 0xaa);
  wire::write_cookie(cookie.data(), address_of(address), unix_s, from_hex(secret).data());
  return cookie;
}

bool is_good(const Bytes& cookie, const char* address, uint32_t unix_s, const std::string& secret) {
  return wire::is_good_cookie(cookie.data(), address_of(address), unix_s, from_hex(secret).data());
}

const std::string kSecret = "e5e973e5a6b2a43f48e7dc849e37bfcf";

TEST(SipHash, VectorsOfThePaper) {
  Bytes key, input;
  for (uint8_t i = 0; i < 16; ++i)
    key.push_back(i);
  EXPECT_EQ(siphash24(key.data(), input.data(), 0), 0x726fdb47dd0e0e31u);
  for (uint8_t i = 0; i < 15; ++i)
    input.push_back(i);
  EXPECT_EQ(siphash24(key.data(), input.data(), input.size()), 0xa129ca6149be45e5u);
  EXPECT_EQ(siphash24(key.data(), input.data(), 8), 0x93f5f5799a932462u);
}

TEST(Cookie, A81_vectors_of_rfc_9018) {
  EXPECT_EQ(made("2464c4abcf10c957", "198.51.100.100", 1559731985, kSecret),
            from_hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
  EXPECT_EQ(made("2464c4abcf10c957", "198.51.100.100", 1559734385, kSecret),
            from_hex("2464c4abcf10c957010000005cf7a871d4a564a1442aca77"));
  EXPECT_EQ(made("22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961,
                 "445536bcd2513298075a5d379663c962"),
            from_hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a"));
  // What the reserved octets say is hashed, not judged.
  EXPECT_TRUE(is_good(from_hex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5"), "203.0.113.203",
                      1559728000, kSecret));
}

TEST(Cookie, A81_good_for_an_hour_and_five_minutes_ahead) {
  const uint32_t then = 0xffff'ff00;  // the clock wraps within the hour
  const Bytes cookie = made("0102030405060708", "198.18.0.9", then, kSecret);
  for (const auto& [age_s, good] : std::initializer_list<std::pair<int, bool>>{
           {0, true}, {3600, true}, {3601, false}, {-300, true}, {-301, false}}) {
    EXPECT_EQ(is_good(cookie, "198.18.0.9", then + static_cast<uint32_t>(age_s), kSecret), good)
        << age_s;
  }
}

TEST(Cookie, A81_every_octet_and_the_address_count) {
  const Bytes cookie = made("0102030405060708", "198.18.0.9", 1000, kSecret);
  ASSERT_TRUE(is_good(cookie, "198.18.0.9", 1000, kSecret));
  for (std::size_t i = 0; i < cookie.size(); ++i) {
    Bytes other = cookie;
    other[i] ^= 1;
    EXPECT_FALSE(is_good(other, "198.18.0.9", 1000, kSecret)) << i;
  }
  EXPECT_FALSE(is_good(cookie, "198.18.0.10", 1000, kSecret));
  EXPECT_FALSE(is_good(cookie, "198.18.0.9", 1000, "f5e973e5a6b2a43f48e7dc849e37bfcf"));
  const Bytes v6 = made("0102030405060708", "fd00:18::9", 1000, kSecret);
  EXPECT_TRUE(is_good(v6, "fd00:18::9", 1000, kSecret));
  EXPECT_FALSE(is_good(v6, "fd00:18::a", 1000, kSecret));
}

}  // namespace
}  // namespace millrace::test
