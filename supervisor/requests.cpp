#include "supervisor/dead_letters.hpp"
#include "supervisor/master.hpp"
#include "supervisor/own_lane.hpp"
#include "supervisor/plan.hpp"
#include "supervisor/posix/clock.hpp"
#include "supervisor/posix/orphans.hpp"
#include "supervisor/shared_objects.hpp"

#include <algorithm>
#include <csignal>

// What operators ask for: by signal, by command, by saving the file. All of it becomes events.

namespace topsman::supervisor {

namespace {

// An editor that writes in several steps is given this long to finish.
constexpr auto kSettle = std::chrono::milliseconds(20);

constexpr const char* kSaved = "saved";

constexpr const char* kStopping = "the master is stopping";

constexpr const char* kStillReading = "the configuration is still being read: is its disk hanging?";

std::vector<std::string> sentences(const std::vector<config::Problem>& problems) {
    std::vector<std::string> lines;
    lines.reserve(problems.size());
    for (const config::Problem& problem : problems) {
        lines.push_back(problem.text());
    }
    return lines;
}

core::StopMode stop_mode(const std::string& word) {
    if (word == "now") {
        return core::StopMode::Now;
    }
    return word == "fast" ? core::StopMode::Fast : core::StopMode::Graceful;
}

}  // namespace

void Master::on_signal(const posix::ReceivedSignal& signal) {
    switch (signal.number) {
        case SIGHUP:
            request_reload({}, "SIGHUP");
            break;
        case SIGTERM:
        case SIGQUIT:
            enqueue(core::Stop{{}, core::StopMode::Graceful});
            break;
        case SIGINT:
            // The first is fast, the second faster: nobody presses Ctrl-C twice to wait.
            enqueue(core::Stop{{}, interrupted_ ? core::StopMode::Now : core::StopMode::Fast});
            interrupted_ = true;
            break;
        case SIGUSR1:
            journal_.info("SIGUSR1: the log goes to stderr, there is no file to reopen");
            break;
        case SIGUSR2:
            request_upgrade({}, nullptr);
            break;
        case SIGTTIN:
        case SIGTTOU:
            if (signal.from_process) {  // the terminal sends them too, for job control
                scale_first_pool(signal.number == SIGTTIN ? 1 : -1);
            }
            break;
        case SIGCHLD:
            on_child();
            break;
        default:
            break;
    }
}

void Master::on_child() {
    workers_.look_for_ends();
    any_stop_ = posix::take_stops() || any_stop_;
    (void)posix::reap_orphans([this](pid_t pid) {
        return workers_.owns(static_cast<std::uint32_t>(pid)) ||
               (upgrade_ && upgrade_->check && upgrade_->check->owns(pid)) ||
               (retired_check_ && retired_check_->owns(pid));
    });
}

void Master::on_request(const control::Request& request, const control::Responder& respond) {
    if (request.wants_result && snapshot_.phase == core::Phase::Running) {
        script_waits_.submit(request, respond);  // as no command that somebody waits for the end of
        return;
    }
    core::Ticket ticket{};
    if (request.wait) {
        ticket = open_ticket(respond);
    } else {
        respond({"done", "accepted", {}});
    }
    switch (request.verb) {
        case control::Request::Verb::Reload:
            request_reload(ticket, "reload");
            break;
        case control::Request::Verb::Plan:
            request_plan(ticket);
            break;
        case control::Request::Verb::Rollback:
            request_rollback(ticket);
            break;
        case control::Request::Verb::Restart:
            request_restart(ticket, request);
            break;
        case control::Request::Verb::Drain:
            enqueue(core::Drain{ticket, request.pool.value_or(""), request.slot.value_or(0)});
            break;
        case control::Request::Verb::Scale:
            enqueue(core::Scale{ticket, request.pool.value_or(""), request.workers});
            break;
        case control::Request::Verb::Stop:
            enqueue(core::Stop{ticket, stop_mode(request.mode)});
            break;
        case control::Request::Verb::ResetFailed:
            enqueue(core::ResetFailed{ticket, request.pool});
            break;
        case control::Request::Verb::Queue:
            answer(ticket, change_dead_letters(base_.segment, request));
            break;
        case control::Request::Verb::Counter:
            answer(ticket, change_metric(base_.segment, request));
            break;
        case control::Request::Verb::Upgrade:
            request_upgrade(ticket, request.connection);
            break;
        case control::Request::Verb::Submit:
            // With its last worker the segment goes, and what nobody has taken.
            answer(ticket, snapshot_.phase == core::Phase::Running
                               ? submit_job(base_.segment, request)
                               : control::Response{"failed", kStopping, {}});
            break;
        case control::Request::Verb::Send:
            answer(ticket, snapshot_.phase == core::Phase::Running
                               ? send_message(base_.segment, request, channel_turn_++)
                               : control::Response{"failed", kStopping, {}});
            break;
    }
}

core::Ticket Master::open_ticket(const control::Responder& respond) {
    const core::Ticket ticket{++last_ticket_};
    tickets_[ticket].push_back(respond);
    return ticket;
}

void Master::answer(core::Ticket ticket, const control::Response& response) {
    if (const auto found = tickets_.find(ticket); found != tickets_.end()) {
        const auto responders = std::move(found->second);
        tickets_.erase(found);
        for (const control::Responder& respond : responders) {
            respond(response);
        }
    }
}

// Before READY=1 was said for the first time a reload is part of the start (sd_notify(3)).
void Master::tell_manager_reloading(bool reloading) const {
    if (service_up_) {
        base_.manager.notify(reloading ? "RELOADING=1\nMONOTONIC_USEC=" +
                                             std::to_string(posix::monotonic_usec())
                                       : std::string("READY=1"));
    }
}

// A request that arrives while the file is being read may be for what was saved since: another
// reading follows, one for all of them.
void Master::request_reload(core::Ticket ticket, const std::string& why) {
    if (ticket.value != 0) {
        reloads_waiting_.push_back(ticket);
    }
    if (reading_) {
        read_again_ = why;
        return;
    }
    tell_manager_reloading(true);
    reading_ = loader_.submit([file = base_.config_file] { return load_candidate(file); },
                              [this, why, tickets = reloads_waiting_](Candidate candidate) {
                                  reading_ = false;
                                  on_candidate(std::move(candidate), tickets, why);
                                  if (const auto again = std::exchange(read_again_, std::nullopt)) {
                                      request_reload({}, *again);
                                  }
                              });
    const std::vector<core::Ticket> tickets = std::exchange(reloads_waiting_, {});
    if (!reading_) {
        refuse({std::string("reload: ") + kStillReading}, tickets);
    }
}

void Master::on_candidate(Candidate candidate, std::vector<core::Ticket> tickets,
                          const std::string& why) {
    for (const std::string& warning : sentences(candidate.loaded.warnings)) {
        journal_.warning(warning);
    }
    if (!candidate.trouble.empty()) {
        refuse_file({candidate.trouble}, tickets);
        return;
    }
    if (!candidate.loaded.config) {
        refuse_file(sentences(candidate.loaded.errors), tickets);
        return;
    }
    config::Config config = std::move(*candidate.loaded.config);
    const config::Diff diff = config::diff(core_.config(), config);
    if (!diff.refused.empty()) {
        refuse_file(diff.refused, tickets);
        return;
    }
    if (const auto misfits = misfits_of(base_.segment, config.shared); !misfits.empty()) {
        refuse_file(misfits, tickets);
        return;
    }
    refused_.clear();
    tell_note();
    if (why == kAtStart && config == file_config_) {
        if (differs_from_file()) {
            journal_.info("the file says what was rolled back; `topsman reload` tries it again");
        }
        tell_manager_reloading(false);
        return;
    }
    if (why == kSaved && tickets.empty() && config == file_config_ && differs_from_file()) {
        journal_.info("saved: it says what was rolled back; `topsman reload` tries it again");
        tell_manager_reloading(false);
        return;
    }
    base_.listeners.learn(candidate.owners);
    if (auto bound = base_.listeners.prepare(config.listeners); !bound) {
        refuse_file({bound.error().message}, tickets);
        return;
    }
    journal_.info(why + ": " +
                  (diff.empty() ? "nothing has changed" : "the configuration changed"));
    for (const std::string& line : diff.lines()) {
        journal_.info("  " + line);
    }
    // One ticket stands for all that are answered by this reading.
    core::Ticket ticket{};
    if (!tickets.empty()) {
        ticket = tickets.front();
        for (std::size_t i = 1; i < tickets.size(); ++i) {
            for (const control::Responder& respond : tickets_[tickets[i]]) {
                tickets_[ticket].push_back(respond);
            }
            tickets_.erase(tickets[i]);
        }
    }
    incoming_.push_back(std::move(candidate));
    file_config_ = config;
    enqueue(core::Reload{ticket, std::move(config)});
    tell_manager_reloading(false);
}

/// Who looks later sees that the file is not what runs, and why.
void Master::refuse_file(const std::vector<std::string>& reasons,
                         const std::vector<core::Ticket>& tickets) {
    const std::string& file = base_.config.file;
    refused_ = reasons.empty() ? "" : reasons.front();
    if (refused_.starts_with(file)) {
        refused_.erase(0, file.rfind('/') + 1);
    }
    tell_note();
    // Who is told so may look at once.
    publisher_.publish(snapshot_, core_.config(), workers_);
    refuse(reasons, tickets);
}

void Master::refuse(const std::vector<std::string>& reasons,
                    const std::vector<core::Ticket>& tickets) {
    chronicle_.config_refused(reasons);
    tell_manager_reloading(false);
    for (const core::Ticket ticket : tickets) {
        answer(ticket, {"failed", "the configuration was refused, nothing has changed", reasons});
    }
}

/// What the segment has no room for.
std::vector<std::string> Master::misfits(const Candidate& candidate) const {
    return candidate.loaded.config ? misfits_of(base_.segment, candidate.loaded.config->shared)
                                   : std::vector<std::string>();
}

void Master::request_plan(core::Ticket ticket) {
    const bool taken = loader_.submit(
        [file = base_.config_file] { return load_candidate(file); },
        [this, ticket](const Candidate& candidate) {
            const bool is_stopping = snapshot_.phase != core::Phase::Running;
            std::vector<std::string> reasons = misfits(candidate);
            if (candidate.loaded.config) {
                // A reload tries it last, when nothing else is wrong.
                const auto could =
                    base_.listeners.try_to_prepare(candidate.loaded.config->listeners);
                if (!could) {
                    reasons.push_back(could.error().message);
                }
            }
            answer(ticket, is_stopping ? control::Response{"failed", kStopping, {}}
                                       : plan_reload(core_, candidate, reasons));
        });
    if (!taken) {
        answer(ticket, {"failed", kStillReading, {}});
    }
}

// The listeners of what was in force before may be closed by now.
void Master::request_rollback(core::Ticket ticket) {
    const core::Legacy legacy = core_.legacy();
    const std::optional<core::Version>& before = legacy.base ? legacy.base : legacy.previous;
    if (before) {
        if (auto bound = base_.listeners.prepare(before->config.listeners); !bound) {
            answer(ticket, {"failed", bound.error().message, {}});
            return;
        }
    }
    enqueue(core::Rollback{ticket});
}

// What a restart is for is often what changed around the configuration: an env_file, a group.
void Master::request_restart(core::Ticket ticket, const control::Request& request) {
    std::map<core::Generation, Specs> generations = specs_.all();
    // What is kept for the way back stays as it was.
    const auto runs = [this](core::Generation generation) {
        return std::any_of(snapshot_.pools.begin(), snapshot_.pools.end(),
                           [&](const auto& view) { return view.generation == generation; }) ||
               std::any_of(snapshot_.workers.begin(), snapshot_.workers.end(),
                           [&](const auto& view) { return view.generation == generation; });
    };
    std::erase_if(generations, [&runs](const auto& entry) { return !runs(entry.first); });
    for (auto& [generation, specs] : generations) {
        std::erase_if(specs, [this](const auto& entry) {
            return core_.config().find_pool(entry.first) == nullptr;
        });
    }
    const bool taken = loader_.submit(
        [generations = std::move(generations)] { return prepare_again(generations); },
        [this, ticket, pool = request.pool, slot = request.slot](Candidate candidate) {
            if (!candidate.trouble.empty()) {
                journal_.error(candidate.trouble);
                answer(ticket, {"failed", candidate.trouble, {}});
                return;
            }
            incoming_.push_back(std::move(candidate));
            enqueue(core::Restart{ticket, pool, slot});
        });
    if (!taken) {
        answer(ticket, {"failed", kStillReading, {}});
    }
}

void Master::scale_first_pool(int difference) {
    if (snapshot_.pools.empty()) {
        return;
    }
    const core::PoolView& pool = snapshot_.pools.front();
    const std::int64_t wanted = std::int64_t{pool.wanted} + difference;
    if (wanted >= 1) {
        enqueue(core::Scale{{}, pool.name, static_cast<std::uint32_t>(wanted)});
    }
}

void Master::watch_config(bool wanted) {
    ++watches_;
    config_fd_watch_.reset();
    config_watch_.reset();
    tell_note();
    if (!wanted) {
        return;
    }
    Result<ConfigWatch> watch = ConfigWatch::watch(base_.config_file);
    Result<void> watching;
    if (watch) {
        config_fd_watch_.emplace(io_, watch->fd());
        watching = config_fd_watch_->is_watching();
    }
    if (!watch || !watching) {
        const Error& why = watch ? watching.error() : watch.error();
        config_fd_watch_.reset();
        journal_.warning(why.message +
                         ": saving the file will not reload it, use `topsman reload`");
        return;
    }
    config_watch_.emplace(std::move(*watch));
    tell_note();
    wait_for_watch();
}

void Master::wait_for_watch() {
    config_fd_watch_->wait([this, watch = watches_] {
        if (watch != watches_) {
            return;  // it was replaced when this was on its way
        }
        if (config_watch_->drain()) {
            settle_timer_.expires_after(kSettle);
            settle_timer_.async_wait([this](const boost::system::error_code& error) {
                if (!error && config_watch_) {
                    watch_config(true);
                    request_reload({}, kSaved);
                }
            });
        }
        wait_for_watch();
    });
}

}  // namespace topsman::supervisor
