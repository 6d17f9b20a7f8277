#pragma once

// What stands between a core and the fake kernel: it carries out the core's actions, knows what
// each generation executes, and writes down what the next master needs. It decides nothing.

#include "tests/sim/fake_kernel.hpp"
#include "tests/sim/records.hpp"

#include <cstdint>
#include <set>
#include <vector>

namespace topsman::sim {

class FakeShell {
  public:
    explicit FakeShell(FakeKernel& kernel) : kernel_(kernel) {}

    /// A core begins with this file.
    void begin(const core::SupervisorCore& core, const config::Config& file);
    /// After each step, before its actions are carried out in the order of in_order().
    void follow(const core::SupervisorCore& core, const core::Event& event);
    /// First those who replace.
    [[nodiscard]] static std::vector<core::Action> in_order(std::vector<core::Action> actions);
    /// An error: nobody knows what it is to execute.
    [[nodiscard]] std::optional<std::string> carry_out(const core::SupervisorCore& core,
                                                       const core::Action& action, TimePoint now);
    /// After each turn.
    void publish(const core::SupervisorCore& core);

    /// It executes itself anew.
    void keep(const core::SupervisorCore& core) { records_.keep(core, specs_); }

    // ---- between two masters ----------------------------------------------------------------

    [[nodiscard]] core::Inheritance left() const;

    /// The next one adopts: it executes what the dead one did.
    void take_over() { specs_ = records_.specs(); }

    /// What was left is of no use to anybody.
    void forget();

    /// It has never been recorded as started.
    void drop(core::WorkerId worker) { records_.buried(worker); }

    [[nodiscard]] bool is_buried(core::WorkerId worker) const { return buried_.contains(worker); }

  private:
    void install(const core::SupervisorCore& core, const config::Config& prepared);
    [[nodiscard]] std::optional<std::string> spawn(const core::SupervisorCore& core,
                                                   const core::Spawn& spawn, TimePoint now);

    FakeKernel& kernel_;
    Specs specs_;
    Records records_;
    std::set<core::WorkerId> buried_;
    std::uint64_t kept_revision_ = 0;
};

}  // namespace topsman::sim
