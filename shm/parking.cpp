#include "shm/parking.hpp"

#include "shm/fence.hpp"

#include <algorithm>
#include <bit>
#include <thread>

namespace topsman::shm {
namespace {

constexpr std::uint32_t kMostLooks = 128;  // about 5 us: an eighth of a sleep and its wake-up
constexpr std::uint32_t kLeastLooks = 8;
constexpr std::uint32_t kTrialLooks = 32;
/// Who has looked in vain so often looks once from then on, and more often now and then: a trial.
constexpr std::uint32_t kPatience = 16;
constexpr std::uint32_t kTrialEvery = 32;

std::uint32_t most_looks() noexcept {
    static const std::uint32_t looks = std::thread::hardware_concurrency() == 1 ? 1 : kMostLooks;
    return looks;
}

thread_local std::uint32_t looks = kLeastLooks;
thread_local std::uint32_t times_in_vain = 0;

/// Whom this thread asks first at its next wake-up: the waiting take turns.
thread_local std::uint32_t turn = 0;

void call(Lane& lane) noexcept {
    lane.wake.fetch_add(1, std::memory_order_seq_cst);
    if (lane.parked.load(std::memory_order_seq_cst) != 0) {
        futex_wake_all(lane.wake);
    }
}

}  // namespace

std::uint32_t Spinning::budget() noexcept {
    return std::min(looks, most_looks());
}

void Spinning::learn(bool paid_off) noexcept {
    if (paid_off) {
        times_in_vain = 0;
        looks = std::max(looks, kLeastLooks);
        looks = std::min(looks + looks / 2, kMostLooks);
        return;
    }
    ++times_in_vain;
    if (times_in_vain < kPatience) {
        looks = std::max(looks / 2, kLeastLooks);
    } else {
        looks = times_in_vain % kTrialEvery == 0 ? kTrialLooks : 1;
    }
}

void Spinning::relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

Parking::Stay::Stay(Parking& parking, std::span<Lane> lanes, std::uint32_t lane) noexcept
    : parking_(parking), lanes_(lanes), lane_(lane) {
    lanes_[lane_].parked.fetch_add(1, std::memory_order_seq_cst);
}

Parking::Stay::~Stay() {
    Lane& lane = lanes_[lane_];
    if (is_inside_) {
        if (!parking_.waiting_.take_out(lane_)) {
            (void)parking_.wake(lanes_, 1);
        } else if (lane.parked.load(std::memory_order_seq_cst) > 1) {
            call(lane);  // Another thread of this lane may wait here, and is not in the set now.
        }
    }
    lane.parked.fetch_sub(1, std::memory_order_seq_cst);
}

void Parking::Stay::enter() noexcept {
    // The word first: whatever is said to the lane once it is in the set keeps it from sleeping.
    seen_ = lanes_[lane_].wake.load(std::memory_order_seq_cst);
    parking_.waiting_.insert(lane_);
    is_inside_ = true;
    full_fence();
}

bool Parking::Stay::wait(Deadline deadline) noexcept {
    const Lane& lane = lanes_[lane_];
    while (lane.wake.load(std::memory_order_seq_cst) == seen_) {
        if (!futex_wait(lane.wake, seen_, deadline)) {
            return false;
        }
    }
    // Who is woken all the time, for other things too, still has a deadline.
    return deadline == kNoDeadline || std::chrono::steady_clock::now() < deadline;
}

bool Parking::Stay::was_called() noexcept {
    is_inside_ = parking_.has(lane_);
    return !is_inside_;
}

std::uint32_t Parking::wake(std::span<Lane> lanes, std::uint32_t count) noexcept {
    full_fence();
    const auto all = static_cast<std::uint32_t>(lanes.size());
    const std::uint32_t words = std::min((all + 63) / 64, LaneSet::kWords);
    const std::uint32_t first = turn < all ? turn : 0;
    std::uint32_t woken = 0;
    // Once around, from `first`: its word is visited twice, for the lanes after and before it.
    for (std::uint32_t i = 0; i <= words && woken < count; ++i) {
        const std::uint32_t word = (first / 64 + i) % words;
        std::uint64_t waiting = waiting_.words[word].load(std::memory_order_seq_cst);
        const std::uint64_t from_first = ~std::uint64_t{0} << (first % 64);
        if (i == 0) {
            waiting &= from_first;
        } else if (i == words) {
            waiting &= ~from_first;
        }
        for (; waiting != 0 && woken < count; waiting &= waiting - 1) {
            const std::uint32_t lane =
                word * 64 + static_cast<std::uint32_t>(std::countr_zero(waiting));
            // Lanes that there are not: hostile bytes.
            if (waiting_.take_out(lane) && lane < all) {
                call(lanes[lane]);
                turn = lane + 1;
                ++woken;
            }
        }
    }
    return woken;
}

bool Parking::wake_lane(std::span<Lane> lanes, std::uint32_t lane) noexcept {
    full_fence();
    // Lanes that there are not: hostile bytes.
    if (lane >= lanes.size() || !waiting_.contains(lane) || !waiting_.take_out(lane)) {
        return false;
    }
    call(lanes[lane]);
    return true;
}

void wake_everyone(std::span<Lane> lanes) noexcept {
    full_fence();
    for (Lane& lane : lanes) {
        if (lane.parked.load(std::memory_order_seq_cst) != 0) {
            call(lane);
        }
    }
}

}  // namespace topsman::shm
