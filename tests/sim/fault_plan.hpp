#pragma once

// What goes wrong in one run. Each seed draws its own weights (swarm testing): a run in which
// everything fails at the same rate never gets far enough to fail in an interesting way.

#include "config/model.hpp"
#include "supervisor/core/types.hpp"
#include "tests/sim/dice.hpp"

#include <optional>
#include <string>

namespace topsman::sim {

using core::Duration;
using core::TimePoint;

/// What the worker programs are like: the first word of a pool's command.
namespace program {
inline constexpr const char* kGood = "good";
inline constexpr const char* kCrash = "crash";        ///< ends at boot
inline constexpr const char* kNever = "never";        ///< is never ready
inline constexpr const char* kMissing = "missing";    ///< cannot be executed
inline constexpr const char* kRefusing = "refusing";  ///< code 78
inline constexpr const char* kBrief = "brief";        ///< ready, then ends soon, again and again
}  // namespace program

/// How one process will behave, drawn when it is spawned.
struct Behaviour {
    bool spawn_fails = false;
    Duration exec_delay{};
    std::optional<Duration> ready_after;
    std::optional<Duration> unseen_after;  ///< nobody can tell whether it listens
    std::optional<Duration> probe_fails_after;
    std::string probe_result = "exited with code 1: not yet";
    std::optional<Duration> exits_after;
    core::ExitReport exit;
    Duration beat_every{};  ///< 0: it does not beat
    std::optional<Duration> hangs_after;
    std::optional<Duration> says_stopping_after;
    std::optional<Duration> asks_abort_after;
    std::optional<Duration> asks_extension_after;
    Duration extension{};
    std::optional<Duration> ends_on_terminate;  ///< none: deaf
    int code_on_terminate = 0;
    std::optional<Duration> ends_on_abort;
    bool dumps_core = false;
    Duration ends_on_kill{};
};

class FaultPlan {
  public:
    explicit FaultPlan(std::uint64_t seed);

    [[nodiscard]] config::Config first_config();
    /// A changed one: sizes, policies, programs, pools.
    [[nodiscard]] config::Config next_config(const config::Config& before);
    /// The same pools, with nothing wrong in them.
    [[nodiscard]] config::Config healed(const config::Config& before) const;

    [[nodiscard]] Behaviour draw(const config::Pool& pool, bool heal);

    /// Is its program of the worker library? A spare of another one is stopped.
    [[nodiscard]] static bool parks_itself(const config::Pool& pool);

    // Chances of a wish or a mishap in one turn.
    double reload = 0;
    double rollback = 0;
    double scale = 0;
    double restart = 0;
    double drain = 0;
    double reset = 0;
    double stop = 0;
    double stall = 0;
    double stale = 0;
    double silence = 0;      ///< time passes and nothing happens
    double master_dies = 0;  ///< between two turns, or within one
    double upgrade = 0;

    Dice dice;
    Dice fate;  ///< of masters: apart, so that a seed in which none dies is the same run as ever

  private:
    config::Pool new_pool(const std::string& name);
    void draw_policies(config::Pool& pool);
    void draw_program(config::Pool& pool);

    double crash_ = 0;
    double hang_ = 0;
    double deaf_ = 0;
    double spawn_error_ = 0;
    double slow_ = 0;
    double talkative_ = 0;  ///< STOPPING, EXTEND_TIMEOUT_USEC, WATCHDOG=trigger
    double bad_program_ = 0;
    bool tight_lanes_ = false;
    std::uint64_t revision_ = 0;
};

}  // namespace topsman::sim
