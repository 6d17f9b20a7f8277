#include "tests/sim/script.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace topsman::sim {
namespace {

using namespace std::chrono_literals;
using core::ExitReport;

constexpr Duration kExec = 1ms;
constexpr Duration kStep = 2ms;  // whatever a process does at once

/// The words of one incarnation: those between `--then`, of which the last stand for all later
/// ones, without what is another slot's.
std::vector<std::string> part_of(const std::vector<std::string>& command,
                                 const Incarnation& incarnation) {
    std::vector<std::vector<std::string>> parts{{}};
    for (std::size_t i = 1; i < command.size(); ++i) {
        if (command[i] == "--then") {
            parts.emplace_back();
        } else {
            parts.back().push_back(command[i]);
        }
    }
    std::vector<std::string>& own = parts[std::min(incarnation.number, parts.size() - 1)];
    if (const auto limit = std::find(own.begin(), own.end(), "--slot"); limit != own.end()) {
        const bool is_own =
            limit + 1 != own.end() && *(limit + 1) == std::to_string(incarnation.slot);
        own.erase(limit, is_own ? limit + 2 : own.end());
    }
    return own;
}

ExitReport code(int number) {
    return {ExitReport::Kind::Exited, number, false, {}};
}

/// What it does once it is ready, if anything.
struct Later {
    bool exits = false;
    bool crashes = false;
    int code = 0;
};

/// False: no such word.
bool read_flag(const std::string& word, Behaviour& behaviour, Later& later) {
    if (word == "--never-ready") {
        behaviour.ready_after.reset();
    } else if (word == "--ignore-term") {
        behaviour.ends_on_terminate.reset();
    } else if (word == "--exit-after-ready") {
        later.exits = true;
    } else if (word == "--segv") {
        later.crashes = true;
    } else {
        return false;
    }
    return true;
}

/// False: no such word.
bool read_number(const std::string& word, int number, Behaviour& behaviour, Later& later) {
    const Duration time = std::chrono::milliseconds(number);
    if (word == "--crash-at-boot") {
        behaviour.ready_after.reset();
        behaviour.exits_after = kExec + kStep;
        behaviour.exit = code(number);
    } else if (word == "--slow-ready") {
        behaviour.ready_after = kExec + kStep + time;
    } else if (word == "--slow-stop") {
        behaviour.ends_on_terminate = kStep + time;
    } else if (word == "--hang-after") {
        behaviour.hangs_after = kExec + kStep + time;
    } else if (word == "--exit") {
        later.code = number;
        behaviour.code_on_terminate = number;
    } else {
        return false;
    }
    return true;
}

Behaviour good(Duration watchdog) {
    Behaviour behaviour;
    behaviour.exec_delay = kExec;
    behaviour.ready_after = kExec + kStep;
    behaviour.beat_every = watchdog / 3;
    behaviour.ends_on_terminate = kStep;
    behaviour.ends_on_abort = kStep;
    behaviour.ends_on_kill = kStep;
    return behaviour;
}

}  // namespace

Result<Behaviour> behaviour_of(const std::vector<std::string>& command,
                               const Incarnation& incarnation, Duration watchdog) {
    Behaviour behaviour = good(watchdog);
    if (command.front() != "misbehaving_worker") {
        behaviour.spawn_fails = true;
        behaviour.exit = {ExitReport::Kind::SpawnFailed, ENOENT, false,
                          "exec " + command.front() + ": No such file or directory"};
        return behaviour;
    }
    Later later;
    const std::vector<std::string> words = part_of(command, incarnation);
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (read_flag(words[i], behaviour, later)) {
            continue;
        }
        const bool has_number = i + 1 < words.size();
        const int number =
            has_number ? static_cast<int>(std::strtol(words[i + 1].c_str(), nullptr, 10)) : 0;
        if (!has_number || !read_number(words[i], number, behaviour, later)) {
            return plain_error("no simulated worker knows " + words[i]);
        }
        ++i;
    }
    if (behaviour.ready_after && (later.exits || later.crashes)) {
        behaviour.exits_after = *behaviour.ready_after + kStep;
        behaviour.exit = later.crashes ? ExitReport{ExitReport::Kind::Signaled, SIGSEGV, false, {}}
                                       : code(later.code);
    }
    return behaviour;
}

Result<Behaviour> probed(Behaviour worker, const std::vector<std::string>& command,
                         std::uint32_t slot, std::size_t& runs) {
    worker.ready_after.reset();
    // Whatever its last part does it does in all later runs, too.
    const auto parts = 1 + std::count(command.begin(), command.end(), "--then");
    for (std::ptrdiff_t run = 1; run <= parts; ++run) {
        const Result<Behaviour> probe = behaviour_of(command, {slot, runs++}, Duration::zero());
        if (!probe || !probe->exits_after) {
            return probe ? plain_error("a probe has to end by itself") : probe.error();
        }
        const Duration at = kExec + run * kStep;
        if (probe->exit == code(0)) {
            worker.ready_after = at;
            return worker;
        }
        const std::string number = std::to_string(probe->exit.value);
        worker.probe_fails_after = at;
        worker.probe_result =
            "exited with code " + number + ": misbehaving_worker: cannot start, code " + number;
    }
    return worker;
}

}  // namespace topsman::sim
