#pragma once

// What the tests of shared memory have in common: a segment of their own, and other processes.

#include "shm/segment.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <sys/types.h>

namespace topsman::shm {

/// Two of the lanes, as most tests need them.
inline constexpr Owner kMe{1, 1};
inline constexpr Owner kOther{2, 7};

/// A name in /dev/shm that no other test, process or user has; removed with its ".stale".
class TestName {
  public:
    TestName();
    ~TestName();
    TestName(const TestName&) = delete;
    TestName& operator=(const TestName&) = delete;

    [[nodiscard]] const std::string& get() const noexcept { return name_; }

    [[nodiscard]] std::string path() const { return "/dev/shm/" + name_; }

    [[nodiscard]] Segment::Options options(std::uint32_t lanes = 8) const {
        return {.name = name_, .lanes = lanes, .mode = 0600};
    }

  private:
    std::string name_;
};

/// Memory of type T that a child of fork shares.
void* shared_memory(std::size_t size);

template <class T>
T& shared() {
    return *new (shared_memory(sizeof(T))) T{};
}

/// Runs `body` in a child that then exits; its expectations count. Returns the wait status.
int in_child(const std::function<void()>& body);

/// A child that runs `body` and then waits to be killed. Its constructor returns when it waits.
class Victim {
  public:
    explicit Victim(const std::function<void()>& body);

    ~Victim() { kill(); }

    Victim(const Victim&) = delete;
    Victim& operator=(const Victim&) = delete;

    void kill();  ///< SIGKILL, and reaped when it returns

  private:
    pid_t pid_ = -1;
};

}  // namespace topsman::shm
