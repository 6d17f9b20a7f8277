#include "shm/fence.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::shm {
namespace {

/// How long to sleep at once where the kernel has no heavy fence.
constexpr std::chrono::milliseconds kBlindSleep{10};

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

Deadline until_next_look(Deadline deadline) noexcept {
    return has_heavy_fence() ? deadline : std::min(deadline, Deadline::clock::now() + kBlindSleep);
}

}  // namespace topsman::shm
