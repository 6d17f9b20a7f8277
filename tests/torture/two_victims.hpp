#pragma once

// Two processes in the middle of something, both killed there: the first at its instruction k, the
// second, which began when the first stood still, at its instruction j. Then both are swept.
//
// Where the kernel takes part in the recovery (robust mutexes), each death is a real one, and the
// second begins once while the first stands still and once when it is dead, but not yet swept.

#include "harness.hpp"

namespace topsman::torture {

/// Neither of the two, and in no lane that is swept.
inline constexpr Owner kSurvivor{3, 1};

/// Which of them had executed all.
struct Fates {
    bool first_is_done = false;
    bool second_is_done = false;
};

/// How the two of a pair die.
enum class Deaths : std::uint8_t {
    Copied,  ///< a copy of the memory stands for each death
    Real,    ///< really killed: the second begins beside the first, and after its death
    InTurn,  ///< really killed: the second, which would wait for it, only begins after its death
};

class Pair {
  public:
    Pair() = default;
    virtual ~Pair() = default;
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;

    [[nodiscard]] virtual std::string name() const = 0;

    [[nodiscard]] virtual Deaths deaths() const { return Deaths::Copied; }

    virtual void setup(const Arena& arena) = 0;
    virtual void first(const Arena& arena) = 0;   ///< kVictim's
    virtual void second(const Arena& arena) = 0;  ///< kPeer's

    /// Empty, or what is wrong. Also proves that everything can be used again.
    [[nodiscard]] virtual std::string verify(Arena& arena, Fates fates) = 0;
};

/// At least `points` pairs of k and j, evenly spread, or all there are; a quarter of them where
/// deaths are real, as each of these takes two new processes. Prints
/// `name two victims: N instructions, M verifications, F failures`.
[[nodiscard]] Report torture_both(Pair& pair, std::uint64_t points);

}  // namespace topsman::torture
