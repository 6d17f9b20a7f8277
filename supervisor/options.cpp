#include "supervisor/options.hpp"

#include "supervisor/command_help.hpp"
#include "supervisor/command_line.hpp"
#include "supervisor/control/event_names.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/text.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <sys/ioctl.h>
#include <unistd.h>

namespace topsman {
namespace {

using control::kExitUsage;

/// What is wrong with the name of an event; nothing is.
std::string check_event(const std::string& name) {
    if (control::is_event(name)) {
        return {};
    }
    std::string names;
    for (const std::string_view known : control::kEventNames) {
        names.append(names.empty() ? "" : " ").append(known);
    }
    return "there is no event " + name + "; there are " + names;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

bool is_terminal(int fd) {
    const char* term = std::getenv("TERM");
    return ::isatty(fd) == 1 && (term == nullptr || std::string_view(term) != "dumb");
}

std::uint32_t columns_of(int fd) {
    winsize size{};
    return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : 80;
}

control::Output output_for(bool json) {
    const bool terminal = is_terminal(STDOUT_FILENO);
    const char* no_color = std::getenv("NO_COLOR");
    const bool wants_color = no_color == nullptr || *no_color == '\0';
    return {.out = std::cout,
            .err = std::cerr,
            .json = json,
            .color = terminal && wants_color,
            .columns = terminal ? columns_of(STDOUT_FILENO) : 0,
            .show_waiting = is_terminal(STDERR_FILENO)};
}

std::optional<std::string> given(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

CommandLine::CommandLine(const Programs& programs) : programs_(programs) {
    app_.name("topsman");
    app_.set_help_flag("-h,--help", "Print this help");
    app_.add_flag("-V,--version", wants_version_, "Print the version");
    app_.formatter_fn(
        [](const CLI::App*, const std::string&, CLI::AppFormatMode) { return std::string(kHelp); });
    app_.require_subcommand(0, 1);
    add_run_and_check();
    add_looks();
    add_changes();
    add("version", "Print the version.", "  topsman version", [this] { return print_version(); });
}

CLI::App* CommandLine::add(const std::string& name, const std::string& description,
                           const std::string& example, std::function<int()> action,
                           CLI::App* below) {
    CLI::App* command = (below == nullptr ? &app_ : below)->add_subcommand(name, description);
    command->formatter(std::make_shared<CommandFormatter>());
    command->set_help_flag("-h,--help", "Print this help");
    command->add_flag("--json", json_, "Answer in JSON, for programs");
    command->footer("Example:\n" + example);
    actions_.emplace_back(command, std::move(action));
    return command;
}

CLI::App* CommandLine::add_for_cluster(const std::string& name, const std::string& description,
                                       const std::string& example, std::function<int()> action,
                                       CLI::App* below) {
    CLI::App* command = add(name, description, example, std::move(action), below);
    CLI::Option* config =
        command->add_option("-c,--config", config_, "The cluster that was started with this file");
    config->type_name("FILE");
    command->add_option("-n,--cluster", cluster_, "The cluster of this name")
        ->type_name("CLUSTER")
        ->excludes(config);
    return command;
}

CLI::App* CommandLine::add_change(const std::string& name, const std::string& description,
                                  const std::string& example, std::function<int()> action) {
    CLI::App* command = add_for_cluster(name, description, example, std::move(action));
    command->add_flag("--no-wait", change_.no_wait, "Do not wait for the result");
    command->add_flag("-v,--verbose", change_.verbose,
                      "Tell how far it is, as a terminal is told: events, on stderr");
    add_duration(command, "--timeout", change_.timeout, "Wait so long at most (5m)");
    return command;
}

CLI::Option* CommandLine::add_duration(CLI::App* command, const std::string& name,
                                       std::chrono::milliseconds& value,
                                       const std::string& description) {
    const auto parse = [&value, name](const CLI::results_t& texts) {
        const auto parsed = control::parse_duration(texts.back());
        if (!parsed || parsed->count() == 0) {
            throw CLI::ValidationError(
                name, texts.back() + " is not a duration such as 250ms, 30s or 5m");
        }
        value = *parsed;
        return true;
    };
    return command->add_option(name, parse, description)->type_name("TIME");
}

control::Target CommandLine::target() const {
    return {.name = given(cluster_), .file = given(config_)};
}

control::Output CommandLine::output() const {
    return output_for(json_);
}

void CommandLine::add_run_and_check() {
    CLI::App* run = add("run", "Start the cluster, in the foreground, until it is told to stop.",
                        "  topsman run shop.yaml", [this] {
                            return programs_.run({.file = file(), .take_over = take_over_});
                        });
    run->add_option("FILE", file_, "./topsman.yaml, else /etc/topsman/topsman.yaml");
    run->add_flag("--take-over", take_over_,
                  "End the workers that a dead master has left instead of going on with them");
    CLI::App* check =
        add("check", "Say what is wrong with a file, all of it, and start nothing.",
            "  topsman check shop.yaml", [this] { return programs_.check(file(), json_); });
    check->add_option("FILE", file_, "./topsman.yaml, else /etc/topsman/topsman.yaml");
}

void CommandLine::add_looks() {
    CLI::App* status =
        add_for_cluster("status", "Show the master, its workers and what they share.",
                        "  topsman status --watch --interval 500ms",
                        [this] { return control::status(target(), output(), status_); });
    status->add_flag("-w,--watch", status_.watch, "Follow it, with rates; q ends it");
    add_duration(status, "--interval", status_.interval, "Between two looks (1s)");
    status->add_option("--count", status_.count, "With --watch: so many looks, then end")
        ->type_name("N");

    add_for_scripts(add_for_cluster(
        "counters", "Show the shared counters and gauges; get, add to or set one of them.",
        "  topsman counters --json\n  topsman counters add orders 2",
        [this] { return control::counters(target(), output()); }));

    add_for_cluster("locks",
                    "Show who has which mutex, since when, and how many workers wait for it.",
                    "  topsman locks", [this] { return control::locks(target(), output()); });

    CLI::App* queues = add_change(
        "queues", "Show the job queues, or one with its dead letters; retry or drop these.",
        "  topsman queues thumbnails\n  topsman queues thumbnails --retry all",
        [this] { return look_at_queues(); });
    queues->add_option("QUEUE", what_, "Which; without: all");
    CLI::Option* retry =
        queues->add_option("--retry", retry_, "Make this dead letter, or all, a job again");
    retry->type_name("JOB");
    queues->add_option("--drop", drop_, "Forget this dead letter, or all")
        ->type_name("JOB")
        ->excludes(retry);

    CLI::App* events =
        add_for_cluster("events", "Print what happened, one JSON object a line.",
                        "  topsman events --until worker.ready --timeout 30s", [this] {
                            events_.since_given = since_option_->count() != 0;
                            events_.until = given(until_);
                            if (events_timeout_option_->count() != 0) {
                                events_.timeout = events_timeout_;
                            }
                            return control::events(target(), output(), events_);
                        });
    since_option_ = events->add_option("--since", events_.since, "Only those after this number");
    since_option_->type_name("SEQ");
    events->add_flag("-f,--follow", events_.follow, "Go on with what happens from now on");
    events->add_option("--until", until_, "Follow until this event has happened")
        ->type_name("EVENT")
        ->check(check_event);
    events_timeout_option_ =
        add_duration(events, "--timeout", events_timeout_, "Follow so long at most");
}

void CommandLine::add_changes() {
    add_change("reload", "Make the running cluster what its file says now.", "  topsman reload",
               [this] { return control::reload(target(), output(), change_); });

    add_change(
        "upgrade",
        "Have the master execute its own program again in its place, after a newer one was "
        "installed: same\nprocess, same workers, same sockets, nobody notices. The new program "
        "proves first that it can go on;\nif it cannot, or fails before it has taken over, the "
        "old one goes on, and the answer says why.",
        "  topsman upgrade", [this] { return control::upgrade(target(), output(), change_); });

    CLI::App* plan = add_for_cluster(
        "plan",
        "Say what `topsman reload` would do to which workers, and do nothing: what it would bind "
        "is tried,\nand let go. Ends with 0 if nothing would change, 6 if something would, 1 if "
        "the file would be refused.",
        "  topsman plan", [this] { return control::plan(target(), output(), change_); });
    add_duration(plan, "--timeout", change_.timeout, "Wait so long at most (5m)");

    add_change("rollback", "Go back to the configuration before the last reload; its file stays.",
               "  topsman rollback",
               [this] { return control::rollback(target(), output(), change_); });

    CLI::App* scale = add_change(
        "scale",
        "Have more or fewer workers in a pool, until the next reload. Of fewer, those leave that "
        "have the least\nrequests in flight.",
        "  topsman scale web=8",
        [this] { return control::scale(target(), output(), change_, what_); });
    // CLI11 takes no `=` in a name from 2.4 on.
    scale->add_option("POOL", what_, "POOL=N: the pool, and how many workers it shall have")
        ->required();

    CLI::App* restart = add_change(
        "restart", "Replace workers by new ones, one after the other, successor ready first.",
        "  topsman restart web\n  topsman restart web/2",
        [this] { return control::restart(target(), output(), change_, given(what_)); });
    restart->add_option("POOL[/SLOT]", what_, "Which; without: all");

    CLI::App* drain = add_change(
        "drain",
        "Take a worker out of use: it is told to stop (the pool's stop_signal), finishes what it "
        "has\nbegun within stop_timeout and ends, and no other takes its slot: not after a reload, "
        "a scaling or\na new master, only after `topsman restart POOL/SLOT`. The last worker that "
        "serves a listener stays;\nwhere there are to be fewer workers, drained slots are taken "
        "away first.",
        "  topsman drain web/2\n  topsman restart web/2",
        [this] { return control::drain(target(), output(), change_, what_); });
    drain->add_option("POOL/SLOT", what_, "Which, as in web/2")->required();

    CLI::App* reset = add_change(
        "reset-failed", "Try again what was given up after too many failures.",
        "  topsman reset-failed web",
        [this] { return control::reset_failed(target(), output(), change_, given(what_)); });
    reset->add_option("POOL", what_, "Which; without: all");

    CLI::App* stop = add_change("stop", "End the cluster: workers finish what they have begun.",
                                "  topsman stop --fast", [this] {
                                    const char* mode = now_ ? "now" : fast_ ? "fast" : "graceful";
                                    return control::stop(target(), output(), change_, mode,
                                                         programs_.end_leftovers);
                                });
    CLI::Option* fast = stop->add_flag("--fast", fast_, "Give the workers 2 seconds at most");
    stop->add_flag("--now", now_, "Give them none")->excludes(fast);
}

std::string CommandLine::file() const {
    if (!file_.empty()) {
        return file_;
    }
    constexpr const char* kHere = "topsman.yaml";
    return ::access(kHere, F_OK) == 0 ? kHere : "/etc/topsman/topsman.yaml";
}

int CommandLine::look_at_queues() const {
    if (retry_.empty() && drop_.empty()) {
        return control::queues(target(), output(), given(what_));
    }
    const std::string action = retry_.empty() ? "drop" : "retry";
    if (what_.empty()) {
        control::print_error(
            output(), "queues: say of which queue: topsman queues QUEUE --" + action + " JOB");
        return kExitUsage;
    }
    return control::change_queue(target(), output(), change_, what_, action,
                                 retry_.empty() ? drop_ : retry_);
}

int CommandLine::print_version() const {
    if (json_) {
        std::cout << R"({"version":")" << programs_.version << "\"}\n";
    } else {
        std::cout << "topsman " << programs_.version << '\n';
    }
    return control::kExitDone;
}

/// The sentence on a first word that is no command, or a second one that is none of the first's.
std::optional<std::string> CommandLine::unknown_command(int argc, char** argv) const {
    const CLI::App* parent = &app_;
    for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
        const std::vector<const CLI::App*> known = parent->get_subcommands({});
        if (known.empty()) {
            return std::nullopt;
        }
        const std::string typed = argv[i];
        const CLI::App* found = nullptr;
        std::string nearest;
        std::size_t least = std::max<std::size_t>(2, typed.size() / 3) + 1;
        for (const CLI::App* command : known) {
            const std::size_t distance = edit_distance(typed, command->get_name());
            found = distance == 0 ? command : found;
            if (distance < least) {
                least = distance;
                nearest = command->get_name();
            }
        }
        if (found == nullptr) {
            return path_of(*parent) + ": there is no command " + control::printable(typed) + "; " +
                   (nearest.empty() ? "see `" + path_of(*parent) + " --help`"
                                    : "did you mean " + nearest + "?");
        }
        parent = found;
    }
    return std::nullopt;
}

int CommandLine::explain(const CLI::ParseError& error) const {
    std::string sentence = error.what();
    std::replace(sentence.begin(), sentence.end(), '\n', ' ');
    const std::string command = path_of(chosen() == nullptr ? app_ : *chosen()->first);
    std::cerr << command << ": " << control::printable(sentence) << "; see `" << command
              << " --help`\n";
    return kExitUsage;
}

/// What was typed, the innermost of the commands; null: none.
const CommandLine::Action* CommandLine::chosen() const {
    const Action* innermost = nullptr;
    for (const Action& action : actions_) {
        const bool is_further =
            innermost == nullptr || action.first->get_parent() == innermost->first;
        innermost = action.first->parsed() && is_further ? &action : innermost;
    }
    return innermost;
}

int CommandLine::run(int argc, char** argv) {
    if (const auto unknown = unknown_command(argc, argv)) {
        std::cerr << *unknown << '\n';
        return kExitUsage;
    }
    try {
        app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        std::cout << (chosen() == nullptr ? app_ : *chosen()->first).help();
        return control::kExitDone;
    } catch (const CLI::ParseError& error) {
        return explain(error);
    }
    if (const Action* action = chosen()) {
        return action->second();
    }
    if (wants_version_) {
        return print_version();
    }
    std::cerr << kHelp;
    return kExitUsage;
}

int run_command_line(int argc, char** argv, const Programs& programs) {
    return CommandLine(programs).run(argc, argv);
}

}  // namespace topsman
