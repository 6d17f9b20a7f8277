// Waiting for other workers, and waking them: parking in this worker's lane.

#include "shm/base/check.hpp"
#include "shm/parking.hpp"
#include "topsman/shared_array.hpp"
#include "worker/process.hpp"

namespace topsman::detail {

Result<void> wait_while(shm::Parking* parking, bool (*still)(void*), void* context,
                        std::chrono::steady_clock::time_point deadline) {
    const Process* process = attached();
    if (process == nullptr) {
        return detached_error();
    }
    if (parking->park(process->lanes, process->owner.lane, deadline,
                      [&] { return still(context); }) == shm::Parked::TimedOut) {
        return plain_error("nothing has changed until the deadline", std::errc::timed_out);
    }
    return {};
}

std::uint32_t notify(shm::Parking* parking, std::uint32_t count) noexcept {
    const Process* process = attached();
    if (process == nullptr) {
        return 0;
    }
    return parking->wake(process->lanes, count);
}

WordPlace element_of(shm::SharedArrayStorage* storage, std::size_t index, std::size_t size,
                     std::size_t element_bytes) {
    CHECK(index < size && size * element_bytes <= shm::kMaxArrayBytes);
    return {reinterpret_cast<std::byte*>(storage->word) + index * element_bytes,
            &storage->parking[index % shm::SharedArrayStorage::kParkings],
            size > shm::SharedArrayStorage::kParkings};
}

}  // namespace topsman::detail
