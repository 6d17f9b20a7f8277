#pragma once

// At most so many a second, over all workers: the generic cell rate algorithm (ITU-T I.371), whose
// whole state is one word, the theoretical arrival time. There is nothing to repair: an exchange
// has happened or it has not.
//
// In words: if everything came evenly, the next would be due at `due`. Whoever comes earlier than
// `burst` intervals before that is refused; else it is let in, and `due` moves on by an interval.

#include "shm/shared_object.hpp"

#include <algorithm>
#include <chrono>

namespace topsman::shm {

class RateLimit {
  public:
    struct Rule {
        std::uint64_t interval_ns = 0;  ///< below 2^42, an hour and more
        std::uint32_t burst = 1;        ///< how many may come at once; below 2^22
    };

    static constexpr std::uint64_t kMostInterval = (std::uint64_t{1} << 42U) - 1;
    static constexpr std::uint32_t kMostBurst = 1'000'000;

    /// A view; what it shows stays where it is.
    explicit RateLimit(SharedObject& object) noexcept : object_(object) {}

    /// By whoever registers the name, before others can find it.
    void init(Rule rule) noexcept {
        object_.clear();
        set_rule(rule);
    }

    /// One store: at every moment it is the old rule or the new one.
    void set_rule(Rule rule) noexcept {
        object_.word[1].store(rule.interval_ns << kBurstBits | rule.burst);
    }

    [[nodiscard]] Rule rule() const noexcept {
        const std::uint64_t word = object_.word[1].load(std::memory_order_relaxed);
        return {word >> kBurstBits,
                std::min(static_cast<std::uint32_t>(word & kBurstMask), kMostBurst)};
    }

    /// Lets `n` in at the time `now` (of CLOCK_MONOTONIC), or none of them. More than the burst are
    /// never let in.
    [[nodiscard]] bool allow(std::uint32_t n, std::uint64_t now) noexcept {
        const Rule rule = this->rule();
        if (n > rule.burst) {
            return false;
        }
        std::uint64_t due = object_.word[0].load(std::memory_order_relaxed);
        for (;;) {
            const std::uint64_t next = due_at(due, rule, now) + n * rule.interval_ns;
            if (next - now > rule.burst * rule.interval_ns) {
                return false;
            }
            if (object_.word[0].compare_exchange_weak(due, next, std::memory_order_acq_rel,
                                                      std::memory_order_relaxed)) {
                return true;
            }
        }
    }

    /// When `n` would be let in if nobody else came: `now` at the earliest, UINT64_MAX for never.
    [[nodiscard]] std::uint64_t allowed_at(std::uint32_t n, std::uint64_t now) const noexcept {
        const Rule rule = this->rule();
        if (n > rule.burst) {
            return UINT64_MAX;
        }
        const std::uint64_t due =
            due_at(object_.word[0].load(std::memory_order_relaxed), rule, now);
        const std::uint64_t spared = (rule.burst - n) * rule.interval_ns;
        return std::max(now, due - std::min(due, spared));
    }

    /// How many would be let in at once.
    [[nodiscard]] std::uint64_t available(std::uint64_t now) const noexcept {
        const Rule rule = this->rule();
        const std::uint64_t due =
            due_at(object_.word[0].load(std::memory_order_relaxed), rule, now);
        return rule.interval_ns == 0
                   ? 0
                   : rule.burst - (due - now + rule.interval_ns - 1) / rule.interval_ns;
    }

  private:
    static constexpr std::uint32_t kBurstBits = 22;
    static constexpr std::uint64_t kBurstMask = (std::uint64_t{1} << kBurstBits) - 1;

    /// Never in the past, nor further ahead than letting in can bring it: hostile bytes would else
    /// close it for centuries.
    static std::uint64_t due_at(std::uint64_t due, Rule rule, std::uint64_t now) noexcept {
        return std::clamp(due, now, now + rule.burst * rule.interval_ns);
    }

    SharedObject& object_;
};

/// CLOCK_MONOTONIC in nanoseconds, the same for all processes of the machine.
inline std::uint64_t monotonic_ns() noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

}  // namespace topsman::shm
