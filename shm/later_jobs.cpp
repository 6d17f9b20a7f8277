#include "shm/later_jobs.hpp"

namespace topsman::shm {

std::uint64_t LaterJobs::ms_of(std::uint64_t ns) noexcept {
    const std::uint64_t ms = ns / kNsInMs + (ns % kNsInMs != 0 ? 1 : 0);
    return std::clamp<std::uint64_t>(ms, 1, kLatestMs);
}

void LaterJobs::mark(std::uint32_t number) const noexcept {
    std::atomic<std::uint64_t>& word = set_[number / 64];
    const std::uint64_t bit = std::uint64_t{1} << (number % 64);
    if ((word.load(std::memory_order_seq_cst) & bit) == 0) {
        word.fetch_or(bit, std::memory_order_seq_cst);
    }
}

bool LaterJobs::bring_forward(std::uint64_t due_ns) const noexcept {
    const std::uint64_t due = ms_of(due_ns);
    std::uint64_t seen = due_->load(std::memory_order_seq_cst);
    for (;;) {
        const std::uint64_t known = seen >> kStampBits;
        const std::uint64_t first = known == 0 ? due : std::min(known, due);
        const std::uint64_t stamp = (seen + 1) & kStampMask;
        if (due_->compare_exchange_weak(seen, first << kStampBits | stamp,
                                        std::memory_order_seq_cst)) {
            return first != known;
        }
    }
}

}  // namespace topsman::shm
