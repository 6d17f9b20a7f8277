#pragma once

// A mutex between processes that may be killed while they hold it.
//
// The kernel releases a robust process-shared pthread mutex when its holder dies and tells the next
// one (pthread_mutexattr_setrobust(3)). Boost's interprocess_mutex does not pass that on: it is
// unusable for ever afterwards (boostorg/interprocess#65, #187). Here the next locker gets the lock
// together with the answer "the owner died", repairs what the mutex guards, and says so; if it
// cannot, the mutex is poisoned: every later lock is refused, visibly, instead of guessing.
//
// A worker gone wild may write over the mutex itself, and glibc believes what it finds there: of
// another type of mutex it aborts, for a holder that there is not it waits for ever. So before each
// lock the words that say what it is are compared with what init() wrote, and before each wait the
// kernel is asked whether there is such a thread. What is no mutex of ours is *overwritten*:
// refused like a poisoned one, for good, and shown as such by `topsman locks`.
//
// What that cannot do: who writes between the look and glibc's own, or over a mutex that somebody
// holds or waits for, may make its holder crash (the links of the thread's list of locks lie in the
// mutex, and unlocking writes through them), let two in, or let those wait for ever who sleep
// already. Nor can a word that names a living thread be told from its lock: whoever may write here
// can as well lock it and never give it back.

#include "shm/lane.hpp"
#include "shm/lane_set.hpp"
#include "shm/limits.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <pthread.h>

namespace topsman::shm {

enum class LockResult : std::uint8_t {
    Locked,     ///< held; what it guards is whole
    OwnerDied,  ///< held; the last holder died: repair, then call repaired() or poison()
    Busy,       ///< not held: try_lock found it held, the deadline passed, or this thread has it
    Poisoned,   ///< not held: a repair failed, or it was overwritten; reset needs a new segment
    Detached,   ///< not held: this process has no segment (a forked child)
};

/// As it lies in the segment. Never destroyed, never unmapped while the process lives
/// (glibc bug 14485). Fork-safe: a lock held across fork stays the parent's.
class alignas(kCacheLine) RobustMutex {
  public:
    void init() noexcept;  ///< by the master, before the first fork

    /// `owner` is shown to operators; the kernel's truth is the pthread mutex.
    [[nodiscard]] LockResult lock(Owner owner) noexcept;
    [[nodiscard]] LockResult try_lock(Owner owner) noexcept;
    /// Waits at most until `deadline` of CLOCK_MONOTONIC.
    [[nodiscard]] LockResult lock_until(Owner owner,
                                        std::chrono::steady_clock::time_point deadline) noexcept;
    /// By the thread that holds it; the child of a fork that tries releases nothing. After
    /// OwnerDied without repaired() it poisons: nobody has said that what it guards is whole.
    void unlock() noexcept;

    /// After OwnerDied: what it guards is whole again; the lock is still held.
    void repaired() noexcept;
    /// After OwnerDied: it could not be repaired. Releases the lock; every later lock is Poisoned.
    void poison() noexcept;

    // For lookers; safe on hostile bytes and from a read-only mapping.
    [[nodiscard]] bool is_poisoned() const noexcept;
    /// Poisoned because its own words were not what any of ours writes, not by a failed repair.
    [[nodiscard]] bool is_overwritten() const noexcept;
    [[nodiscard]] Owner owner() const noexcept;  ///< lane 0: free
    [[nodiscard]] std::uint64_t owner_deaths() const noexcept;
    /// CLOCK_MONOTONIC, to within some milliseconds: since when the owner has it. 0: not known.
    [[nodiscard]] std::int64_t held_since_ns() const noexcept;
    /// Does a thread of that lane wait for it, as far as anybody knows?
    [[nodiscard]] bool is_waited_for_by(std::uint32_t lane) const noexcept;

    /// For the sweep: the dead owner, or who waited, is shown no longer. The lock itself is the
    /// kernel's business.
    void forget(Owner dead) noexcept;

  private:
    /// Calls `wait` for the lock if somebody has it, and is known to wait meanwhile.
    template <class Wait>
    [[nodiscard]] LockResult enter(Owner owner, Wait&& wait) noexcept;
    [[nodiscard]] LockResult entered(int rc, Owner owner) noexcept;
    void release() noexcept;
    [[nodiscard]] bool is_refused() noexcept;
    [[nodiscard]] bool has_our_words() noexcept;
    [[nodiscard]] bool is_held_by_nobody() noexcept;
    [[nodiscard]] LockResult refuse_as_overwritten() noexcept;

    pthread_mutex_t mutex_;
    std::atomic<std::uint64_t> owner_;
    std::atomic<std::uint64_t> owner_deaths_;
    std::atomic<std::uint32_t> poisoned_;    ///< 0, why it is refused, or hostile bytes
    std::atomic<std::uint32_t> unrepaired_;  ///< the holder got OwnerDied and has not answered yet
    std::atomic<std::int64_t> held_since_ns_;
    // On lines of their own: others write them while the holder works.
    LaneSet waiting_;
};

}  // namespace topsman::shm
