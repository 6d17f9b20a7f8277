#include "two_victims.hpp"

#include "shm/sweep.hpp"
#include "stepper.hpp"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <functional>
#include <utility>

namespace topsman::torture {
namespace {

std::uint64_t length_of(const std::function<void()>& body) {
    Stepper rehearsal(body);
    while (rehearsal.step()) {
    }
    return rehearsal.steps();
}

/// How many of the points each of the two has.
std::uint64_t points_each(std::uint64_t points) {
    return static_cast<std::uint64_t>(std::sqrt(static_cast<double>(points)));
}

/// In both orders, in turns: whoever is reaped first is swept first.
void sweep_both(Arena& arena, bool in_order) {
    for (const Owner dead : {in_order ? kVictim : kPeer, in_order ? kPeer : kVictim}) {
        shm::sweep_lane(arena.segment, dead.lane, dead.generation);
    }
}

class PairTally {
  public:
    /// Both are swept.
    void verify(Pair& pair, Arena& arena, Fates fates, std::uint64_t k, std::uint64_t j) {
        const std::string wrong = pair.verify(arena, fates);
        ++report_.verifications;
        if (!wrong.empty() && report_.failures++ == 0) {
            report_.first_failure = pair.name() + " at instructions " + std::to_string(k) +
                                    " and " + std::to_string(j) + ": " + wrong;
        }
        length_.first = std::max(length_.first, k);
        length_.second = std::max(length_.second, j);
    }

    [[nodiscard]] bool is_even() const { return report_.verifications % 2 == 0; }

    Report print(const Pair& pair) {
        report_.instructions = length_.first + length_.second;
        std::printf("%s two victims: %" PRIu64 " instructions, %" PRIu64 " verifications, %" PRIu64
                    " failures\n",
                    pair.name().c_str(), report_.instructions, report_.verifications,
                    report_.failures);
        (void)std::fflush(stdout);
        return report_;
    }

  private:
    std::pair<std::uint64_t, std::uint64_t> length_;
    Report report_;
};

class BothByCopies {
  public:
    explicit BothByCopies(Pair& pair) : pair_(pair) { pair_.setup(live_); }

    Report run(std::uint64_t points) {
        find_strides(points);
        Stepper first([this] { pair_.first(live_); });
        for (bool is_over = false; !is_over; (void)first.step()) {
            is_over = first.is_over();
            if (is_over || first.steps() % first_stride_ == 0) {
                second_dies(first.steps(), is_over);
            }
        }
        return tally_.print(pair_);
    }

  private:
    void find_strides(std::uint64_t points) {
        const std::uint64_t each = points_each(points);
        copy_.copy_from(live_);
        const std::uint64_t first = length_of([this] { pair_.first(copy_); });
        copy_.copy_from(live_);
        const std::uint64_t second = length_of([this] { pair_.second(copy_); });
        first_stride_ = std::max<std::uint64_t>(1, first / each);
        second_stride_ = std::max<std::uint64_t>(1, second / each);
    }

    /// The first stands at its instruction k; the second dies at each of its own.
    void second_dies(std::uint64_t k, bool first_is_done) {
        copy_.copy_from(live_);
        Stepper second([this] { pair_.second(copy_); });
        for (bool is_over = false; !is_over;
             (void)second.step_to(second.steps() + second_stride_)) {
            is_over = second.is_over();
            both_are_dead(k, second.steps(),
                          {.first_is_done = first_is_done, .second_is_done = is_over});
        }
    }

    void both_are_dead(std::uint64_t k, std::uint64_t j, Fates fates) {
        swept_.copy_from(copy_);
        sweep_both(swept_, tally_.is_even());
        tally_.verify(pair_, swept_, fates, k, j);
    }

    Pair& pair_;
    Arena live_ = Arena::make();
    Arena copy_ = Arena::make();
    Arena swept_ = Arena::make();
    std::uint64_t first_stride_ = 1;
    std::uint64_t second_stride_ = 1;
    PairTally tally_;
};

/// Two new victims for each pair of instructions, really killed there.
class BothByDeaths {
  public:
    explicit BothByDeaths(Pair& pair) : pair_(pair) {
        pair_.setup(live_);
        before_.copy_from(live_);
    }

    Report run(std::uint64_t points) {
        const std::uint64_t each = points_each(points);
        for (const bool begins_beside : {true, false}) {
            if (begins_beside && pair_.deaths() == Deaths::InTurn) {
                continue;
            }
            // The first length is that of one who is never killed; the second one's that of who
            // finds the first in the middle, which may be longer.
            const std::uint64_t first = lengths(UINT64_MAX, begins_beside).first;
            const std::uint64_t second = lengths(first / 2, begins_beside).second;
            bool is_over = false;
            for (std::uint64_t k = 0; !is_over; k += std::max<std::uint64_t>(1, first / each)) {
                is_over = second_dies(k, std::max<std::uint64_t>(1, second / each), begins_beside);
            }
        }
        return tally_.print(pair_);
    }

  private:
    struct Victims {
        Stepper first;
        Fates fates;
        std::uint64_t first_steps;
    };

    std::pair<std::uint64_t, std::uint64_t> lengths(std::uint64_t k, bool begins_beside) {
        Victims victims = first_to(k, begins_beside);
        Stepper second([this] { pair_.second(live_); });
        (void)second.step_to(UINT64_MAX);
        return {victims.first_steps, second.steps()};
    }

    /// The first stands at its instruction k, or was killed there.
    Victims first_to(std::uint64_t k, bool stands) {
        live_.copy_from(before_);
        Stepper first([this] { pair_.first(live_); });
        (void)first.step_to(k);
        const Fates fates{.first_is_done = first.is_over(), .second_is_done = false};
        const std::uint64_t steps = first.steps();
        if (!stands) {
            first.kill();
        }
        return {std::move(first), fates, steps};
    }

    /// At each of its own. True: the first had executed all before it.
    bool second_dies(std::uint64_t k, std::uint64_t stride, bool begins_beside) {
        Fates fates;
        for (std::uint64_t j = 0; !fates.second_is_done; j += stride) {
            Victims victims = first_to(k, begins_beside);
            fates = victims.fates;
            Stepper second([this] { pair_.second(live_); });
            (void)second.step_to(j);
            fates.second_is_done = second.is_over();
            const bool in_order = tally_.is_even();
            (in_order ? victims.first : second).kill();
            (in_order ? second : victims.first).kill();
            sweep_both(live_, in_order);
            tally_.verify(pair_, live_, fates, k, j);
        }
        return fates.first_is_done;
    }

    Pair& pair_;
    Arena live_ = Arena::make();
    Arena before_ = Arena::make();
    PairTally tally_;
};

}  // namespace

Report torture_both(Pair& pair, std::uint64_t points) {
    return pair.deaths() == Deaths::Copied ? BothByCopies(pair).run(points)
                                           : BothByDeaths(pair).run(points / 4);
}

}  // namespace topsman::torture
