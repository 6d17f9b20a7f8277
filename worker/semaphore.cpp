#include "shm/semaphore.hpp"

#include "topsman/semaphore.hpp"
#include "worker/process.hpp"

namespace topsman {

using detail::Process;

void Semaphore::Permit::release() noexcept {
    shm::SharedArrayStorage* storage = std::exchange(storage_, nullptr);
    const Process* process = detail::attached();
    if (storage != nullptr && process != nullptr) {
        (void)shm::Semaphore(*storage).release(process->lanes, process->owner, number_);
    }
}

Result<Semaphore::Permit> Semaphore::acquire() {
    return acquire_until(shm::kNoDeadline);
}

Result<Semaphore::Permit> Semaphore::try_acquire() {
    const Process* process = detail::attached();
    if (process == nullptr) {
        return detail::detached_error();
    }
    const auto permit = shm::Semaphore(*storage_).try_acquire(process->owner);
    if (!permit) {
        return plain_error("all permits are taken", std::errc::device_or_resource_busy);
    }
    return Permit(storage_, *permit);
}

Result<Semaphore::Permit> Semaphore::acquire_until(std::chrono::steady_clock::time_point deadline) {
    const Process* process = detail::attached();
    if (process == nullptr) {
        return detail::detached_error();
    }
    const auto permit = shm::Semaphore(*storage_).acquire(process->lanes, process->owner, deadline);
    if (!permit) {
        return plain_error("all permits were taken until the deadline", std::errc::timed_out);
    }
    return Permit(storage_, *permit);
}

std::uint32_t Semaphore::permits() const noexcept {
    return shm::Semaphore(*storage_).permits();
}

std::uint32_t Semaphore::taken() const noexcept {
    return shm::Semaphore(*storage_).taken();
}

}  // namespace topsman
