#pragma once

// Every interleaving of a few processes, at the granularity of their accesses to shared memory,
// with and without the death of one of them before each access.
//
// Steps are sequentially consistent; or, if a scenario says so, as x86 makes them: a plain store is
// seen by its own process at once and by the others some steps later, in its order, at the latest
// when the process makes an exchange or a fence.
//
// A process is a fiber, and the code that it runs is the product's own: a test compiles it with
// std::atomic replaced by explorer::Atomic (explored_shm.hpp), which stops before each access to
// the arena. From each point on every process is tried that can go on, depth first; a run is done
// anew from the beginning, along the choices made before. Two points are the same, and the second
// is not gone on from, when the arena is the same and each process has read the same: the rest of
// what it knows follows from that.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace topsman::explorer {

/// What the processes do, from `begin()` on. Nobody but they, and `begin` and `end`, touches the
/// arena.
struct Scenario {
    std::span<std::byte> arena;
    std::span<std::byte> shared;  ///< what several of them touch: the rest is not worth a step
    std::function<void()> begin;  ///< the arena is zeroed before
    std::vector<std::function<void()>> processes;
    std::vector<bool> may_die;  ///< of the processes; at most one does in a run
    bool has_store_buffers = false;
    /// After the others have ended, or sleep: what the master does about the dead one.
    std::function<void(std::size_t dead)> sweep;
    /// All have ended, but one who died (processes.size(): nobody) and those who sleep for ever.
    /// Empty, or what is wrong.
    std::function<std::string(std::size_t dead, const std::vector<std::size_t>& asleep)> end;
};

struct Explored {
    std::uint64_t points = 0;  ///< different ones
    std::uint64_t runs = 0;    ///< that came to their end
    std::string failure;       ///< of the first that failed, with who made each step
};

/// Ends at the first failure.
[[nodiscard]] Explored explore(const Scenario& scenario);

// -- what Atomic and the futex of the explored code call ------------------------------------------

/// Before an access to `word`.
void step(const void* word) noexcept;
/// After it: what was read, or came of it.
void saw(const void* word, std::uint64_t value) noexcept;

/// A store that others see later: false if it is to be made at once.
[[nodiscard]] bool keep(void* word, const void* value, std::size_t size) noexcept;
/// The last one of this process to the word that it keeps; null: none.
[[nodiscard]] const void* kept(const void* word) noexcept;
/// All that this process keeps is seen by the others.
void let_go() noexcept;
/// All that anybody keeps.
void let_all_go() noexcept;

/// Until woken.
void sleep_on(const void* word) noexcept;
void wake_all(const void* word) noexcept;

}  // namespace topsman::explorer
