#pragma once

// A scenario acted out by the core in the simulated world: nothing is left to chance, and time is
// simulated. What happens is told as the real master would tell it, a JSON object a line.

#include "config/load.hpp"
#include "tests/sim/fake_kernel.hpp"
#include "tests/sim/fake_shell.hpp"
#include "tests/sim/scenario.hpp"

#include <boost/json/object.hpp>

#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace topsman::sim {

class Play {
  public:
    Play(const Scenario& scenario, std::ostream& out);

    /// An error: a deed cannot be done, or what it waits for never happens.
    Result<void> run();

  private:
    /// What has been told, as far as somebody may wait for it.
    struct Told {
        std::string event;
        std::string pool;
        std::optional<std::uint32_t> slot;
    };

    Result<void> act(const Deed& deed);
    Result<void> ask(const Deed& deed, std::vector<std::string> words);
    Result<core::Event> event_of(const std::vector<std::string>& words, core::Ticket ticket);
    Result<config::Loaded> load(const std::string& name) const;
    Result<void> save(const Deed& deed);
    Result<void> start();
    void succeed();
    Result<void> kill(const std::vector<std::string>& words);
    /// Until it is so.
    template <class Condition>
    Result<void> wait_until(const Deed& deed, const Condition& is_so);
    Result<void> wait_for_event(const Deed& deed);
    void upgrade();
    void look();

    void deliver(const core::Event& event);
    void carry_out(const core::Action& action);
    void turn();
    /// False: nothing will ever happen any more.
    bool pass_to_next();
    void say_who_is_busy();

    void tell(const core::Announce& announce);
    void tell(const core::Obituary& obituary);
    void tell(const core::Reply& reply);
    void tell_event(boost::json::object line, const std::string& pool,
                    std::optional<std::uint32_t> slot);
    void tell_of_master(const char* event);
    void tell_refusal(const std::vector<config::Problem>& problems, core::Ticket ticket);
    [[nodiscard]] std::string pool_name(core::PoolId id) const;
    [[nodiscard]] Behaviour behaviour(const core::Spawn& spawn, const config::Pool& pool);

    const Scenario& scenario_;
    std::ostream& out_;
    FaultPlan chance_{1};  ///< the kernel has one; a script leaves nothing to it
    FakeKernel kernel_;
    FakeShell shell_{kernel_};
    std::optional<core::SupervisorCore> core_;  ///< none: there is no master
    core::Snapshot board_;                      ///< after the last turn
    std::map<core::PoolId, std::string> pools_;
    std::string file_ = "cluster";
    std::vector<core::Exited> unheard_;  ///< for the next master to see
    std::map<std::tuple<std::string, std::uint32_t, std::vector<std::string>>, std::size_t>
        incarnations_;
    std::optional<Error> trouble_;
    std::vector<Told> told_;
    std::size_t last_deed_ = 0;  ///< so much had been told when something was last done
    std::map<core::Ticket, std::string> asked_;
    std::uint64_t tickets_ = 0;
    bool ended_ = false;
    TimePoint now_{std::chrono::hours(1)};
};

}  // namespace topsman::sim
