// SPDX-License-Identifier: Apache-2.0
// Descriptors that carry images: what is sealed maps and stays as it is; all else is refused.
#include "dataplane/snapshot/sealed_image.hpp"

#include <cstring>
#include <string>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace millrace::snapshot {
namespace {

struct Bytes {
  char text[8192];
};

Bytes some_bytes() {
  Bytes bytes;
  for (std::size_t i = 0; i < sizeof bytes.text; ++i)
    bytes.text[i] = static_cast<char>(i * 7);
  return bytes;
}

// A memfd with the bytes and the seals given.
int fd_with_seals(const Bytes& bytes, int seals) {
  const int fd = memfd_create("millrace-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_EQ(write(fd, &bytes, sizeof bytes), static_cast<ssize_t>(sizeof bytes));
  EXPECT_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
  return fd;
}

int sealed_fd(const Bytes& bytes) {
  return fd_with_seals(bytes, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

TEST(SealedImage, CarriesTheBytes) {
  const Bytes bytes = some_bytes();
  const int fd = sealed_fd(bytes);
  SealedImage image;
  ASSERT_EQ(image.map(fd, sizeof bytes), "");
  close(fd);  // the mapping stands on its own
  ASSERT_NE(image.as<Bytes>(), nullptr);
  EXPECT_EQ(std::memcmp(image.as<Bytes>(), &bytes, sizeof bytes), 0);
  EXPECT_EQ(image.as<int>(), nullptr) << "another size is another kind of image";
}

TEST(SealedImage, CannotBeChangedBehindOurBack) {
  const Bytes bytes = some_bytes();
  const int fd = sealed_fd(bytes);
  EXPECT_EQ(pwrite(fd, "x", 1, 0), -1);
  EXPECT_EQ(ftruncate(fd, 10), -1);
  EXPECT_EQ(ftruncate(fd, 100'000), -1);
  EXPECT_EQ(mmap(nullptr, sizeof bytes, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  close(fd);
}

TEST(SealedImage, RefusesWhatIsNotSealedWhole) {
  const Bytes bytes = some_bytes();
  for (int seals :
       {0, F_SEAL_WRITE, F_SEAL_WRITE | F_SEAL_SHRINK, F_SEAL_WRITE | F_SEAL_GROW,
        F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW}) {
    const int fd = fd_with_seals(bytes, seals);
    SealedImage image;
    EXPECT_EQ(image.map(fd, sizeof bytes),
              "the image is not sealed against writing, shrinking and growing")
        << "seals " << seals;
    EXPECT_EQ(image.data(), nullptr);
    close(fd);
  }
}

TEST(SealedImage, RefusesOtherSizesAndOtherFiles) {
  const Bytes bytes = some_bytes();
  const int fd = sealed_fd(bytes);
  SealedImage image;
  EXPECT_EQ(image.map(fd, sizeof bytes + 1), "the image has 8192 bytes; this version takes 8193");
  close(fd);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(image.map(ends[0], sizeof bytes).rfind("the image is not a memfd", 0), 0u);
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(image.map(-1, sizeof bytes).rfind("the image is not a memfd", 0), 0u);
  EXPECT_EQ(image.data(), nullptr);
}

TEST(SealedImage, MovesAndIsReplaced) {
  const Bytes bytes = some_bytes();
  const int fd = sealed_fd(bytes);
  SealedImage a;
  ASSERT_EQ(a.map(fd, sizeof bytes), "");
  const void* at = a.data();
  SealedImage b(std::move(a));
  EXPECT_EQ(a.data(), nullptr);
  EXPECT_EQ(b.data(), at);
  SealedImage c;
  ASSERT_EQ(c.map(fd, sizeof bytes), "");
  c = std::move(b);
  EXPECT_EQ(c.data(), at);
  EXPECT_EQ(std::memcmp(c.data(), &bytes, sizeof bytes), 0);
  EXPECT_NE(c.map(fd, 1), "");
  EXPECT_EQ(c.data(), nullptr) << "a failed map leaves nothing behind";
  close(fd);
}

}  // namespace
}  // namespace millrace::snapshot
