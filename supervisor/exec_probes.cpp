#include "supervisor/exec_probes.hpp"

#include "supervisor/core/backoff.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>
#include <csignal>

namespace topsman::supervisor {

namespace {

constexpr int kFirstShare = 16;  // a share of the interval
constexpr std::size_t kMostLine = 200;
constexpr std::string_view kSeparator = " | ";  // what OutputPipe puts after its label

/// For the log, terminals and an answer: one line, nothing that moves the cursor.
std::string presentable(std::string_view line) {
    std::string text(line.substr(kSeparator.size(), kMostLine));
    for (char& c : text) {
        c = static_cast<unsigned char>(c) < 0x20U || c == '\x7f' ? ' ' : c;
    }
    return text;
}

std::string with_last_line(const std::string& what, const std::string& line) {
    return line.empty() ? what : what + ": " + line;
}

}  // namespace

ExecProbes::ExecProbes(boost::asio::io_context& io, Done done) : io_(io), done_(std::move(done)) {}

ExecProbes::~ExecProbes() {
    for (Run& run : runs_) {
        kill(run);
    }
}

void ExecProbes::begin(core::WorkerId worker, const Plan& plan) {
    const config::Duration first = plan.interval / kFirstShare;
    const auto [entry, is_new] = probed_.try_emplace(worker, io_, plan);
    if (is_new) {
        entry->second.pause = first;
        run_when_due(worker, config::Duration(0));
    }
}

void ExecProbes::end(core::WorkerId worker) {
    if (probed_.erase(worker) == 0) {
        return;
    }
    queue_.remove(worker);
    for (Run& run : runs_) {
        if (run.worker == worker) {
            run.worker.reset();
            kill(run);
        }
    }
    take_turns();
}

void ExecProbes::cut_short() {
    for (Run& run : runs_) {
        kill(run);
    }
}

std::optional<std::string> ExecProbes::under_way(core::WorkerId worker) const {
    const auto found = std::find_if(runs_.begin(), runs_.end(),
                                    [worker](const Run& run) { return run.worker == worker; });
    if (found == runs_.end()) {
        return std::nullopt;
    }
    const core::Duration so_far = core::Clock::now() - found->since;
    const auto probed = probed_.find(worker);
    if (probed != probed_.end() && probed->second.has_failed &&
        so_far < core::clock_duration(probed->second.plan.interval)) {
        return std::nullopt;  // what the one before has come to says more
    }
    return with_last_line("has not ended after " + core::in_words(so_far), found->last_line);
}

bool ExecProbes::owns(pid_t pid) const {
    return std::any_of(runs_.begin(), runs_.end(),
                       [pid](const Run& run) { return run.child.pid() == pid; });
}

void ExecProbes::run_when_due(core::WorkerId worker, config::Duration pause) {
    Probed& probed = probed_.at(worker);
    probed.timer.expires_after(pause);
    probed.timer.async_wait([this, worker](const boost::system::error_code& error) {
        const auto found = probed_.find(worker);
        if (error || found == probed_.end() || found->second.waits) {
            return;
        }
        found->second.waits = true;
        queue_.push_back(worker);
        take_turns();
    });
}

void ExecProbes::take_turns() {
    const auto is_under_way = [](const Run& run) { return !run.is_killed; };
    while (!queue_.empty() && std::count_if(runs_.begin(), runs_.end(), is_under_way) <
                                  static_cast<std::ptrdiff_t>(kMostAtOnce)) {
        const core::WorkerId worker = queue_.front();
        queue_.pop_front();
        Probed& probed = probed_.at(worker);
        probed.waits = false;
        if (const Result<void> started = run(worker, probed.plan); !started) {
            fail(worker, "cannot be run: " + started.error().message);
        }
    }
}

Result<void> ExecProbes::run(core::WorkerId worker, const Plan& plan) {
    posix::ChildSetup setup = plan.setup;
    std::optional<std::pair<uid_t, gid_t>> owner;
    if (setup.uid && setup.gid) {
        owner.emplace(*setup.uid, *setup.gid);
    }
    UniqueFd writer;
    auto pipe = posix::OutputPipe::open("", writer, owner);
    if (!pipe) {
        return pipe.error();
    }
    setup.stdout_fd = writer.get();
    auto launched = posix::launch(std::move(setup));
    if (!launched) {
        return launched.error();
    }
    Run& begun = runs_.emplace_back(io_, std::move(*pipe), std::move(*launched));
    begun.id = ++last_run_;
    begun.worker = worker;
    begun.since = core::Clock::now();
    begun.timeout = plan.run_timeout;
    for (const FdWatch* watch : {&begun.exit_watch, &begun.output_watch}) {
        if (Result<void> watching = watch->is_watching(); !watching) {
            kill(begun);
            runs_.pop_back();  // whoever reaps the orphans finds it
            return watching;
        }
    }
    begun.timer.expires_after(plan.run_timeout);
    begun.timer.async_wait([this, id = begun.id](const boost::system::error_code& error) {
        Run* const late = error ? nullptr : find(id);
        if (late != nullptr) {
            late->is_late = true;
            kill(*late);
            take_turns();
        }
    });
    wait_for_exit(begun.id);
    wait_for_output(begun.id);
    return {};
}

void ExecProbes::fail(core::WorkerId worker, const std::string& result) {
    Probed& probed = probed_.at(worker);
    probed.has_failed = true;
    const config::Duration pause = probed.pause;
    probed.pause = std::min(std::max(pause * 2, config::Duration(1)), probed.plan.interval);
    run_when_due(worker, pause);
    done_(worker, result);
}

ExecProbes::Run* ExecProbes::find(std::uint64_t id) {
    const auto found =
        std::find_if(runs_.begin(), runs_.end(), [id](const Run& run) { return run.id == id; });
    return found == runs_.end() ? nullptr : &*found;
}

void ExecProbes::wait_for_exit(std::uint64_t id) {
    find(id)->exit_watch.wait([this, id] { on_exit(id); });
}

void ExecProbes::wait_for_output(std::uint64_t id) {
    find(id)->output_watch.wait([this, id] {
        Run* const run = find(id);
        if (run != nullptr && read_output(*run)) {
            wait_for_output(id);
        }
    });
}

void ExecProbes::on_exit(std::uint64_t id) {
    Run* const run = find(id);
    if (run == nullptr) {
        return;
    }
    const auto ended = run->child.peek();
    if (!ended) {
        wait_for_exit(id);
        return;
    }
    const auto failure = run->report.read();
    (void)read_output(*run);
    run->output.finish([run](std::string_view line) { take_line(*run, line); });
    // What it left behind goes with it, before its group's number is free.
    (void)run->child.signal_group(SIGKILL);
    (void)run->child.reap();
    const auto worker = run->worker;
    const bool succeeded = !failure && !run->is_killed &&
                           ended->kind == core::ExitReport::Kind::Exited && ended->value == 0;
    std::string result;
    if (failure) {
        result = "cannot be run: " + failure->sentence;
    } else {
        result = with_last_line(
            run->is_late ? "was not done within " + core::in_words(core::Duration(run->timeout))
                         : posix::describe(*ended),
            run->last_line);
    }
    runs_.remove_if([id](const Run& gone) { return gone.id == id; });
    if (worker && succeeded) {
        probed_.erase(*worker);
        done_(*worker, std::nullopt);
    } else if (worker) {
        fail(*worker, result);
    }
    take_turns();
}

bool ExecProbes::read_output(Run& run) {
    return run.output.read([&run](std::string_view line) { take_line(run, line); });
}

void ExecProbes::take_line(Run& run, std::string_view line) {
    if (line.size() > kSeparator.size()) {
        run.last_line = presentable(line);
    }
}

void ExecProbes::kill(Run& run) {
    run.is_killed = true;
    (void)run.child.signal_group(SIGKILL);
}

}  // namespace topsman::supervisor
