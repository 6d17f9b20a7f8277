#pragma once

#include "shm/robust_mutex.hpp"
#include "topsman/mutex.hpp"

#include <string>

namespace topsman::detail {

/// What all copies of one Mutex handle share.
struct MutexState {
    shm::RobustMutex* mutex;
    shm::Owner owner;
    Mutex::Repair repair;
    std::string name;
};

}  // namespace topsman::detail
