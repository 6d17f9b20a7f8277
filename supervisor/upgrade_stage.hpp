#pragma once

#include <cstdint>

namespace topsman::supervisor {

/// How far a program is that goes on in a master's place, before it has taken over.
enum class UpgradeStage : std::uint8_t {
    Begun,   ///< it can fall back
    Read,    ///< it knows what was handed over
    Opened,  ///< it has the segment and its own descriptors
    Made,    ///< there is a master
    Ready,   ///< all that is left is to take over
};

/// Nothing; tests link another one, which fails there.
void reached(UpgradeStage stage);

}  // namespace topsman::supervisor
