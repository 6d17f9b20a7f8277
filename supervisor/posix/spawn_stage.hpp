#pragma once

#include <cstdint>

namespace topsman::posix {

/// Where a child failed.
enum class SpawnStage : std::uint8_t {
    Lane,
    Session,
    Signals,
    Descriptors,
    Limits,
    Umask,
    Nice,
    CpuAffinity,
    Groups,
    User,
    DeathSignal,
    WorkingDirectory,
    Exec,
};

}  // namespace topsman::posix
