#pragma once

#include <cstdint>

namespace topsman::shm {

/// Where in an inbox: the first message ever sent has 0. 44 bits, wraps (after ten days of twenty
/// million messages a second): only differences count.
using Position = std::uint64_t;
inline constexpr unsigned kPositionBits = 44;
inline constexpr Position kPositionMask = (Position{1} << kPositionBits) - 1;

/// How far `to` is after `from`.
[[nodiscard]] constexpr std::uint64_t distance(Position from, Position to) noexcept {
    return (to - from) & kPositionMask;
}

[[nodiscard]] constexpr Position after(Position position, std::uint64_t count) noexcept {
    return (position + count) & kPositionMask;
}

/// Messages that one sender sends with one step lie one behind the other; at most so many.
inline constexpr std::uint32_t kMostOfRun = 32;

/// The one word that says who has claimed the last run of an inbox:
/// position:44 | count:6 | generation:4 | lane:10, in one atomic. Zero: nobody has claimed any.
struct TailWord {
    Position position = 0;         ///< of its first message
    std::uint32_t count = 0;       ///< 1 to kMostOfRun; 0: there is none
    std::uint32_t lane = 0;        ///< the sender's
    std::uint32_t generation = 0;  ///< of the lane, its lowest 4 bits

    /// The first position that nobody has claimed.
    [[nodiscard]] constexpr Position end() const noexcept { return after(position, count); }

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return ((position & kPositionMask) << 20U) | (std::uint64_t{count & 0x3fU} << 14U) |
               (std::uint64_t{generation & 0xfU} << 10U) | (lane & 0x3ffU);
    }

    [[nodiscard]] static constexpr TailWord unpack(std::uint64_t word) noexcept {
        return TailWord{word >> 20U, static_cast<std::uint32_t>((word >> 14U) & 0x3fU),
                        static_cast<std::uint32_t>(word & 0x3ffU),
                        static_cast<std::uint32_t>((word >> 10U) & 0xfU)};
    }

    friend constexpr bool operator==(const TailWord&, const TailWord&) = default;
};

enum class CellState : std::uint8_t {
    Empty = 0,    ///< never used
    Writing = 1,  ///< claimed by its owner, who has not sent it yet
    Ready = 2,    ///< sent
    Void = 3,     ///< its owner died before it was sent: there is no message
    Done = 4,     ///< received, while an earlier one is not
};

/// What lies in a cell: turn:40 | count:6 | generation:4 | lane:10 | state:4, in one atomic. The
/// turn says how often the inbox has been filled up to this cell: the words of another turn than
/// the reader's mean that there is nothing yet. The first turn is 1, so zero is a cell never used.
struct CellWord {
    static constexpr std::uint64_t kTurnMask = (std::uint64_t{1} << 40U) - 1;

    CellState state = CellState::Empty;
    std::uint32_t lane = 0;  ///< the sender's
    std::uint32_t generation = 0;
    std::uint32_t count = 0;  ///< of the run that begins here; 1 within one
    std::uint64_t turn = 0;

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return (turn << 24U) | (std::uint64_t{count & 0x3fU} << 18U) |
               (std::uint64_t{generation & 0xfU} << 14U) | (std::uint64_t{lane & 0x3ffU} << 4U) |
               static_cast<std::uint8_t>(state);
    }

    [[nodiscard]] static constexpr CellWord unpack(std::uint64_t word) noexcept {
        return CellWord{static_cast<CellState>(word & 0xfU),
                        static_cast<std::uint32_t>((word >> 4U) & 0x3ffU),
                        static_cast<std::uint32_t>((word >> 14U) & 0xfU),
                        static_cast<std::uint32_t>((word >> 18U) & 0x3fU), word >> 24U};
    }

    /// Could one of ours have written it, but for a cell that was never used?
    [[nodiscard]] constexpr bool is_legal() const noexcept {
        return state >= CellState::Writing && state <= CellState::Done && count >= 1 &&
               count <= kMostOfRun;
    }

    friend constexpr bool operator==(const CellWord&, const CellWord&) = default;
};

}  // namespace topsman::shm
