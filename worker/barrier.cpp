#include "shm/barrier.hpp"

#include "topsman/barrier.hpp"
#include "topsman/worker.hpp"
#include "worker/process.hpp"

namespace topsman {

Result<bool> Barrier::arrive() {
    return arrive_until(shm::kNoDeadline);
}

Result<bool> Barrier::arrive_until(std::chrono::steady_clock::time_point deadline) {
    const detail::Process* process = detail::attached();
    if (process == nullptr) {
        return detail::detached_error();
    }
    const auto passed = shm::Barrier(*storage_).arrive(process->lanes, process->owner, deadline);
    if (passed == shm::Barrier::Passed::No) {
        return plain_error("too few have arrived until the deadline", std::errc::timed_out);
    }
    return passed == shm::Barrier::Passed::AsTheLast;
}

std::uint32_t Barrier::parties() const noexcept {
    return shm::Barrier(*storage_).parties();
}

std::uint32_t Barrier::arrived() const noexcept {
    return shm::Barrier(*storage_).arrived();
}

Result<Barrier> Worker::barrier(std::string_view name, std::uint32_t parties) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const auto invalid = [&](const std::string& why) {
        return plain_error("barrier " + std::string(name) + ": " + why,
                           std::errc::invalid_argument);
    };
    if (parties == 0 || parties > shm::Barrier::kSeats) {
        return invalid("it can have 1 to " + std::to_string(shm::Barrier::kSeats) +
                       " parties, not " + std::to_string(parties));
    }
    const auto row = process_->array_names->find_or_add(
        name, shm::NameKind::Barrier, 0, process_->owner,
        [&](std::uint32_t i) { shm::Barrier(process_->arrays[i]).init(parties); });
    if (!row) {
        return row.error();
    }
    const Barrier barrier(&process_->arrays[*row]);
    if (barrier.parties() != parties) {
        return invalid("it has " + std::to_string(barrier.parties()) + " parties, not " +
                       std::to_string(parties));
    }
    return barrier;
}

}  // namespace topsman
