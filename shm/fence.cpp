#include "shm/fence.hpp"

#include <atomic>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::shm {
namespace {

bool membarrier(int command) noexcept {
    return ::syscall(SYS_membarrier, command, 0, 0) == 0;
}

}  // namespace

void join_fences() noexcept {
    if (!detail::fences_are_joined.load(std::memory_order_relaxed) &&
        membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED)) {
        detail::fences_are_joined.store(true, std::memory_order_relaxed);
    }
}

void heavy_fence() noexcept {
    full_fence();
    (void)membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

bool has_heavy_fence() noexcept {
    static const bool has = membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    return has;
}

}  // namespace topsman::shm
