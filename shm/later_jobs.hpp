#pragma once

// Jobs that shall be tried again, but not before their time: where they are, and when to look.
//
// Hints both. A job's own word says that it is LATER, and the record beside it until when. The set
// has a bit for each job that may be LATER: set by its owner before its word says so, cleared by
// who finds neither a LATER job nor one that is about to become one, and who looks again after it.
// The due word {milliseconds:40, stamp:24} is at most when the first of them is due, 0 for never.
// Whoever adds one changes the stamp, so one who has looked through the set can only put off the
// next look if nobody has been added meanwhile. What a process leaves undone that dies between
// word and hint is done by the sweep.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace topsman::shm {

/// A view like std::span: what it shows lies in the segment.
class LaterJobs {
  public:
    LaterJobs(std::atomic<std::uint64_t>& due, std::atomic<std::uint64_t>* set,
              std::uint32_t capacity) noexcept
        : due_(&due), set_(set), capacity_(capacity) {}

    /// Before the job's word says LATER.
    void mark(std::uint32_t number) const noexcept;

    /// After it. True: nobody knew of one so early, so who sleeps until the first is due must hear.
    bool bring_forward(std::uint64_t due_ns) const noexcept;

    /// When it is worth a look, CLOCK_MONOTONIC; 0: there is nothing to look for.
    [[nodiscard]] std::uint64_t first_due_ns() const noexcept {
        return (due_->load(std::memory_order_seq_cst) >> kStampBits) * kNsInMs;
    }

    /// Once the first is due: shows all that may be LATER to `visit`, which makes ready what is due
    /// and returns when the job is due, 0 if it runs (its owner may be about to say so), nothing if
    /// it is neither.
    template <class Visit>
    void look(std::uint64_t now_ns, Visit&& visit) const noexcept;

  private:
    static constexpr unsigned kStampBits = 24;
    static constexpr std::uint64_t kStampMask = (std::uint64_t{1} << kStampBits) - 1;
    static constexpr std::uint64_t kLatestMs = ~std::uint64_t{0} >> kStampBits;
    static constexpr std::uint64_t kNsInMs = 1'000'000;

    /// Rounded up, and never 0.
    static std::uint64_t ms_of(std::uint64_t ns) noexcept;

    std::atomic<std::uint64_t>* due_;
    std::atomic<std::uint64_t>* set_;
    std::uint32_t capacity_;
};

template <class Visit>
void LaterJobs::look(std::uint64_t now_ns, Visit&& visit) const noexcept {
    std::uint64_t seen = due_->load(std::memory_order_seq_cst);
    if (seen >> kStampBits == 0 || now_ns < (seen >> kStampBits) * kNsInMs) {
        return;
    }
    std::uint64_t next = 0;
    const std::size_t words = (std::size_t{capacity_} + 63) / 64;
    for (std::size_t at = 0; at < words; ++at) {
        for (std::uint64_t bits = set_[at].load(std::memory_order_seq_cst); bits != 0;
             bits &= bits - 1) {
            const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
            const auto number = static_cast<std::uint32_t>(at * 64 + bit);
            if (number >= capacity_) {
                break;  // hostile bytes
            }
            std::optional<std::uint64_t> due = visit(number);
            if (!due) {
                set_[at].fetch_and(~(std::uint64_t{1} << bit), std::memory_order_seq_cst);
                // It may have been taken since, and its owner's mark is gone then. Somebody else
                // who looked meanwhile has missed it: so the time is said again too.
                if (visit(number)) {
                    mark(number);
                    due = visit(number);
                    (void)bring_forward(due.value_or(0));
                }
            }
            if (due && *due != 0) {
                next = next == 0 ? ms_of(*due) : std::min(next, ms_of(*due));
            }
        }
    }
    // In vain if one was added meanwhile: then the next one who comes looks again.
    (void)due_->compare_exchange_strong(seen, next << kStampBits | (seen & kStampMask),
                                        std::memory_order_seq_cst);
}

}  // namespace topsman::shm
