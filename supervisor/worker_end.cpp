// WorkerTable: how a worker's end is found, and what is left in order.

#include "shm/sweep.hpp"
#include "supervisor/worker_process.hpp"

#include <csignal>

namespace topsman::supervisor {

namespace {

// How often, and how far apart, an adopted worker's exit status is asked for: it is known as soon
// as whoever inherited it has reaped it.
constexpr int kMostAsked = 5;
constexpr auto kAskAgain = std::chrono::milliseconds(1);

}  // namespace

void WorkerTable::look_for_ends() {
    for (const auto& [worker, process] : processes_) {
        if (process->child && process->exit_watch && !process->exit_watch->is_watching()) {
            on_exit(worker);
        }
    }
}

void WorkerTable::wait_for_exit(core::WorkerId worker) {
    processes_.at(worker)->exit_watch->wait([this, worker] { on_exit(worker); });
}

void WorkerTable::on_exit(core::WorkerId worker) {
    Process* const found = running(worker);
    if (found == nullptr) {
        return;
    }
    Process& process = *found;
    const std::optional<core::ExitReport> ended = process.child->peek();
    if (!ended) {
        wait_for_exit(worker);
        return;
    }
    if (ended->kind == core::ExitReport::Kind::Unknown && wait_for_its_exit_status(process)) {
        return;
    }
    // What it said before it died comes first.
    take_report(process);
    take_notifications(process);
    if (process.output) {
        (void)take_output(process);
        process.output->finish(
            [this](std::string_view line) { surroundings_.journal.output(line); });
        process.facts.last_words = process.output->last_words();
    }
    // Its group's number is ours only until the leader is reaped: the group goes first.
    (void)process.child->signal_group(SIGKILL);
    (void)process.child->reap();
    if (const std::string words = surroundings_.segment.last_words()[process.facts.lane].read();
        !words.empty()) {
        process.facts.last_words = words;
    }
    give_back_lane(process);
    core::ExitReport report = *ended;
    if (process.failure) {
        report.kind = core::ExitReport::Kind::SpawnFailed;
        report.value = process.failure->number;
        report.detail = process.failure->sentence;
    } else if (process.facts.error_number) {
        report.detail = "ERRNO=" + std::to_string(*process.facts.error_number) + ": " +
                        std::generic_category().message(*process.facts.error_number);
    }
    report.last_words = process.facts.last_words;
    process.report.reset();
    process.exit_watch.reset();
    process.notify_watch.reset();
    process.output_watch.reset();
    stop_looking(worker);
    process.freeze.reset();
    process.child.reset();
    process.notify.reset();
    process.output.reset();
    enqueue_(core::Exited{worker, report});
}

bool WorkerTable::wait_for_its_exit_status(Process& process) {
    if (process.exit_asked >= kMostAsked || !process.child->exit_may_follow()) {
        return false;
    }
    process.ask_again.emplace(surroundings_.io, kAskAgain * (1 << process.exit_asked++));
    process.ask_again->async_wait(
        [this, worker = process.facts.worker](const boost::system::error_code& error) {
            if (!error) {
                on_exit(worker);
            }
        });
    return true;
}

void WorkerTable::give_back_lane(Process& process) {
    if (process.facts.lane != 0) {
        shm::sweep_lane(surroundings_.segment, process.facts.lane, process.facts.lane_generation);
    }
}

}  // namespace topsman::supervisor
