// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any text is refused with a reason, or loads, dumps, loads back equal and
// compiles to an image that the data plane takes.
#include "control/config/dump.hpp"
#include "control/config/load.hpp"
#include "control/snapshot/compile.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/snapshot/config_attach.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace millrace::ctl;
  const Host host{{0, 1}};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const LoadResult result = load_config_text(text, "fuzz", host);
  MR_CHECK(result.ok() == result.diagnostics.empty());
  if (!result.ok()) return 0;
  const LoadResult again = load_config_text(dump_yaml(*result.config), "dump", host);
  MR_CHECK(again.ok() && *again.config == *result.config);
  millrace::abi::ConfigImage image;
  compile(*result.config, 1, image);
  MR_CHECK(millrace::snapshot::verify_config(&image, sizeof image).empty());
  return 0;
}
