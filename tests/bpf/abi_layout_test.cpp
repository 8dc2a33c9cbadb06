// SPDX-License-Identifier: Apache-2.0
// Aim: the program and the loader mean the same bytes. Method: the BTF of the built object, as
// clang saw the shared header, is compared with what this C++ compiler makes of it.

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <cstddef>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <prefilter.skel.h>
#include <string>

#include "ebpf/abi/xdp_abi.h"

namespace millrace::test {
namespace {

struct ObjectDeleter {
  void operator()(prefilter_bpf* skeleton) const { prefilter_bpf::destroy(skeleton); }
};

class AbiLayout : public ::testing::Test {
 protected:
  void SetUp() override {
    skeleton_.reset(prefilter_bpf::open());
    ASSERT_NE(skeleton_, nullptr);
    btf_ = bpf_object__btf(skeleton_->obj);
    ASSERT_NE(btf_, nullptr);
  }

  const btf_type* type(const char* name, uint32_t kind) const {
    const int id = btf__find_by_name_kind(btf_, name, kind);
    return id < 0 ? nullptr : btf__type_by_id(btf_, static_cast<uint32_t>(id));
  }

  // Member -> { offset, bytes }.
  using Layout = std::map<std::string, std::pair<std::size_t, std::size_t>>;
  Layout layout_of(const char* name) const {
    Layout layout;
    const btf_type* t = type(name, BTF_KIND_STRUCT);
    if (t == nullptr) return layout;
    const btf_member* members = btf_members(t);
    for (uint32_t i = 0; i < btf_vlen(t); ++i) {
      EXPECT_EQ(btf_member_bitfield_size(t, i), 0u);
      layout[btf__name_by_offset(btf_, members[i].name_off)] = {
          btf_member_bit_offset(t, i) / 8u,
          static_cast<std::size_t>(btf__resolve_size(btf_, members[i].type))};
    }
    return layout;
  }

  std::map<std::string, uint32_t> values_of(const char* name) const {
    std::map<std::string, uint32_t> values;
    const btf_type* t = type(name, BTF_KIND_ENUM);
    if (t == nullptr) return values;
    const struct btf_enum* rows = btf_enum(t);
    for (uint32_t i = 0; i < btf_vlen(t); ++i)
      values[btf__name_by_offset(btf_, rows[i].name_off)] = static_cast<uint32_t>(rows[i].val);
    return values;
  }

  std::unique_ptr<prefilter_bpf, ObjectDeleter> skeleton_;
  const btf* btf_ = nullptr;
};

#define MR_FIELD(type, field) \
  { #field, { offsetof(type, field), sizeof(type::field) } }

TEST_F(AbiLayout, StructsHaveTheSameBytes) {
  const Layout key = {MR_FIELD(mr_endpoint_key, kind), MR_FIELD(mr_endpoint_key, family),
                      MR_FIELD(mr_endpoint_key, port_be), MR_FIELD(mr_endpoint_key, address)};
  EXPECT_EQ(layout_of("mr_endpoint_key"), key);
  ASSERT_NE(type("mr_endpoint_key", BTF_KIND_STRUCT), nullptr);
  EXPECT_EQ(type("mr_endpoint_key", BTF_KIND_STRUCT)->size, sizeof(mr_endpoint_key));

  const Layout value = {MR_FIELD(mr_endpoint, generation), MR_FIELD(mr_endpoint, flags),
                        MR_FIELD(mr_endpoint, ports)};
  EXPECT_EQ(layout_of("mr_endpoint"), value);
  ASSERT_NE(type("mr_endpoint", BTF_KIND_STRUCT), nullptr);
  EXPECT_EQ(type("mr_endpoint", BTF_KIND_STRUCT)->size, sizeof(mr_endpoint));
}

TEST_F(AbiLayout, EnumsHaveTheSameValues) {
  const std::map<std::string, uint32_t> reasons = {
#define MR_XDP_REASON(name, text) {"MR_XDP_" #name, MR_XDP_##name},
#include "ebpf/abi/xdp_reasons.def"
#undef MR_XDP_REASON
      {"MR_XDP_REASON_CNT", MR_XDP_REASON_CNT}};
  EXPECT_EQ(values_of("mr_xdp_reason"), reasons);
  const std::map<std::string, uint32_t> kinds = {
      {"MR_ENDPOINT_GENERATION", MR_ENDPOINT_GENERATION},
      {"MR_ENDPOINT_SERVICE", MR_ENDPOINT_SERVICE},
      {"MR_ENDPOINT_BACKEND", MR_ENDPOINT_BACKEND},
      {"MR_ENDPOINT_SOURCE", MR_ENDPOINT_SOURCE},
      {"MR_ENDPOINT_SERVICE_ADDRESS", MR_ENDPOINT_SERVICE_ADDRESS}};
  EXPECT_EQ(values_of("mr_endpoint_kind"), kinds);
}

TEST_F(AbiLayout, MapsHaveTheSizesOfTheHeader) {
  const auto& maps = skeleton_->maps;
  EXPECT_EQ(bpf_map__type(maps.MR_XDP_XSKS), BPF_MAP_TYPE_XSKMAP);
  EXPECT_EQ(bpf_map__max_entries(maps.MR_XDP_XSKS), uint32_t{MR_XDP_QUEUES_MAX});
  EXPECT_EQ(bpf_map__type(maps.MR_XDP_COUNTERS), BPF_MAP_TYPE_PERCPU_ARRAY);
  EXPECT_EQ(bpf_map__max_entries(maps.MR_XDP_COUNTERS), uint32_t{MR_XDP_REASON_CNT});
  EXPECT_EQ(bpf_map__value_size(maps.MR_XDP_COUNTERS), sizeof(uint64_t));
  const bpf_map* endpoints = bpf_map__inner_map(maps.MR_XDP_RULES);
  ASSERT_NE(endpoints, nullptr);
  EXPECT_EQ(bpf_map__type(endpoints), BPF_MAP_TYPE_HASH);
  EXPECT_EQ(bpf_map__key_size(endpoints), sizeof(mr_endpoint_key));
  EXPECT_EQ(bpf_map__value_size(endpoints), sizeof(mr_endpoint));
  EXPECT_EQ(bpf_map__max_entries(endpoints), uint32_t{MR_XDP_ENDPOINTS_MAX});
}

// libxdp, and so DPDK's net_af_xdp, finds the program by these.
TEST_F(AbiLayout, NamesAreThoseLibxdpLooksFor) {
  EXPECT_STREQ(bpf_program__name(skeleton_->progs.MR_XDP_PROGRAM), "xsk_def_prog");
  EXPECT_STREQ(bpf_map__name(skeleton_->maps.MR_XDP_XSKS), "xsks_map");
  EXPECT_NE(type("xsk_prog_version", BTF_KIND_VAR), nullptr);
  EXPECT_NE(type("xdp_metadata", BTF_KIND_DATASEC), nullptr);
}

}  // namespace
}  // namespace millrace::test
