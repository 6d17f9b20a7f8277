#pragma once

#include "operation.hpp"

#include <cstdint>
#include <string>

namespace topsman::torture {

/// What was done to one operation, and what came of it.
struct Report {
    std::uint64_t instructions = 0;
    std::uint64_t verifications = 0;
    std::uint64_t failures = 0;
    std::string first_failure;
};

/// The four ways to die, at every instruction k of the operation:
///   die     killed at k; swept; verified
///   freeze  stands at k; its peers finish; then killed; swept; verified
///   resume  stands at k; its peers run; then it finishes; swept, unless it lives on; verified
///   sweeper killed at k; its sweeper is killed too, at its instruction j; swept again; verified
/// The last one takes a few k and every 11th j: what the sweep itself may leave behind is tortured
/// at every instruction as an operation of its own.
/// Prints a line for each: `operation way: N instructions, M verifications, F failures`.
[[nodiscard]] Report torture(Operation& operation);

/// Only the first way, at about `points` instructions evenly spread: enough for a control that is
/// expected to fail.
[[nodiscard]] Report torture_briefly(Operation& operation, std::uint64_t points);

}  // namespace topsman::torture
