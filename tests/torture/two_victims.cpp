#include "two_victims.hpp"

#include "shm/sweep.hpp"
#include "stepper.hpp"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <functional>

namespace topsman::torture {
namespace {

std::uint64_t length_of(const std::function<void()>& body) {
    Stepper rehearsal(body);
    while (rehearsal.step()) {
    }
    return rehearsal.steps();
}

class Both {
  public:
    explicit Both(Pair& pair) : pair_(pair) { pair_.setup(live_); }

    Report run(std::uint64_t points) {
        find_strides(points);
        Stepper first([this] { pair_.first(live_); });
        for (bool is_over = false; !is_over; (void)first.step()) {
            is_over = first.is_over();
            if (is_over || first.steps() % first_stride_ == 0) {
                second_dies(first.steps(), is_over);
            }
        }
        report_.instructions = first.steps() + longest_second_;
        std::printf("%s two victims: %" PRIu64 " instructions, %" PRIu64 " verifications, %" PRIu64
                    " failures\n",
                    pair_.name().c_str(), report_.instructions, report_.verifications,
                    report_.failures);
        (void)std::fflush(stdout);
        return report_;
    }

  private:
    void find_strides(std::uint64_t points) {
        const auto each = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(points)));
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
        longest_second_ = std::max(longest_second_, second.steps());
    }

    void both_are_dead(std::uint64_t k, std::uint64_t j, Fates fates) {
        swept_.copy_from(copy_);
        // Whoever is reaped first is swept first.
        const bool in_order = report_.verifications++ % 2 == 0;
        for (const Owner dead : {in_order ? kVictim : kPeer, in_order ? kPeer : kVictim}) {
            shm::sweep_lane(swept_.segment, dead.lane, dead.generation);
        }
        const std::string wrong = pair_.verify(swept_, fates);
        if (!wrong.empty() && report_.failures++ == 0) {
            report_.first_failure = pair_.name() + " at instructions " + std::to_string(k) +
                                    " and " + std::to_string(j) + ": " + wrong;
        }
    }

    Pair& pair_;
    Arena live_ = Arena::make();
    Arena copy_ = Arena::make();
    Arena swept_ = Arena::make();
    std::uint64_t first_stride_ = 1;
    std::uint64_t second_stride_ = 1;
    std::uint64_t longest_second_ = 0;
    Report report_;
};

}  // namespace

Report torture_both(Pair& pair, std::uint64_t points) {
    return Both(pair).run(points);
}

}  // namespace topsman::torture
