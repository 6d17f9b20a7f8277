#pragma once

// A value that several processes change, whole at every instruction.
//
// Two copies and an index under a robust mutex: a change is written to the copy that is not
// current, and one store of the index commits it. A writer that dies before that store has changed
// nothing, one that dies after it has changed everything: there is nothing to repair, and readers
// take no lock. Same idea as the active/staging copies of journalled stores; see shm/README.md.

#include "shm/limits.hpp"
#include "shm/robust_mutex.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace topsman::shm {

/// As it lies in the segment: storage for one TxCell<T> of at most kMaxCellBytes.
class alignas(kCacheLine) TxCellStorage {
  public:
    /// Sets the value and the lock; by whoever registers the cell, before it is published.
    void init(const void* value, std::size_t size) noexcept;

    /// Locks and copies the current value to `value`, the caller's own memory, for changing. Held
    /// when Locked, which it also is after an owner's death: there is nothing to repair.
    [[nodiscard]] LockResult begin(Owner owner, void* value, std::size_t size) noexcept;
    /// After begin(): one store makes `value` the current one, then unlocks.
    void commit(const void* value, std::size_t size) noexcept;
    void roll_back() noexcept;  ///< after begin(): unlocks; nothing has changed

    /// A consistent copy of the value, without a lock. False after `tries` overtakings, which takes
    /// a hostile writer.
    [[nodiscard]] bool read(void* to, std::size_t size, int tries = 1'000) const noexcept;

    /// For the sweep: see RobustMutex::forget.
    void forget(Owner dead) noexcept { mutex_.forget(dead); }

    [[nodiscard]] const RobustMutex& mutex() const noexcept { return mutex_; }

  private:
    RobustMutex mutex_;
    alignas(kCacheLine) std::atomic<std::uint32_t> index_;
    alignas(kCacheLine) std::atomic<std::uint64_t> copies_[2][kMaxCellBytes / 8];
};

}  // namespace topsman::shm
