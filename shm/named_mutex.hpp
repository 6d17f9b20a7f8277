#pragma once

// A mutex under a name: named and made in one place. A row whose mutex was never made lies there as
// zeros, which the system takes for a lock of one process that nobody outlives.

#include "shm/name_table.hpp"
#include "shm/robust_mutex.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace topsman::shm {

/// The row of the mutex of that name; a new one is made before anybody can find it. Errors: those
/// of NameTable::find_or_add(). Kill safety: its.
[[nodiscard]] inline Result<std::uint32_t> find_or_make_mutex(NameTable& names,
                                                              std::span<RobustMutex> mutexes,
                                                              std::string_view name, Owner owner) {
    return names.find_or_add(name, NameKind::Mutex, 0, owner, [mutexes](std::uint32_t row) {
        if (row < mutexes.size()) {
            mutexes[row].init();
        }
    });
}

}  // namespace topsman::shm
