#include "harness.hpp"

#include "stepper.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

namespace topsman::torture {
namespace {

constexpr std::uint64_t kSweeperPoints = 2;   // the k of the fourth way
constexpr std::uint64_t kSweeperStride = 11;  // its j

class Tally {
  public:
    explicit Tally(std::string way) : way_(std::move(way)) {}

    void verify(Operation& operation, Arena& arena, Fate fate, std::uint64_t k) {
        ++report_.verifications;
        const std::string wrong = operation.verify(arena, fate);
        if (!wrong.empty() && report_.failures++ == 0) {
            report_.first_failure = operation.name() + " " + way_ + " at instruction " +
                                    std::to_string(k) + (fate.is_done ? " (done)" : "") + ": " +
                                    wrong;
        }
    }

    void print(const Operation& operation, std::uint64_t instructions) {
        report_.instructions = instructions;
        std::printf("%s %s: %" PRIu64 " instructions, %" PRIu64 " verifications, %" PRIu64
                    " failures\n",
                    operation.name().c_str(), way_.c_str(), instructions, report_.verifications,
                    report_.failures);
        (void)std::fflush(stdout);
    }

    void add_to(Report& sum) const {
        sum.instructions = std::max(sum.instructions, report_.instructions);
        sum.verifications += report_.verifications;
        sum.failures += report_.failures;
        if (sum.first_failure.empty()) {
            sum.first_failure = report_.first_failure;
        }
    }

  private:
    std::string way_;
    Report report_;
};

/// One victim goes once through the operation; a copy of the memory at each instruction stands for
/// its death there.
class ByCopies {
  public:
    explicit ByCopies(Operation& operation)
        : operation_(operation),
          live_(Arena::make()),
          copy_(Arena::make()),
          second_copy_(Arena::make()) {
        operation_.setup(live_);
    }

    Report run() {
        std::uint64_t k = 0;
        const std::uint64_t stride = std::max<std::uint64_t>(1, length() / kSweeperPoints);
        {
            Stepper victim([this] { operation_.run(live_); });
            for (bool is_done = false;; ++k) {
                die(k, is_done);
                freeze(k, is_done);
                resume(victim, k);
                if (k % stride == stride / 2) {
                    sweeper_dies(k, is_done);
                }
                if (is_done) {
                    break;
                }
                (void)victim.step();
                is_done = victim.is_over();
            }
        }
        Report report;
        for (Tally* tally : {&die_, &freeze_, &resume_, &sweeper_}) {
            tally->print(operation_, k);
            tally->add_to(report);
        }
        return report;
    }

  private:
    std::uint64_t length() {
        copy_.copy_from(live_);
        Stepper rehearsal([this] { operation_.run(copy_); });
        while (rehearsal.step()) {
        }
        return rehearsal.steps();
    }

    void die(std::uint64_t k, bool is_done) {
        copy_.copy_from(live_);
        operation_.sweep(copy_);
        die_.verify(operation_, copy_, {.is_done = is_done, .peers_ran = false}, k);
    }

    void freeze(std::uint64_t k, bool is_done) {
        copy_.copy_from(live_);
        operation_.peers(copy_);
        operation_.sweep(copy_);
        freeze_.verify(operation_, copy_, {.is_done = is_done, .peers_ran = true}, k);
    }

    void resume(Stepper& victim, std::uint64_t k) {
        copy_.copy_from(live_);
        {
            Stepper twin = victim.twin();
            operation_.peers(live_);
            twin.finish();
        }
        if (!operation_.lives_on()) {
            operation_.sweep(live_);
        }
        resume_.verify(operation_, live_, {.is_done = true, .peers_ran = true}, k);
        live_.copy_from(copy_);
    }

    void sweeper_dies(std::uint64_t k, bool is_done) {
        copy_.copy_from(live_);
        Stepper sweeper([this] { operation_.sweep(copy_); });
        do {
            second_copy_.copy_from(copy_);
            operation_.sweep(second_copy_);
            sweeper_.verify(operation_, second_copy_, {.is_done = is_done, .peers_ran = false}, k);
        } while (sweeper.step_to(sweeper.steps() + kSweeperStride));
    }

    Operation& operation_;
    Arena live_;
    Arena copy_;
    Arena second_copy_;
    Tally die_{"die"};
    Tally freeze_{"freeze"};
    Tally resume_{"resume"};
    Tally sweeper_{"sweeper"};
};

/// Where the kernel takes part: a new victim for each instruction, really killed there.
class ByDeaths {
  public:
    explicit ByDeaths(Operation& operation)
        : operation_(operation), live_(Arena::make()), before_(Arena::make()) {
        operation_.setup(live_);
        before_.copy_from(live_);
    }

    Report run() {
        std::uint64_t k = 0;
        while (die(k) && freeze(k) && resume(k)) {
            ++k;
        }
        Report report;
        for (Tally* tally : {&die_, &freeze_, &resume_}) {
            tally->print(operation_, k);
            tally->add_to(report);
        }
        return report;
    }

    Report run_briefly(std::uint64_t points) {
        std::uint64_t length = 0;
        {
            Stepper rehearsal([this] { operation_.run(live_); });
            while (rehearsal.step()) {
            }
            length = rehearsal.steps();
            rehearsal.finish();
        }
        for (std::uint64_t k = 0; k <= length; k += std::max<std::uint64_t>(1, length / points)) {
            (void)die(k);
        }
        Report report;
        die_.print(operation_, length);
        die_.add_to(report);
        return report;
    }

  private:
    /// Each returns false when the operation has fewer instructions than k: then it was over.
    bool die(std::uint64_t k) {
        live_.copy_from(before_);
        Stepper victim([this] { operation_.run(live_); });
        const bool is_there = victim.step_to(k);
        const Fate fate{.is_done = victim.is_over(), .peers_ran = false};
        victim.kill();
        operation_.sweep(live_);
        die_.verify(operation_, live_, fate, k);
        return is_there;
    }

    bool freeze(std::uint64_t k) {
        live_.copy_from(before_);
        Stepper victim([this] { operation_.run(live_); });
        const bool is_there = victim.step_to(k);
        const Fate fate{.is_done = victim.is_over(), .peers_ran = true};
        operation_.peers(live_);
        victim.kill();
        operation_.sweep(live_);
        freeze_.verify(operation_, live_, fate, k);
        return is_there;
    }

    bool resume(std::uint64_t k) {
        live_.copy_from(before_);
        Stepper victim([this] { operation_.run(live_); });
        const bool is_there = victim.step_to(k);
        operation_.peers(live_);
        victim.finish();
        if (!operation_.lives_on()) {
            operation_.sweep(live_);
        }
        resume_.verify(operation_, live_, {.is_done = true, .peers_ran = true}, k);
        return is_there;
    }

    Operation& operation_;
    Arena live_;
    Arena before_;
    Tally die_{"die"};
    Tally freeze_{"freeze"};
    Tally resume_{"resume"};
};

}  // namespace

Report torture(Operation& operation) {
    return operation.needs_real_deaths() ? ByDeaths(operation).run() : ByCopies(operation).run();
}

Report torture_briefly(Operation& operation, std::uint64_t points) {
    return ByDeaths(operation).run_briefly(points);
}

}  // namespace topsman::torture
