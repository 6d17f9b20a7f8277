#pragma once

// What is told of what happened: a line in the log for people, an event in the ring for programs.

#include "shm/segment.hpp"
#include "supervisor/control/event_json.hpp"
#include "supervisor/core/action.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/worker_table.hpp"

#include <string>
#include <vector>

namespace topsman::supervisor {

class Chronicle {
  public:
    Chronicle(shm::Segment& segment, Journal& journal);

    void master_started(std::uint32_t pid);
    /// The same process goes on with another program, or with the one that it had.
    void master_upgraded(const std::string& from, const std::string& to);
    void upgrade_failed(const std::string& why);
    void config_refused(const std::vector<std::string>& reasons);
    /// A connection of our own woke a worker: so many had been waiting beside it.
    /// `waiting`: connections that nobody took any more.
    void listener_closed(const std::string& listener, const std::string& address,
                         std::uint32_t waiting);
    void listener_nudged(const std::string& listener, std::uint32_t waiting);
    /// That did not help, or could not be done.
    void listener_helpless(const std::string& listener, std::uint32_t waiting,
                           const std::string& why = {});
    void announce(const core::Announce& notice, const std::string& pool, const WorkerFacts* worker);
    /// The one record of a death.
    void bury(const core::Obituary& obituary, const std::string& pool, const WorkerFacts* worker);

  private:
    void append(const control::EventFields& fields);

    shm::Segment& segment_;
    Journal& journal_;
};

/// "upgraded from topsman 1.0.0 to 1.1.0"
[[nodiscard]] std::string describe_upgrade(const std::string& from, const std::string& to);

/// How it ended, in words: "killed by SIGSEGV (core dumped)"; with why, if it was our doing.
[[nodiscard]] std::string describe_death(const core::Obituary& obituary);

/// "850ms", "12.3s", "3h12m"
[[nodiscard]] std::string in_words(core::Duration duration);

}  // namespace topsman::supervisor
