// SPDX-License-Identifier: Apache-2.0
#include "tests/support/compiled_model.hpp"

#include "dataplane/base/cache_line.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// The linker gives us the callers' memcpy and its like under the plain names, and libc's under
// these (meson.build).
extern "C" {
void* __real_memcpy(void* to, const void* from, std::size_t bytes);
void* __real_memmove(void* to, const void* from, std::size_t bytes);
void* __real_memset(void* to, int value, std::size_t bytes);
int __real_memcmp(const void* a, const void* b, std::size_t bytes);
}

namespace millrace::test {
namespace {

constexpr std::size_t kPageBytes = 4096;

WatchedMemory* g_watched = nullptr;

constexpr uint32_t bit(uint32_t thread) {
  return 1u << thread;
}

}  // namespace

WatchedMemory::WatchedMemory(void* base, std::size_t bytes, Keep keep)
    : base_(static_cast<std::byte*>(base)),
      bytes_(bytes),
      keep_(keep),
      first_(base_, base_ + bytes),
      dirty_((bytes + kPageBytes - 1) / kPageBytes),
      shadow_(static_cast<Shadow*>(std::calloc(bytes, sizeof(Shadow))), &std::free),
      line_owner_(bytes / kCacheLineBytes + 1) {
  if (g_watched != nullptr) std::abort();
  g_watched = this;
}

WatchedMemory::~WatchedMemory() {
  rewind();
  g_watched = nullptr;
  if (__real_memcmp(base_, first_.data(), bytes_) == 0) return;
  std::fprintf(stderr, "compiled model: memory was written where no hook saw it\n");
  std::abort();
}

void WatchedMemory::rewind() {
  for (std::size_t page = 0; page < dirty_.size(); ++page) {
    if (!dirty_[page]) continue;
    const std::size_t begin = page * kPageBytes;
    __real_memcpy(base_ + begin, first_.data() + begin, std::min(kPageBytes, bytes_ - begin));
    dirty_[page] = false;
  }
  cells_.clear();
  users_ = learned_;
  ++run_;
}

void WatchedMemory::reserve(const void* base, std::size_t bytes, uint32_t thread) {
  const std::size_t begin = offset_of(base) / kCacheLineBytes;
  std::fill_n(line_owner_.begin() + static_cast<std::ptrdiff_t>(begin), bytes / kCacheLineBytes,
              static_cast<uint8_t>(thread));
}

// Notes the use, and answers who is known to use the word.
WatchedMemory::Users WatchedMemory::use(std::size_t offset, bool reads, bool writes) {
  const uint32_t self = bit(model::current_thread());
  Users& known = learned_[offset];
  const Users before = known;
  if (reads) known.readers |= self;
  if (writes) known.writers |= self;
  if (known.readers != before.readers || known.writers != before.writers) model::begin_again();
  const auto found = users_.find(offset);
  return found == users_.end() ? Users{} : found->second;
}

WatchedMemory::Cell& WatchedMemory::cell(std::size_t offset, uint32_t bytes) {
  const auto [at, made] = cells_.try_emplace(offset);
  if (made) at->second.values.push_back(get(offset, bytes));
  return at->second;
}

uint64_t WatchedMemory::get(std::size_t offset, uint32_t bytes) const {
  uint64_t value = 0;
  __real_memcpy(&value, base_ + offset, bytes);
  return value;
}

void WatchedMemory::put(std::size_t offset, uint32_t bytes, uint64_t value) {
  __real_memcpy(base_ + offset, &value, bytes);
  dirty_[offset / kPageBytes] = true;
}

uint64_t WatchedMemory::load(const void* at, uint32_t bytes, std::memory_order order) {
  model::require_modelled(order);
  const std::size_t offset = offset_of(at);
  const uint32_t self = model::current_thread();
  if (self == 0) return get(offset, bytes);
  check(offset, bytes, false, true);
  // Nobody else writes it: there is one value, and nobody to learn from.
  if ((use(offset, true, false).writers & ~bit(self)) == 0) return get(offset, bytes);
  Cell& cell = this->cell(offset, bytes);
  return cell.values[cell.history.load(keep_ != Keep::no_acquire && model::acquires(order))];
}

void WatchedMemory::store(void* at, uint32_t bytes, uint64_t value, std::memory_order order) {
  model::require_modelled(order);
  const std::size_t offset = offset_of(at);
  const uint32_t self = model::current_thread();
  if (self != 0) {
    check(offset, bytes, true, true);
    const Users users = use(offset, false, true);
    if (((users.readers | users.writers) & ~bit(self)) != 0) {
      Cell& cell = this->cell(offset, bytes);
      cell.history.store(keep_ != Keep::no_release && model::releases(order));
      cell.values.push_back(value);
    }
  }
  put(offset, bytes, value);
}

template <class Change>
uint64_t WatchedMemory::modify(void* at, uint32_t bytes, std::memory_order order, Change change) {
  model::require_modelled(order);
  const std::size_t offset = offset_of(at);
  const uint32_t self = model::current_thread();
  if (self == 0) {
    const uint64_t old = get(offset, bytes);
    put(offset, bytes, change(old));
    return old;
  }
  check(offset, bytes, true, true);
  const Users users = use(offset, true, true);
  if (((users.readers | users.writers) & ~bit(self)) == 0) {
    const uint64_t old = get(offset, bytes);
    put(offset, bytes, change(old));
    return old;
  }
  Cell& cell = this->cell(offset, bytes);
  const uint32_t newest =
      cell.history.begin_rmw(keep_ != Keep::no_acquire && model::acquires(order));
  const uint64_t old = cell.values[newest];
  cell.history.end_rmw(keep_ != Keep::no_release && model::releases(order));
  cell.values.push_back(change(old));
  put(offset, bytes, cell.values.back());
  return old;
}

void WatchedMemory::read_plain(const void* at, std::size_t bytes) {
  if (model::current_thread() != 0) check(offset_of(at), bytes, false, false);
}

void WatchedMemory::write_plain(void* at, std::size_t bytes) {
  const std::size_t offset = offset_of(at);
  for (std::size_t page = offset / kPageBytes; page * kPageBytes < offset + bytes; ++page)
    dirty_[page] = true;
  if (model::current_thread() != 0) check(offset, bytes, true, false);
  // An atomic that is written like this begins anew; the races are checked above.
  for (std::size_t i = offset; !cells_.empty() && i < offset + bytes; ++i)
    cells_.erase(i);
}

void WatchedMemory::check(std::size_t offset, std::size_t bytes, bool write, bool atomic) {
  const uint32_t self = model::current_thread();
  const auto complain = [offset](const char* what) {
    model::fail(std::string(what) + " at offset " + std::to_string(offset));
  };
  if (const uint32_t owner = line_owner_[offset / kCacheLineBytes]; owner != 0) {
    if (owner != self) complain("access to memory of another thread");
    return;
  }
  const model::Clock& clock = model::tick();
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    Shadow& shadow = shadow_[i];
    if (shadow.run != run_) shadow = Shadow{run_, 0, 0, {}, {}};
    if (!model::includes(clock, shadow.writer, shadow.written)) {
      complain(write ? "data race: write over a write" : "data race: read of a write");
    }
    for (uint32_t t = 0; t < kModelThreadsMax; ++t) {
      if (!atomic && !model::includes(clock, t, shadow.atomic_writes[t])) {
        complain("data race: plain access to an atomic");
      }
      // Two atomic accesses never race.
      if (write && !atomic && !model::includes(clock, t, shadow.reads[t])) {
        complain("data race: write under a reader");
      }
    }
    if (!write) {
      shadow.reads[self] = clock[self];
    } else if (atomic) {
      shadow.atomic_writes[self] = clock[self];
    } else {
      shadow.writer = self;
      shadow.written = clock[self];
    }
  }
}

namespace {

// The part of [at, at + bytes) that is watched begins at its start or nowhere: an object never
// lies half in the memory that is watched.
bool watched(const void* at) {
  return g_watched != nullptr && g_watched->covers(at);
}

void on_read(const void* at, std::size_t bytes) {
  if (bytes > 0 && watched(at)) g_watched->read_plain(at, bytes);
}

void on_write(void* at, std::size_t bytes) {
  if (bytes > 0 && watched(at)) g_watched->write_plain(at, bytes);
}

template <class T>
T load(const volatile T* at, int order) {
  auto* const plain = const_cast<const T*>(at);
  if (!watched(plain)) return __atomic_load_n(at, __ATOMIC_SEQ_CST);
  return static_cast<T>(g_watched->load(plain, sizeof(T), static_cast<std::memory_order>(order)));
}

template <class T>
void store(volatile T* at, T value, int order) {
  auto* const plain = const_cast<T*>(at);
  if (!watched(plain)) return __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
  g_watched->store(plain, sizeof(T), value, static_cast<std::memory_order>(order));
}

template <class T>
T exchange(volatile T* at, T value, int order) {
  auto* const plain = const_cast<T*>(at);
  if (!watched(plain)) return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
  return static_cast<T>(g_watched->modify(plain, sizeof(T), static_cast<std::memory_order>(order),
                                          [value](uint64_t) { return uint64_t{value}; }));
}

template <class T>
T fetch_add(volatile T* at, T add, int order) {
  auto* const plain = const_cast<T*>(at);
  if (!watched(plain)) return __atomic_fetch_add(at, add, __ATOMIC_SEQ_CST);
  return static_cast<T>(
      g_watched->modify(plain, sizeof(T), static_cast<std::memory_order>(order),
                        [add](uint64_t old) { return uint64_t{static_cast<T>(old + add)}; }));
}

}  // namespace
}  // namespace millrace::test

// What the compiler calls (gcc and clang alike).

#define MR_TSAN_SIZE(bytes)                      \
  void __tsan_read##bytes(void* at) {            \
    millrace::test::on_read(at, bytes);          \
  }                                              \
  void __tsan_write##bytes(void* at) {           \
    millrace::test::on_write(at, bytes);         \
  }                                              \
  void __tsan_unaligned_read##bytes(void* at) {  \
    millrace::test::on_read(at, bytes);          \
  }                                              \
  void __tsan_unaligned_write##bytes(void* at) { \
    millrace::test::on_write(at, bytes);         \
  }

#define MR_TSAN_ATOMIC(bits)                                                                       \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t* at, int order) {        \
    return millrace::test::load(at, order);                                                        \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t* at, uint##bits##_t value, int order) { \
    millrace::test::store(at, value, order);                                                       \
  }                                                                                                \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t* at, uint##bits##_t value, \
                                                int order) {                                       \
    return millrace::test::exchange(at, value, order);                                             \
  }                                                                                                \
  uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t* at, uint##bits##_t add,  \
                                                 int order) {                                      \
    return millrace::test::fetch_add(at, add, order);                                              \
  }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* at, std::size_t bytes) {
  millrace::test::on_read(at, bytes);
}
void __tsan_write_range(void* at, std::size_t bytes) {
  millrace::test::on_write(at, bytes);
}

MR_TSAN_SIZE(1)
MR_TSAN_SIZE(2)
MR_TSAN_SIZE(4)
MR_TSAN_SIZE(8)
MR_TSAN_SIZE(16)
MR_TSAN_ATOMIC(8)
MR_TSAN_ATOMIC(16)
MR_TSAN_ATOMIC(32)
MR_TSAN_ATOMIC(64)

void* __wrap_memcpy(void* to, const void* from, std::size_t bytes) {
  millrace::test::on_read(from, bytes);
  millrace::test::on_write(to, bytes);
  return __real_memcpy(to, from, bytes);
}
void* __wrap_memmove(void* to, const void* from, std::size_t bytes) {
  millrace::test::on_read(from, bytes);
  millrace::test::on_write(to, bytes);
  return __real_memmove(to, from, bytes);
}
void* __wrap_memset(void* to, int value, std::size_t bytes) {
  millrace::test::on_write(to, bytes);
  return __real_memset(to, value, bytes);
}
int __wrap_memcmp(const void* a, const void* b, std::size_t bytes) {
  millrace::test::on_read(a, bytes);
  millrace::test::on_read(b, bytes);
  return __real_memcmp(a, b, bytes);
}
// clang names them so.
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  return __wrap_memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  return __wrap_memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  return __wrap_memset(to, value, bytes);
}
}
