#pragma once

#include "shm/base/result.hpp"

#include <cstddef>
#include <utility>

namespace topsman::posix {

/// The stack of a child that runs on its parent's memory until its exec. Below it lies a page that
/// nobody may touch: an overflow ends the child and writes nothing of the parent's. One that is let
/// go is kept for the next child: mapping and unmapping are a good part of a start.
class ChildStack {
  public:
    // A multiple of every page size in use. The steps need less than a page, unoptimised a few.
    static constexpr std::size_t kBytes = 65'536;

    /// Errors: what mmap(2) refuses.
    [[nodiscard]] static Result<ChildStack> take();

    ChildStack(ChildStack&& other) noexcept : lowest_(std::exchange(other.lowest_, nullptr)) {}

    ChildStack& operator=(ChildStack&&) = delete;
    ChildStack(const ChildStack&) = delete;
    ChildStack& operator=(const ChildStack&) = delete;
    ~ChildStack();

    /// Where it begins; it grows downwards.
    [[nodiscard]] void* top() const noexcept;

  private:
    explicit ChildStack(void* lowest) noexcept : lowest_(lowest) {}

    [[nodiscard]] static Result<ChildStack> map();

    void* lowest_;
};

}  // namespace topsman::posix
