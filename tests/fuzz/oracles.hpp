// SPDX-License-Identifier: Apache-2.0
#pragma once
// What must hold for any input whatsoever. Used by the libFuzzer targets, and by the property tests
// on generated input.
//
// Each oracle answers an empty text, or what is wrong. Inputs are copied to blocks of exactly their
// size, and replies are written into blocks of exactly their room, so that AddressSanitizer sees
// every access outside.

#include <cstddef>
#include <cstdint>
#include <string>

namespace millrace::test {

// A frame from the wire: dropped, or answered by a frame to where it came from.
std::string check_frame(const uint8_t* data, std::size_t size);

// A UDP payload at the service port: dropped, or at most one answer whose first two octets are the
// id, with QR set, of bounded size.
std::string check_query(const uint8_t* data, std::size_t size);

// An upstream answer: what is accepted is well formed by the reference reader's judgement, and
// comes out of the reply writer well formed, without OPT, TTLs levelled and capped.
std::string check_answer(const uint8_t* data, std::size_t size);

}  // namespace millrace::test
