#pragma once

// What the harness tortures: one operation on shared memory, and what must hold after its process
// died in the middle of it. A new object of the segment gets its promise tested by writing one more
// of these.

#include "shm/lane.hpp"
#include "shm/segment.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace topsman::torture {

using shm::Owner;
using shm::Segment;

/// A segment with four lanes, three job queues, five blocks, a histogram and two channels, and a
/// piece of shared memory beside it: for what the operation returned, and for the negative
/// controls.
///
/// Lane 1 is the victim's and lane 2 its peers', both STARTED; 3 and 4 are free.
struct Arena {
    Segment segment;
    std::span<std::byte> scratch;

    static Arena make();

    void copy_from(const Arena& other) const;

    template <class T>
    [[nodiscard]] T& in_scratch() const noexcept {
        static_assert(alignof(T) <= 4'096);
        return *reinterpret_cast<T*>(scratch.data());
    }
};

inline constexpr std::uint32_t kLanes = 4;
inline constexpr shm::QueueShape kQueue{
    .capacity = 8, .item_size = 16, .max_attempts = 3, .priorities = 2};
inline constexpr shm::QueueShape kKeyedQueue{
    .capacity = 12, .item_size = 16, .max_attempts = 3, .priorities = 1, .has_keys = true};
inline constexpr shm::QueueShape kAskedQueue{.capacity = 6,
                                             .item_size = 16,
                                             .max_attempts = 2,
                                             .priorities = 1,
                                             .has_keys = false,
                                             .result_size = 40};
inline constexpr shm::ChannelShape kChannel{
    .slots = 2, .capacity = 7, .message_size = 16, .delivery = shm::Delivery::AtLeastOnce};
inline constexpr shm::ChannelShape kForgetfulChannel{
    .slots = 1, .capacity = 7, .message_size = 16, .delivery = shm::Delivery::AtMostOnce};
inline constexpr Owner kVictim{1, 1};
inline constexpr Owner kPeer{2, 1};
inline constexpr std::uint32_t kVictimPid = 1'001;  // as the lanes say; nobody looks them up
inline constexpr std::uint32_t kPeerPid = 1'002;

/// The row of a name that all of them know.
inline std::uint32_t add(shm::NameTable& names, const char* name, shm::NameKind kind,
                         std::uint32_t size = 0) {
    return names.find_or_add(name, kind, size, Owner{}, nullptr).value();
}

/// What became of the victim before verify() is asked.
struct Fate {
    bool is_done = false;    ///< it had executed the whole operation
    bool peers_ran = false;  ///< peers() ran while it stood still
};

class Operation {
  public:
    Operation() = default;
    virtual ~Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    [[nodiscard]] virtual std::string name() const = 0;

    /// Does the kernel take part in the recovery (robust mutexes)? Then each death must be a real
    /// one, and the operation starts anew for each; else a copy of the memory stands for it.
    [[nodiscard]] virtual bool needs_real_deaths() const { return false; }

    virtual void setup(const Arena& /*arena*/) {}

    /// The victim's: executed instruction by instruction. Anything before it that allocates or
    /// initialises belongs in setup().
    virtual void run(const Arena& arena) = 0;

    /// What others do while the victim stands still. Must finish without it.
    virtual void peers(const Arena& /*arena*/) {}

    /// What the master does after the death; by default it sweeps the victim's lane.
    virtual void sweep(Arena& arena);

    /// Does a victim that was resumed live on, unswept? Then what it left must be whole without the
    /// sweep too.
    [[nodiscard]] virtual bool lives_on() const { return false; }

    /// Empty, or what is wrong. Also proves that everything can be used again.
    [[nodiscard]] virtual std::string verify(Arena& arena, Fate fate) = 0;
};

/// For operations of the master: a new master sweeps all lanes but the peers'.
void sweep_as_new_master(Arena& arena);

}  // namespace topsman::torture
