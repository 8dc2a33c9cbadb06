// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/event_loop.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>

#include "dataplane/base/check.hpp"

namespace millrace::ctl {

EventLoop::EventLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  MR_CHECK(epoll_.valid() && wake_.valid());
  watch(wake_.get(), EPOLLIN, [this](uint32_t) { stopped_ = true; });
}

void EventLoop::watch(int fd, uint32_t epoll_events, FdCallback callback) {
  MR_CHECK(!tokens_.contains(fd));
  const uint64_t token = next_id_++;
  epoll_event event{};
  event.events = epoll_events;
  event.data.u64 = token;
  MR_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  tokens_[fd] = token;
  watches_[token] = std::make_shared<Watch>(Watch{fd, std::move(callback)});
}

void EventLoop::rewatch(int fd, uint32_t epoll_events) {
  const auto found = tokens_.find(fd);
  MR_CHECK(found != tokens_.end());
  epoll_event event{};
  event.events = epoll_events;
  event.data.u64 = found->second;
  MR_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::unwatch(int fd) {
  const auto found = tokens_.find(fd);
  if (found == tokens_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(found->second);
  tokens_.erase(found);
}

EventLoop::TimerId EventLoop::after(Milliseconds delay, TimerCallback callback) {
  const TimerId id = next_id_++;
  timers_.emplace(Clock::now() + delay, std::make_pair(id, std::move(callback)));
  return id;
}

void EventLoop::cancel(TimerId& timer) {
  if (timer != 0) {
    const auto found = std::find_if(timers_.begin(), timers_.end(),
                                    [&](const auto& entry) { return entry.second.first == timer; });
    if (found != timers_.end()) timers_.erase(found);
  }
  timer = 0;
}

void EventLoop::run() {
  stopped_ = false;
  while (!stopped_) turn(Milliseconds(60'000));
}

bool EventLoop::run_until(const std::function<bool()>& done, Milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!done()) {
    const auto left = std::chrono::duration_cast<Milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    turn(std::min(left, Milliseconds(20)));
  }
  return true;
}

void EventLoop::stop_from_other_thread() {
  const uint64_t one = 1;
  MR_CHECK(::write(wake_.get(), &one, sizeof one) == sizeof one);
}

void EventLoop::turn(Milliseconds wait_max) {
  std::array<epoll_event, 32> events;
  const auto wait = until_next_timer(wait_max);
  const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 static_cast<int>(wait.count()));
  for (int i = 0; i < ready; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    const auto found = watches_.find(event.data.u64);
    if (found == watches_.end()) continue;
    // Kept alive here: the callback may remove its own watch.
    const std::shared_ptr<Watch> watch = found->second;
    watch->callback(event.events);
  }
  run_due_timers();
}

EventLoop::Milliseconds EventLoop::until_next_timer(Milliseconds limit) const {
  if (timers_.empty()) return limit;
  // Rounded up, or the loop would spin through the last fraction of a millisecond.
  const auto left = std::chrono::ceil<Milliseconds>(timers_.begin()->first - Clock::now());
  return std::clamp(left, Milliseconds(0), limit);
}

void EventLoop::run_due_timers() {
  // Timers set by these callbacks wait for the next turn, so that descriptors get theirs.
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    TimerCallback callback = std::move(timers_.begin()->second.second);
    timers_.erase(timers_.begin());
    callback();
  }
}

}  // namespace millrace::ctl
