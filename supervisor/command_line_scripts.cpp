// The commands with which a script is a citizen too: counters, jobs and messages.

#include "shm/limits.hpp"
#include "supervisor/command_line.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/text.hpp"

#include <iostream>

namespace topsman {

using control::kExitUsage;

CLI::App* CommandLine::with_timeout(CLI::App* command) {
    add_duration(command, "--timeout", change_.timeout, "Wait so long for the answer (5m)");
    return command;
}

void CommandLine::add_for_scripts(CLI::App* counters) {
    counters->require_subcommand(0, 1);
    CLI::App* get = add_for_cluster(
        "get", "Print one counter or gauge, the number alone.", "  topsman counters get orders",
        [this] { return control::counter(target(), output(), what_); }, counters);
    get->add_option("NAME", what_, "Of a counter or a gauge")->required();

    CLI::App* more = with_timeout(add_for_cluster(
        "add", "Add to a counter, or to a gauge (also less than 0), and print the new sum.",
        "  topsman counters add orders\n  topsman counters add open-tickets -1",
        [this] { return change_counter("add"); }, counters));
    more->add_option("NAME", what_, "Of a counter or a gauge")->required();
    more->add_option("N", amount_, "How much (1)");

    CLI::App* set = with_timeout(add_for_cluster(
        "set", "Set a gauge's part of scripts, and print the sum: workers add parts of their own.",
        "  topsman counters set maintenance 1", [this] { return change_counter("set"); },
        counters));
    set->add_option("GAUGE", what_, "Its name")->required();
    set->add_option("N", amount_, "A whole number")->required();
    add_queue_and_channel();
}

void CommandLine::add_queue_and_channel() {
    CLI::App* queue =
        add("queue", "Submit jobs from scripts; `topsman queues` shows them.",
            "  topsman queue submit thumbnails < job", [this] {
                control::print_error(output(), "queue: say what: topsman queue submit QUEUE");
                return kExitUsage;
            });
    queue->require_subcommand(0, 1);
    CLI::App* submit = with_timeout(add_for_cluster(
        "submit",
        "Submit a job, byte for byte, and print its number: from then on it is executed at least "
        "once, or becomes a dead letter. A full queue refuses.",
        "  topsman queue submit thumbnails cat.jpg\n"
        "  topsman queue submit thumbnails --priority 1 --deadline 30s < job\n"
        "  topsman queue submit thumbnails cat.jpg --key cat.jpg\n"
        "  topsman queue submit thumbnails cat.jpg --wait > thumbnail",
        [this] { return submit_job(); }, queue));
    submit->add_option("QUEUE", what_, "Which")->required();
    item_option_ = submit->add_option("JOB", item_, "The job; without: standard input");
    submit->add_option("--priority", job_.priority, "The highest is taken first (0)")
        ->type_name("N");
    deadline_option_ = add_duration(submit, "--deadline", deadline_,
                                    "Not taken within this time it becomes a dead letter");
    key_option_ = submit->add_option("--key", key_,
                                     "Not while there is a job with this key: print its number "
                                     "instead");
    key_option_->type_name("KEY");
    submit->add_flag("--wait", job_.wait,
                     "Until it was executed, and print its result instead, byte for byte");

    CLI::App* channel =
        add("channel", "Send messages from scripts; `topsman status` counts them.",
            "  topsman channel send news --slot 2 < message", [this] {
                control::print_error(output(), "channel: say what: topsman channel send CHANNEL");
                return kExitUsage;
            });
    channel->require_subcommand(0, 1);
    CLI::App* send = with_timeout(add_for_cluster(
        "send",
        "Send a message, byte for byte, to a worker of the pool that receives the channel, and "
        "print to whom: from\nthen on it is received, by whoever has that slot then. What is full "
        "refuses.",
        "  topsman channel send news --slot 2 \"reload prices\"\n"
        "  topsman channel send news --all < message",
        [this] { return send_message(); }, channel));
    send->add_option("CHANNEL", what_, "Which")->required();
    message_option_ = send->add_option("MESSAGE", item_, "Without: standard input");
    slot_option_ = send->add_option("--slot", slot_, "To the worker in this slot; else to any");
    slot_option_->type_name("N");
    send->add_flag("--all", send_.to_all, "To each worker of the pool")->excludes(slot_option_);
}

int CommandLine::change_counter(const char* action) const {
    return control::change_counter(target(), output(), change_, what_, action,
                                   amount_.empty() ? "1" : amount_);
}

/// The job or the message: what was typed, else standard input. Nothing: it was said that there is
/// none.
std::optional<std::string> CommandLine::bytes_given(const CLI::Option& option, const char* command,
                                                    const char* what) const {
    if (option.count() != 0) {
        return item_;
    }
    // One byte more than any queue or channel takes, so that what is too long is seen to be so.
    std::string bytes(shm::kMaxItemBytes + 1, '\0');
    std::cin.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<std::size_t>(std::cin.gcount()));
    if (bytes.empty()) {
        control::print_error(
            output(), std::string(command) + ": standard input is empty: there is no " + what);
        return std::nullopt;
    }
    return bytes;
}

int CommandLine::submit_job() const {
    const auto item = bytes_given(*item_option_, "queue submit", "job");
    if (!item) {
        return kExitUsage;
    }
    control::SubmitOptions job = job_;
    if (deadline_option_->count() != 0) {
        job.deadline = deadline_;
    }
    if (key_option_->count() != 0) {
        job.key = key_;
    }
    return control::submit(target(), output(), change_, what_, *item, job);
}

int CommandLine::send_message() const {
    const auto message = bytes_given(*message_option_, "channel send", "message");
    if (!message) {
        return kExitUsage;
    }
    control::SendOptions to = send_;
    if (slot_option_->count() != 0) {
        to.slot = slot_;
    }
    return control::send(target(), output(), change_, what_, *message, to);
}

}  // namespace topsman
