#pragma once

// Loads a configuration on a thread of its own, because a disk or a user database may hang and the
// master must not. One load at a time; the result comes back as a callback in the master's loop.

#include "config/load.hpp"
#include "supervisor/core/types.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/spec.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace topsman::supervisor {

/// A loaded file and all that its workers need, or what is wrong with it.
struct Candidate {
    config::Loaded loaded;
    Specs specs;
    posix::Owners owners;                       ///< of its listeners
    std::map<core::Generation, Specs> renewed;  ///< by prepare_again()
    std::string trouble;  ///< why the specs could not be prepared; empty: they could
};

/// Loads and prepares; blocks. What the master does at its start.
[[nodiscard]] Candidate load_candidate(const std::string& file);

/// Prepares again what is in force, of each generation that some worker may be started from: a
/// restart reads what has changed around the configuration, and after a failed rollout it is an
/// older generation that it starts.
[[nodiscard]] Candidate prepare_again(const std::map<core::Generation, Specs>& generations);

class ConfigLoader {
  public:
    explicit ConfigLoader(boost::asio::io_context& io);
    ~ConfigLoader();  ///< does not wait for a load that hangs
    ConfigLoader(const ConfigLoader&) = delete;
    ConfigLoader& operator=(const ConfigLoader&) = delete;

    using Job = std::function<Candidate()>;       ///< on its own thread
    using Done = std::function<void(Candidate)>;  ///< in the loop
    /// Runs jobs one after the other. False: too many wait already (a disk hangs).
    [[nodiscard]] bool submit(Job job, Done done);

    /// A job runs, or waits.
    [[nodiscard]] bool is_busy() const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace topsman::supervisor
