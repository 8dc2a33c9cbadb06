// SPDX-License-Identifier: Apache-2.0
// A sealed memfd: the bytes are there, and nobody can change them.
#include "control/snapshot/publish.hpp"

#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millrace::ctl {
namespace {

class SealedMemfd : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<int> made = make_sealed_memfd(bytes_.data(), bytes_.size(), "millrace-test");
    ASSERT_TRUE(made.ok()) << made.status().message();
    fd_ = made.value();
  }
  void TearDown() override { close(fd_); }

  const std::vector<char> bytes_ = std::vector<char>(100'000, 'm');
  int fd_ = -1;
};

TEST_F(SealedMemfd, HoldsTheBytes) {
  struct stat info {};
  ASSERT_EQ(fstat(fd_, &info), 0);
  EXPECT_EQ(static_cast<std::size_t>(info.st_size), bytes_.size());
  std::vector<char> back(bytes_.size());
  ASSERT_EQ(read(fd_, back.data(), back.size()), static_cast<ssize_t>(back.size()));
  EXPECT_EQ(back, bytes_);
}

TEST_F(SealedMemfd, CannotBeChangedInAnyWay) {
  EXPECT_EQ(fcntl(fd_, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  EXPECT_EQ(pwrite(fd_, "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(fd_, 0), -1);
  EXPECT_EQ(ftruncate(fd_, 200'000), -1);
  EXPECT_EQ(mmap(nullptr, bytes_.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0), MAP_FAILED);
  void* map = mmap(nullptr, bytes_.size(), PROT_READ, MAP_SHARED, fd_, 0);
  ASSERT_NE(map, MAP_FAILED);
  munmap(map, bytes_.size());
}

TEST_F(SealedMemfd, IsNotInheritedByChance) {
  EXPECT_EQ(fcntl(fd_, F_GETFD), FD_CLOEXEC);
}

TEST(SealedMemfdFailure, NamesTheCall) {
  const Result<int> made = make_sealed_memfd("x", 1, std::string(4096, 'n').c_str());
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().message(), "memfd_create: Invalid argument");
}

}  // namespace
}  // namespace millrace::ctl
