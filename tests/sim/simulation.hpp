#pragma once

// One run: a core, a fake kernel, an operator with many wishes, and the oracle that watches. First
// with faults, where only safety counts; then everything is healed, and it must come right in time.

#include "tests/sim/fake_kernel.hpp"
#include "tests/sim/fake_shell.hpp"
#include "tests/sim/fault_plan.hpp"
#include "tests/sim/oracle.hpp"

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace topsman::sim {

struct Outcome {
    std::optional<Violation> violation;
    std::uint64_t events = 0;
    std::uint64_t trace = 0;  ///< a hash over every event's time and every action
};

/// Mortal ones die between two turns or within one, and are followed; and they execute themselves
/// anew.
enum class Masters : std::uint8_t { Mortal, Immortal };

class Simulation {
  public:
    /// `trace`: every event and action goes there as a line of text.
    explicit Simulation(std::uint64_t seed, std::ostream* trace = nullptr);

    Outcome run(std::uint64_t steps, Masters masters = Masters::Mortal);

  private:
    void deliver(const core::Event& event);
    void step(const core::Event& event);
    void end_turn();
    void turn();
    void look_who_is_busy();
    void put_back();
    void heal();
    void stop();
    void make_a_wish();
    void pass_to_next();
    void let_time_pass(Duration limit);
    void stall();
    void deliver_what_happened();
    [[nodiscard]] bool settled() const;
    [[nodiscard]] std::optional<std::string> some_pool();
    core::Ticket ticket();
    void mix(std::uint64_t number);
    void mix(const core::Action& action);

    // simulation_succession.cpp: one master after another
    void miss(const core::Event& event);
    void succeed();
    void describe_left(const core::Inheritance& left);
    void look_for_the_forgotten();
    void upgrade();
    [[nodiscard]] bool is_remembered(const core::WorkerView& worker) const;

    // simulation_spares.cpp: what the core believes of them, and what they do
    void look_at_release(const core::Action& action);
    void look_at_spares();

    void say(const std::string& line);

    std::ostream* trace_out_;
    FaultPlan plan_;
    FakeKernel kernel_;
    config::Config wanted_;  ///< the operator's file
    std::optional<core::SupervisorCore> core_;
    FakeShell shell_{kernel_};
    Oracle oracle_;
    TimePoint now_{std::chrono::hours(1)};
    std::vector<core::Action> actions_;
    bool is_mortal_ = false;
    bool dying_ = false;                 ///< somewhere in this turn
    std::vector<core::Exited> unheard_;  ///< for the next master to see
    std::uint64_t tickets_ = 0;
    std::uint64_t events_ = 0;
    std::uint64_t trace_ = 0xcbf29ce484222325U;
};

/// One seed, now and then run twice: the same seed is the same run.
Outcome run_seed(std::uint64_t seed, std::uint64_t steps, std::ostream* trace = nullptr);

}  // namespace topsman::sim
