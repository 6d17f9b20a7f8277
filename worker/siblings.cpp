#include "worker/siblings.hpp"

#include <bit>
#include <sys/stat.h>

namespace topsman::detail {

Siblings Siblings::of(const Process& process, int listener) {
    struct stat facts {};

    if (!process.segment || ::fstat(listener, &facts) != 0) {
        return {};
    }
    const shm::Segment& segment = *process.segment;
    for (std::uint32_t i = 0; i < shm::kMaxListeners; ++i) {
        shm::ListenerRecord record;
        if (segment.scoreboard().listeners[i].load(record) && record.inode == facts.st_ino) {
            // With reuse_port each worker has a queue of its own, which no sibling serves.
            if (record.accept != 0) {
                return {};
            }
            return {&segment.idle_lanes()[i], segment.lanes(), process.owner.lane};
        }
    }
    return {};
}

void Siblings::enter() noexcept {
    if (waiting_ != nullptr && !is_detached()) {
        waiting_->insert(self_);
    }
}

void Siblings::leave() noexcept {
    if (waiting_ != nullptr && !is_detached()) {
        waiting_->erase(self_);
    }
}

bool Siblings::any_idle() const noexcept {
    if (waiting_ == nullptr) {
        return false;
    }
    for (std::uint32_t i = 0; i < shm::LaneSet::kWords && std::size_t{i} * 64 < lanes_.size();
         ++i) {
        std::uint64_t word = waiting_->words[i].load(std::memory_order_relaxed);
        for (; word != 0; word &= word - 1) {
            const std::uint32_t lane = i * 64 + static_cast<std::uint32_t>(std::countr_zero(word));
            if (lane != self_ && lane < lanes_.size() &&
                lanes_[lane].in_flight.load(std::memory_order_relaxed) == 0) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace topsman::detail
