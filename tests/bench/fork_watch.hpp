#pragma once

// When another process forked, by the kernel's own record of it (PERF_RECORD_FORK of
// perf_event_open(2)): nobody has to look, so nobody takes a processor from what is measured.

#include "shm/base/unique_fd.hpp"

#include <cstdint>
#include <optional>

namespace topsman::bench {

class ForkWatch {
  public:
    /// Of the forks of one thread. Not everybody may: see is_open().
    explicit ForkWatch(std::int64_t thread);
    ~ForkWatch();
    ForkWatch(const ForkWatch&) = delete;
    ForkWatch& operator=(const ForkWatch&) = delete;

    [[nodiscard]] bool is_open() const noexcept { return ring_ != nullptr; }

    /// When that child was forked, by now_ns()'s clock. Forgets all others.
    [[nodiscard]] std::optional<std::int64_t> forked_at(std::int64_t child);

  private:
    UniqueFd fd_;
    void* ring_ = nullptr;
};

}  // namespace topsman::bench
