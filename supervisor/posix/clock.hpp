#pragma once

// The clocks of the shell. The core never asks: time is an argument there.

#include "supervisor/core/types.hpp"

#include <cstdint>
#include <string>

namespace topsman::posix {

/// CLOCK_MONOTONIC, as the core counts.
[[nodiscard]] core::TimePoint now() noexcept;

/// The same in nanoseconds, as lanes record their heartbeat.
[[nodiscard]] std::uint64_t monotonic_ns() noexcept;

/// Microseconds of CLOCK_MONOTONIC, for RELOADING=1 (sd_notify(3): MONOTONIC_USEC=).
[[nodiscard]] std::uint64_t monotonic_usec() noexcept;

/// The ticks since the boot in which processes' start times are counted (field 22 of proc(5)'s
/// stat).
[[nodiscard]] std::uint64_t boot_ticks() noexcept;

/// Another one after each boot of the machine; empty where /proc does not tell.
[[nodiscard]] std::string boot_id();

}  // namespace topsman::posix
