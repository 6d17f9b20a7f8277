#include "supervisor/core/queue_doubt.hpp"

#include <algorithm>
#include <iterator>

namespace topsman::core {

namespace {

// Who was woken has accepted long before.
constexpr Duration kPatience = std::chrono::milliseconds(50);
// Looks within the patience: a queue that was empty at one of them is one that is served.
constexpr int kLooks = 5;
// Each helps if one worker is left that accepts. The patience doubles from one to the next.
constexpr std::uint32_t kMostNudges = 4;
// A queue that is never empty is looked at more and more rarely, but until it is.
constexpr int kLooksOfAnAge = 10;
constexpr Duration kLongestPause = std::chrono::seconds(1);

std::set<WorkerId> common(const std::set<WorkerId>& a, const std::set<WorkerId>& b) {
    std::set<WorkerId> both;
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(both, both.end()));
    return both;
}

}  // namespace

QueueDoubt::Verdict QueueDoubt::look(std::uint32_t waiting, const std::set<WorkerId>& asleep,
                                     TimePoint now) {
    if (waiting == 0) {
        return Verdict::Settled;
    }
    const Duration patience = kPatience * (1U << nudges_);
    next_look_ = now + std::clamp((now - began_) / kLooksOfAnAge, patience / kLooks, kLongestPause);
    std::set<WorkerId> still = since_ ? common(asleep_, asleep) : std::set<WorkerId>();
    if (still.empty()) {
        since_ = asleep.empty() ? std::nullopt : std::optional(now);
        asleep_ = asleep;
        return Verdict::Wait;
    }
    asleep_ = std::move(still);
    if (now - *since_ < patience) {
        return Verdict::Wait;
    }
    if (nudges_ == kMostNudges) {
        return Verdict::Helpless;
    }
    ++nudges_;
    since_.reset();
    return Verdict::Nudge;
}

}  // namespace topsman::core
