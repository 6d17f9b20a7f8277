#pragma once

// The commands that look at a running cluster or change it: everything but run and check. Each is
// one function: options in, exit code out; it prints to the given streams. Exit codes: 0 done,
// 1 failed, 2 usage, 3 not running, 4 rolled back, 5 timed out, 6 would change (plan), 78
// configuration.

#include "shm/base/result.hpp"
#include "supervisor/say.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>

namespace topsman {
struct ClusterRecord;
}

namespace topsman::control {

struct Target {
    std::optional<std::string> name;  ///< -n CLUSTER
    std::optional<std::string> file;  ///< -c FILE
};

struct Output {
    std::ostream& out;
    std::ostream& err;
    bool json = false;
    bool color = false;         ///< decided by the caller: a terminal, and not NO_COLOR
    std::uint32_t columns = 0;  ///< 0: a pipe, nothing is cut
    bool show_waiting = false;  ///< `err` is a terminal: say so when an answer takes a while
};

struct StatusOptions {
    bool watch = false;
    std::chrono::milliseconds interval{1'000};
    std::uint32_t count = 0;  ///< with watch: looks before it ends; 0: until stopped
};

int status(const Target& target, const Output& output, const StatusOptions& options);
int counters(const Target& target, const Output& output);
/// The number alone, for scripts.
int counter(const Target& target, const Output& output, const std::string& name);
int locks(const Target& target, const Output& output);
int queues(const Target& target, const Output& output,
           const std::optional<std::string>& queue);  ///< with a queue: its dead letters too

struct EventsOptions {
    std::uint64_t since = 0;   ///< events above this number
    bool since_given = false;  ///< without: only what comes from now on if follow
    bool follow = false;
    std::optional<std::string> until;  ///< ends with the first such event
    std::optional<std::chrono::milliseconds> timeout;
};

int events(const Target& target, const Output& output, const EventsOptions& options);

struct ChangeOptions {
    bool no_wait = false;
    bool verbose = false;  ///< tell how far it is, as to a terminal
    std::chrono::milliseconds timeout{300'000};
};

int reload(const Target& target, const Output& output, const ChangeOptions& options);
/// What reload would do: 0 nothing, 6 something, 1 it would be refused.
int plan(const Target& target, const Output& output, const ChangeOptions& options);
/// The master executes its program, which may be a newer one, in its own place.
int upgrade(const Target& target, const Output& output, const ChangeOptions& options);
int rollback(const Target& target, const Output& output, const ChangeOptions& options);
int restart(const Target& target, const Output& output, const ChangeOptions& options,
            const std::optional<std::string>& what);  ///< POOL or POOL/SLOT
int drain(const Target& target, const Output& output, const ChangeOptions& options,
          const std::string& what);  ///< POOL/SLOT
int scale(const Target& target, const Output& output, const ChangeOptions& options,
          const std::string& what);  ///< POOL=N

/// Ends what a dead master has left; not this folder's business.
using EndLeftovers =
    std::function<Result<void>(const ClusterRecord&, const std::string& mode, const Say&)>;
int stop(const Target& target, const Output& output, const ChangeOptions& options,
         const std::string& mode, const EndLeftovers& end_leftovers);

/// `action` is retry or drop, `job` a dead letter's number or "all".
int change_queue(const Target& target, const Output& output, const ChangeOptions& options,
                 const std::string& queue, const std::string& action, const std::string& job);
/// `action` is add or set, `amount` a whole number.
int change_counter(const Target& target, const Output& output, const ChangeOptions& options,
                   const std::string& name, const std::string& action, const std::string& amount);

struct SubmitOptions {
    std::uint32_t priority = 0;
    std::optional<std::chrono::milliseconds> deadline;  ///< from now on
    std::optional<std::string> key;                     ///< not while there is one with it already
    bool wait = false;                                  ///< for its result, and print it
};

int submit(const Target& target, const Output& output, const ChangeOptions& options,
           const std::string& queue, const std::string& item, const SubmitOptions& job);

struct SendOptions {
    std::optional<std::uint32_t> slot;
    bool to_all = false;  ///< neither: any
};

int send(const Target& target, const Output& output, const ChangeOptions& options,
         const std::string& channel, const std::string& message, const SendOptions& to);
int reset_failed(const Target& target, const Output& output, const ChangeOptions& options,
                 const std::optional<std::string>& pool);

}  // namespace topsman::control
