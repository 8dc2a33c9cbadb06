// SPDX-License-Identifier: Apache-2.0
#pragma once
// The region of one shard: what lies where, and how things in it are named.
//
//   page 0            header, list heads, state of the owner
//   pages 1..         index: one bucket of 8 slots for every 768 bytes of the region
//   then              ghost (ghost.hpp)
//   the rest          slab pages: records, then entries
//
//   page 0                                    slab page
//   0      RegionHeader        64             0      PageHeader              64
//   64     Record[256]       5120             64     Record[n]             20 n
//   5184   State                              .      objects, n x size, the first at the next line
//
// A page is 16 KiB. Everything is named by number, so the region may be mapped anywhere:
//   entry number  offset of an entry / 64; in slots
//   Ref           page << 8 | index of the object in its page; in links
// A record holds what only the owner touches (links of the wheel and of the eviction queue, the
// bucket one of whose slots names the entry), so readers' lines are never written for the owner's
// book-keeping. The 256 records of page 0 belong to no entry: they are the heads of the wheel's and
// the queues' lists, and being records they need no special case. A Ref below 256 is therefore a
// head, and 0 is "none" where a list is not circular.
//
// Memory: the caller owns the region; it must be 64-byte aligned. It never grows; slab pages are
// not touched before they are used. An entry of one 128-byte object takes 128 + 20 (record) + 15
// (index, ghost and headers) bytes.
// Failure: layout_of says what is wrong with a size.
// Limits: kRegionBytesMin leaves a page or so to each size class; 2^32 entry units give 256 GiB.

#include "dataplane/base/cache_line.hpp"
#include "dataplane/cache/slot.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace millrace::cache {

inline constexpr std::size_t kRegionBytesMin = std::size_t{512} << 10;
inline constexpr std::size_t kRegionBytesMax = std::size_t{1} << 38;
inline constexpr std::size_t kRegionBytesPerBucket = 768;
inline constexpr uint64_t kRegionMagic = 0x726873656c6c696d;  // "millshr" and a byte of 'r'
inline constexpr uint32_t kRegionVersion = 4;

inline constexpr uint32_t kPageBytes = 16384;
inline constexpr uint32_t kEntryUnitBytes = kCacheLineBytes;
inline constexpr uint32_t kUnitsPerPage = kPageBytes / kEntryUnitBytes;

// --- links

using Ref = uint32_t;
inline constexpr uint32_t kRefIndexBits = 8;
inline constexpr uint32_t kHeads = 1u << kRefIndexBits;
inline constexpr Ref kNoRef = 0;

constexpr Ref make_ref(uint32_t page_no, uint32_t index) noexcept {
  return page_no << kRefIndexBits | index;
}
constexpr uint32_t ref_page(Ref ref) noexcept {
  return ref >> kRefIndexBits;
}
constexpr uint32_t ref_index(Ref ref) noexcept {
  return ref & (kHeads - 1);
}
constexpr bool is_head(Ref ref) noexcept {
  return ref < kHeads;
}

inline constexpr uint32_t kBucketBits = 29;

struct Record {
  Ref wheel_prev, wheel_next;
  Ref queue_prev, queue_next;         // also the links of free objects and of the limbo
  uint32_t bucket : kBucketBits = 0;  // that names the live entry, or one of the two below
  uint32_t in_main : 1 = 0;           // S3Fifo's: in which of its two queues the entry stands
  uint32_t stale : 1 = 0;             // its time is over; it counts against the stale budget
  uint32_t reserved : 1 = 0;

  // `bucket_idx` < 2^29.
  void set_bucket(uint32_t bucket_idx) noexcept { bucket = bucket_idx & ((1u << kBucketBits) - 1); }
};
static_assert(sizeof(Record) == 20 && std::has_unique_object_representations_v<Record>);
inline constexpr uint32_t kBucketOfFree = (1u << kBucketBits) - 1;
inline constexpr uint32_t kBucketOfRetired = kBucketOfFree - 1;
static_assert(kRegionBytesMax / kRegionBytesPerBucket < kBucketOfRetired);

// The head of an empty list, or of several: linked to itself.
constexpr Record list_head(Ref head) noexcept {
  return Record{head, head, head, head};
}

static_assert(kRegionBytesMax / kEntryUnitBytes - 1 <= UINT32_MAX);

// --- size classes

// Steps of about a quarter; the large ones are what a whole number of objects leaves of a page.
inline constexpr uint32_t kClassBytes[] = {64,  128,  192,  256,  320,  384,  448,  512,  640,
                                           768, 1024, 1280, 1600, 1984, 2688, 4032, 5376, 8128};
inline constexpr uint32_t kClasses = sizeof kClassBytes / sizeof kClassBytes[0];
inline constexpr uint32_t kEntryBytesMax = kClassBytes[kClasses - 1];

struct ClassShape {
  uint32_t object_bytes;
  uint32_t objects;          // in a page
  uint32_t first_unit;       // of the first object, in its page
  uint32_t unit_reciprocal;  // units_of_object * unit_reciprocal >> 16 == index
};

struct alignas(kCacheLineBytes) RegionHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t shard_idx;
  uint64_t region_bytes;
  uint32_t page_bytes;
  uint32_t bucket_cnt;
  uint32_t first_slab_page;
  uint32_t page_cnt;  // all pages, page 0 included
  uint32_t policy_id;  // EvictionPolicy under which the queues were kept
  uint32_t first_ghost_page;
  uint32_t reserved[4];  // 0
};
static_assert(sizeof(RegionHeader) == kCacheLineBytes);
static_assert(std::has_unique_object_representations_v<RegionHeader>);

enum class PageState : uint8_t { unused = 0, serving = 1, draining = 2 };

struct alignas(kCacheLineBytes) PageHeader {
  PageState state;
  uint8_t size_class;
  uint8_t reserved[2];
  uint16_t used;        // objects that are live or retired
  uint16_t touched;     // objects [touched, n) were never given out
  uint32_t free_index;  // first of the given-back objects, linked by queue_next; kNoIndex: none
  uint32_t prev, next;  // pages of this class with room, or `next` of an unused page; 0: none
  uint32_t padding[10];
};
static_assert(sizeof(PageHeader) == kCacheLineBytes);
inline constexpr uint32_t kNoIndex = UINT32_MAX;

inline constexpr uint32_t kRecordsOffset = kCacheLineBytes;

constexpr ClassShape class_shape(uint32_t size_class) noexcept {
  const uint32_t bytes = kClassBytes[size_class];
  uint32_t objects =
      (kPageBytes - kRecordsOffset) / (bytes + static_cast<uint32_t>(sizeof(Record)));
  const auto first_unit = [](uint32_t n) {
    return static_cast<uint32_t>((kRecordsOffset + n * sizeof(Record) + kEntryUnitBytes - 1) /
                                 kEntryUnitBytes);
  };
  while (first_unit(objects) * kEntryUnitBytes + objects * bytes > kPageBytes)
    --objects;
  const uint32_t units = bytes / kEntryUnitBytes;
  return ClassShape{bytes, objects, first_unit(objects), 65536 / units + 1};
}

struct ClassTable {
  ClassShape shapes[kClasses];
  uint8_t class_of_units[kEntryBytesMax / kEntryUnitBytes + 1];  // smallest class that holds them
};

constexpr ClassTable make_class_table() noexcept {
  ClassTable table{};
  for (uint32_t i = 0; i < kClasses; ++i)
    table.shapes[i] = class_shape(i);
  uint32_t size_class = 0;
  for (uint32_t units = 0; units <= kEntryBytesMax / kEntryUnitBytes; ++units) {
    if (units * kEntryUnitBytes > kClassBytes[size_class]) ++size_class;
    table.class_of_units[units] = static_cast<uint8_t>(size_class);
  }
  return table;
}

inline constexpr ClassTable kClassTable = make_class_table();
static_assert(kClassTable.shapes[0].objects <= kHeads, "an object index must fit a Ref");
static_assert(kClassTable.shapes[kClasses - 1].objects >= 2);

// `bytes` <= kEntryBytesMax.
constexpr uint32_t class_of(uint32_t bytes) noexcept {
  return kClassTable.class_of_units[(bytes + kEntryUnitBytes - 1) / kEntryUnitBytes];
}
// What an object of the class takes from its page, record included.
constexpr uint32_t class_cost_bytes(uint32_t size_class) noexcept {
  return kClassBytes[size_class] + static_cast<uint32_t>(sizeof(Record));
}

// --- the region as a whole

struct RegionLayout {
  uint32_t page_cnt;
  uint32_t bucket_cnt;
  uint32_t first_ghost_page;
  uint32_t first_slab_page;
};

// Fills `layout`; returns an empty view, or what is wrong with `bytes`.
std::string_view layout_of(std::size_t bytes, RegionLayout& layout) noexcept;

// A mapped region: turns names into addresses.
struct Region {
  std::byte* base;

  std::byte* page(uint32_t page_no) const noexcept {
    return base + std::size_t{page_no} * kPageBytes;
  }
  RegionHeader& header() const noexcept { return *reinterpret_cast<RegionHeader*>(base); }
  PageHeader& page_header(uint32_t page_no) const noexcept {
    return *reinterpret_cast<PageHeader*>(page(page_no));
  }
  Record& record(Ref ref) const noexcept {
    return *reinterpret_cast<Record*>(page(ref_page(ref)) + kRecordsOffset +
                                      ref_index(ref) * sizeof(Record));
  }
  // Not for heads.
  uint32_t entry_no(Ref ref) const noexcept {
    const ClassShape& shape = kClassTable.shapes[page_header(ref_page(ref)).size_class];
    return ref_page(ref) * kUnitsPerPage + shape.first_unit +
           ref_index(ref) * (shape.object_bytes / kEntryUnitBytes);
  }
  Ref ref_of(uint32_t entry_number) const noexcept {
    const uint32_t page_no = entry_number / kUnitsPerPage;
    const ClassShape& shape = kClassTable.shapes[page_header(page_no).size_class];
    const uint32_t units = entry_number % kUnitsPerPage - shape.first_unit;
    return make_ref(page_no, units * shape.unit_reciprocal >> 16);
  }
  std::byte* object(uint32_t entry_number) const noexcept {
    return base + std::size_t{entry_number} * kEntryUnitBytes;
  }
};

}  // namespace millrace::cache
