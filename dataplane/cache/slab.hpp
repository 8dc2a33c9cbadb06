// SPDX-License-Identifier: Apache-2.0
#pragma once
// Objects out of pages: one size class per page, pages given back when they are empty.
//
// A page in service with room stands in its class's list; objects are taken from the first of them,
// given-back ones before untouched ones. A page that is withdrawn (drained for another class)
// leaves the list: nothing is taken from it any more, and it becomes unused with its last object.
//
// Threads: the owner's. Memory: headers and links in the pages; SlabState in page 0. Untouched
// pages are handed out last, so a region that never fills is never faulted in whole.
// Cost: take and give are O(1) and touch the page's header and one record; so does making or
// releasing a page.
// Failure: take() answers kNoRef when the class has no room and no page is unused.

#include "dataplane/cache/region_layout.hpp"

#include <cstdint>

namespace millrace::cache {

struct ClassState {
  uint32_t room_page;    // first page in service with room; 0: none
  uint32_t pages;        // in service
  uint32_t free;         // objects in them that are neither live nor retired
  uint32_t live;         // entries; kept by Shard
  uint32_t retired;      // objects in the limbo; kept by Shard
  uint32_t reserved;
  uint64_t compared_at;  // how far the class had turned when its window began; kept by Shard
};

struct SlabState {
  uint32_t unused_page;     // first of the given-back pages; 0: none
  uint32_t untouched_page;  // pages [untouched_page, end_page) were never used
  uint32_t end_page;
  uint32_t unused_pages;  // both sorts together
  ClassState classes[kClasses];
};

class Slab {
 public:
  Slab(const Region& region, SlabState& state) noexcept : region_(region), state_(state) {}

  Ref take(uint32_t size_class) noexcept {
    ClassState& of_class = state_.classes[size_class];
    if (of_class.room_page == 0 && !add_page(size_class)) return kNoRef;
    const uint32_t page_no = of_class.room_page;
    PageHeader& page = region_.page_header(page_no);
    uint32_t index = page.free_index;
    if (index != kNoIndex) {
      page.free_index = region_.record(make_ref(page_no, index)).queue_next;
    } else {
      index = page.touched++;
    }
    ++page.used;
    --of_class.free;
    if (page.used == kClassTable.shapes[size_class].objects) leave_room_list(page_no, page);
    return make_ref(page_no, index);
  }

  void give(Ref ref) noexcept {
    const uint32_t page_no = ref_page(ref);
    PageHeader& page = region_.page_header(page_no);
    Record& record = region_.record(ref);
    record.set_bucket(kBucketOfFree);
    record.queue_next = page.free_index;
    page.free_index = ref_index(ref);
    if (page.state == PageState::serving) {
      if (page.used == kClassTable.shapes[page.size_class].objects) join_room_list(page_no, page);
      ++state_.classes[page.size_class].free;
    }
    --page.used;
    if (page.used == 0) release(page_no, page);
  }

  // Nothing is taken from the page any more.
  void withdraw(uint32_t page_no) noexcept {
    PageHeader& page = region_.page_header(page_no);
    leave_service(page_no, page);
    page.state = PageState::draining;
  }

  // Gives up the pages of which no object was ever taken, for a class that has no entries left.
  void release_empty(uint32_t size_class) noexcept {
    uint32_t page_no = state_.classes[size_class].room_page;
    while (page_no != 0) {
      PageHeader& page = region_.page_header(page_no);
      const uint32_t next = page.next;
      if (page.used == 0) release(page_no, page);
      page_no = next;
    }
  }

  // Puts an unused page into the service of the class; false: there is none.
  bool add_page(uint32_t size_class) noexcept {
    uint32_t page_no = state_.unused_page;
    if (page_no != 0) {
      state_.unused_page = region_.page_header(page_no).next;
    } else if (state_.untouched_page < state_.end_page) {
      page_no = state_.untouched_page++;
    } else {
      return false;
    }
    --state_.unused_pages;
    PageHeader& page = region_.page_header(page_no);
    page = PageHeader{};
    page.state = PageState::serving;
    page.size_class = static_cast<uint8_t>(size_class);
    page.free_index = kNoIndex;
    ++state_.classes[size_class].pages;
    state_.classes[size_class].free += kClassTable.shapes[size_class].objects;
    join_room_list(page_no, page);
    return true;
  }

 private:
  void release(uint32_t page_no, PageHeader& page) noexcept {
    if (page.state == PageState::serving) leave_service(page_no, page);
    page.state = PageState::unused;
    page.next = state_.unused_page;
    state_.unused_page = page_no;
    ++state_.unused_pages;
  }

  void leave_service(uint32_t page_no, PageHeader& page) noexcept {
    const uint32_t objects = kClassTable.shapes[page.size_class].objects;
    if (page.used < objects) leave_room_list(page_no, page);
    ClassState& of_class = state_.classes[page.size_class];
    of_class.free -= objects - page.used;
    --of_class.pages;
  }

  void join_room_list(uint32_t page_no, PageHeader& page) noexcept {
    uint32_t& first = state_.classes[page.size_class].room_page;
    page.prev = 0;
    page.next = first;
    if (first != 0) region_.page_header(first).prev = page_no;
    first = page_no;
  }

  void leave_room_list(uint32_t page_no, PageHeader& page) noexcept {
    if (page.prev != 0) region_.page_header(page.prev).next = page.next;
    if (page.next != 0) region_.page_header(page.next).prev = page.prev;
    uint32_t& first = state_.classes[page.size_class].room_page;
    if (first == page_no) first = page.next;
  }

  const Region& region_;
  SlabState& state_;
};

}  // namespace millrace::cache
