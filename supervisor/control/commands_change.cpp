#include "shm/base/unique_fd.hpp"
#include "shm/job_key.hpp"
#include "shm/limits.hpp"
#include "supervisor/control/commands.hpp"
#include "supervisor/control/control_client.hpp"
#include "supervisor/control/json_writer.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/progress.hpp"
#include "supervisor/control/request.hpp"
#include "supervisor/control/text.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/runtime_dir.hpp"

#include <algorithm>
#include <charconv>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace topsman::control {
namespace {

using Clock = std::chrono::steady_clock;

// Who waits longer is told how to stop waiting.
constexpr std::chrono::milliseconds kPatience{1'000};

int exit_code(const std::string& result) {
    if (result == "done") {
        return kExitDone;
    }
    if (result == "rolled_back") {
        return kExitRolledBack;
    }
    if (result == "changes") {
        return kExitChanges;
    }
    return result == "timed_out" ? kExitTimedOut : kExitFailed;
}

int usage_error(const Output& output, const std::string& message) {
    print_error(output, message);
    return kExitUsage;
}

/// A change on its way: what is asked, of whom, and how to speak of it.
struct Change {
    std::string path;
    std::string body;
    std::string verb;  ///< "scale"
    std::string
        doubt{};  ///< what nobody knows when there was no answer; empty: it can be looked at
};

JsonWriter begin_body(const ChangeOptions& options) {
    JsonWriter w;
    w.begin_object().member("wait", !options.no_wait);
    return w;
}

/// Why a living master does not answer.
std::string excuse_of(const ClusterRecord& record) {
    const std::string pid = std::to_string(record.pid);
    const auto info = posix::process_info(record.pid);
    if (info && (info->state == 'T' || info->state == 't')) {
        return "the master (pid " + pid + ") is stopped by a signal: `kill -CONT " + pid +
               "` lets it go on";
    }
    return "the master (pid " + pid + ") may still be at it: see " +
           command_for(record.cluster, "status");
}

/// Why there was no answer, and what to do about it.
int explain(const Output& output, const ClusterRecord& record, const Change& change,
            const Error& error) {
    const std::string who = "cluster " + record.cluster + ": ";
    const bool is_alive = posix::is_same_process_alive(record.pid, record.start_ticks);
    const bool is_deaf = error.code == std::errc::connection_refused ||
                         error.code == std::errc::no_such_file_or_directory;
    const std::string doubt = is_deaf || change.doubt.empty() ? "" : "; " + change.doubt;
    if (!is_alive) {
        print_error(output, who + "no master (pid " + std::to_string(record.pid) + " is gone)" +
                                doubt + "; start it again with `topsman run " + record.file + "`");
        return kExitNotRunning;
    }
    if (error.code == std::errc::timed_out) {
        print_error(output,
                    who + change.verb + ": no answer in time" + doubt + "; " + excuse_of(record));
        return kExitTimedOut;
    }
    print_error(output, who + change.verb + ": " + error.message + doubt +
                            (is_deaf ? " (the master, pid " + std::to_string(record.pid) +
                                           ", lives: is it starting or stopping?)"
                                     : ""));
    return is_deaf ? kExitNotRunning : kExitFailed;
}

/// "reload failed", "reload rolled back"
std::string outcome(const Change& change, const std::string& result) {
    std::string words = change.verb + " " + printable(result);
    std::replace(words.begin(), words.end(), '_', ' ');
    return words;
}

void print_response(const Output& output, const ClusterRecord& record, const Change& change,
                    const Response& response) {
    if (output.json) {
        output.out << to_json(response) << std::endl;
        return;
    }
    if (const auto bytes = read_bytes(response, "answer")) {
        output.out << *bytes << std::flush;  // for a script, which knows what they are
        return;
    }
    for (const std::string& line : response.lines) {
        output.out << printable(line) << '\n';
    }
    const std::string reason = printable(response.reason);
    if (response.result != "done" && response.result != "changes") {
        output.err << "topsman: cluster " << record.cluster << ": "
                   << outcome(change, response.result) << (reason.empty() ? "" : ": ") << reason
                   << '\n';
    } else if (!reason.empty() || response.lines.empty()) {
        output.out << (reason.empty() ? "done" : reason) << '\n';
    }
    output.out << std::flush;
    output.err << std::flush;
}

int perform(const ClusterRecord& record, const Output& output, const ChangeOptions& options,
            const Change& change) {
    const bool tells = (output.show_waiting || options.verbose) && !output.json && !options.no_wait;
    std::optional<Progress> progress;
    if (tells) {
        progress.emplace(record.segment, output.err);
    }
    bool told = false;
    const auto on_wait = [&](std::chrono::milliseconds waited) {
        progress->tell();
        if (waited >= kPatience && !std::exchange(told, true)) {
            output.err << "waiting for " << record.cluster << ": " << change.verb
                       << " is under way (Ctrl-C stops the waiting, not the change)" << std::endl;
        }
    };
    const auto response = post(record.socket, change.path, change.body, options.timeout,
                               tells ? Waiting(on_wait) : Waiting());
    if (progress) {
        progress->tell();
    }
    if (!response) {
        return explain(output, record, change, response.error());
    }
    print_response(output, record, change, *response);
    return exit_code(response->result);
}

int change(const Target& target, const Output& output, const ChangeOptions& options,
           const Change& change) {
    const auto record = find_cluster(target.name, target.file);
    if (!record) {
        print_error(output, record.error().message);
        return kExitNotRunning;
    }
    return perform(*record, output, options, change);
}

std::optional<std::uint32_t> to_number(std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

/// The master's end as a descriptor, opened while it is known to be the same process.
UniqueFd open_master(const ClusterRecord& record) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, record.pid, 0)));
    if (!posix::is_same_process_alive(record.pid, record.start_ticks)) {
        pidfd.reset();
    }
    return pidfd;
}

bool wait_for_end(const UniqueFd& pidfd, Clock::time_point deadline) {
    pollfd poll{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        const auto ms = std::clamp<std::int64_t>(left.count(), 0, 3'600'000);
        const int rc = ::poll(&poll, 1, static_cast<int>(ms));
        if (rc > 0 || (rc == 0 && ms == 0)) {
            return rc > 0;
        }
    }
}

int stop_without_master(const ClusterRecord& record, const Output& output, const std::string& mode,
                        const EndLeftovers& end_leftovers) {
    Response response{.result = "done",
                      .reason = "the master (pid " + std::to_string(record.pid) +
                                ") was gone; its workers are ended",
                      .lines = {}};
    const auto say = [&](const std::string& sentence) {
        if (output.json) {
            response.lines.push_back(sentence);
        } else {
            output.out << printable(sentence) << std::endl;
        }
    };
    if (const auto ended = end_leftovers(record, mode, say); !ended) {
        print_error(output, "cluster " + record.cluster + ": " + ended.error().message);
        return kExitFailed;
    }
    print_response(output, record, {.path = {}, .body = {}, .verb = "stop"}, response);
    return kExitDone;
}

}  // namespace

int reload(const Target& target, const Output& output, const ChangeOptions& options) {
    return change(target, output, options,
                  {"/v1/reload", begin_body(options).end_object().take(), "reload"});
}

int plan(const Target& target, const Output& output, const ChangeOptions& options) {
    return change(target, output, options, {"/v1/plan", "{}", "plan"});
}

int upgrade(const Target& target, const Output& output, const ChangeOptions& options) {
    return change(target, output, options,
                  {"/v1/upgrade", begin_body(options).end_object().take(), "upgrade"});
}

int rollback(const Target& target, const Output& output, const ChangeOptions& options) {
    return change(target, output, options,
                  {"/v1/rollback", begin_body(options).end_object().take(), "rollback"});
}

namespace {

/// "web/2"; false: it is not of that form.
bool add_slot(JsonWriter& w, std::string_view what) {
    const std::size_t slash = std::min(what.find('/'), what.size());
    const auto slot = to_number(what.substr(std::min(slash + 1, what.size())));
    if (slash == 0 || !slot) {
        return false;
    }
    w.member("pool", what.substr(0, slash)).member("slot", std::uint64_t{*slot});
    return true;
}

}  // namespace

int restart(const Target& target, const Output& output, const ChangeOptions& options,
            const std::optional<std::string>& what) {
    JsonWriter w = begin_body(options);
    if (what) {
        const std::size_t slash = std::min(what->find('/'), what->size());
        if (slash == what->size()) {
            w.member("pool", *what);
        } else if (!add_slot(w, *what)) {
            return usage_error(output, "restart: " + printable(*what) +
                                           " is not POOL or POOL/SLOT, as in web or web/2");
        }
    }
    return change(target, output, options, {"/v1/restart", w.end_object().take(), "restart"});
}

int drain(const Target& target, const Output& output, const ChangeOptions& options,
          const std::string& what) {
    JsonWriter w = begin_body(options);
    if (!add_slot(w, what)) {
        return usage_error(output, "drain: " + printable(what) + " is not POOL/SLOT, as in web/2");
    }
    return change(target, output, options, {"/v1/drain", w.end_object().take(), "drain"});
}

int scale(const Target& target, const Output& output, const ChangeOptions& options,
          const std::string& what) {
    const std::size_t equals = what.find('=');
    const auto workers = equals == std::string::npos
                             ? std::nullopt
                             : to_number(std::string_view(what).substr(equals + 1));
    if (equals == 0 || !workers || *workers == 0) {
        return usage_error(
            output, "scale: " + printable(what) + " is not POOL=N with N from 1 on, as in web=4");
    }
    JsonWriter w = begin_body(options);
    w.member("pool", std::string_view(what).substr(0, equals));
    w.member("workers", std::uint64_t{*workers}).end_object();
    return change(target, output, options, {"/v1/scale", w.take(), "scale"});
}

int stop(const Target& target, const Output& output, const ChangeOptions& options,
         const std::string& mode, const EndLeftovers& end_leftovers) {
    const auto deadline = Clock::now() + options.timeout;
    const auto record = find_cluster(target.name, target.file);
    if (!record) {
        print_error(output, record.error().message);
        return kExitNotRunning;
    }
    const UniqueFd master = open_master(*record);
    if (!posix::is_same_process_alive(record->pid, record->start_ticks)) {
        return stop_without_master(*record, output, mode, end_leftovers);
    }
    JsonWriter w = begin_body(options);
    w.member("mode", mode).end_object();
    const int code = perform(*record, output, options, {"/v1/stop", w.take(), "stop"});
    // Stopped means that the next `topsman run` finds nothing in its way.
    if (code == kExitDone && !options.no_wait && master && !wait_for_end(master, deadline)) {
        print_error(output, "cluster " + record->cluster +
                                ": the workers are gone, but the master (pid " +
                                std::to_string(record->pid) + ") has not ended in time");
        return kExitTimedOut;
    }
    return code;
}

int change_queue(const Target& target, const Output& output, const ChangeOptions& options,
                 const std::string& queue, const std::string& action, const std::string& job) {
    JsonWriter w = begin_body(options);
    w.member("queue", queue).member("action", action);
    if (job != "all") {
        const bool is_number = !job.empty() && job.size() <= 20 &&
                               job.find_first_not_of("0123456789") == std::string::npos;
        if (!is_number) {
            return usage_error(output, "queues: " + printable(job) +
                                           " is no dead letter's number, nor all: see topsman "
                                           "queues " +
                                           printable(queue));
        }
        w.member("job", job);
    }
    return change(target, output, options, {"/v1/queue", w.end_object().take(), action});
}

int change_counter(const Target& target, const Output& output, const ChangeOptions& options,
                   const std::string& name, const std::string& action, const std::string& amount) {
    std::int64_t number = 0;
    const std::string_view digits =
        std::string_view(amount).substr(amount.starts_with('+') ? 1 : 0);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
        return usage_error(output, "counters " + action + ": " + printable(amount) +
                                       " is no whole number below 2^63, as in topsman counters " +
                                       action + " orders 1");
    }
    JsonWriter w;
    w.begin_object().member("name", name).member(action, number).end_object();
    return change(target, output, options,
                  {"/v1/counter", w.take(), "counters " + action,
                   "whether it was done nobody knows: see `topsman counters`"});
}

namespace {

/// Of characters that a query needs not quote.
bool is_name(const std::string& text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               c == '-' || c == '_';
    });
}

/// Any bytes as they may be in a query: two hexadecimal digits after a percent sign for each.
std::string quoted(std::string_view bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        text += {'%', kDigits[byte >> 4U], kDigits[byte & 0xfU]};
    }
    return text;
}

}  // namespace

int submit(const Target& target, const Output& output, const ChangeOptions& options,
           const std::string& queue, const std::string& item, const SubmitOptions& job) {
    if (item.size() > shm::kMaxItemBytes) {
        return usage_error(output, "queue submit: the job has more than " +
                                       exact_size(shm::kMaxItemBytes) +
                                       ", the most that any queue takes");
    }
    if (!is_name(queue)) {
        return usage_error(output, "queue submit: " + printable(queue) +
                                       " is no queue's name: see topsman queues");
    }
    if (job.key && job.wait) {
        return usage_error(output,
                           "queue submit: a job with a key has no result: leave out one of --key "
                           "and --wait");
    }
    if (job.key && (job.key->empty() || job.key->size() > shm::JobKey::kMostBytes)) {
        return usage_error(output, "queue submit: a key has 1 to 64 bytes, this one has " +
                                       std::to_string(job.key->size()));
    }
    std::string path = "/v1/submit?queue=" + queue + "&priority=" + std::to_string(job.priority);
    if (job.deadline) {
        path += "&deadline_ms=" + std::to_string(job.deadline->count());
    }
    if (job.key) {
        path += "&key=" + quoted(*job.key);
    }
    if (job.wait) {
        path += "&wait=result";
    }
    return change(target, output, options,
                  {path, item, "queue submit",
                   job.wait ? "the job, if it was submitted, is executed all the same"
                            : "whether the job was submitted nobody knows"});
}

int send(const Target& target, const Output& output, const ChangeOptions& options,
         const std::string& channel, const std::string& message, const SendOptions& to) {
    if (message.size() > shm::kMaxItemBytes) {
        return usage_error(output, "channel send: the message has more than " +
                                       exact_size(shm::kMaxItemBytes) +
                                       ", the most that any channel takes");
    }
    if (!is_name(channel)) {
        return usage_error(output, "channel send: " + printable(channel) +
                                       " is no channel's name: see topsman status");
    }
    const std::string whom = to.slot ? std::to_string(*to.slot) : to.to_all ? "all" : "any";
    return change(target, output, options,
                  {"/v1/send?channel=" + channel + "&to=" + whom, message, "channel send",
                   "whether the message was sent nobody knows"});
}

int reset_failed(const Target& target, const Output& output, const ChangeOptions& options,
                 const std::optional<std::string>& pool) {
    JsonWriter w = begin_body(options);
    if (pool) {
        w.member("pool", *pool);
    }
    return change(target, output, options,
                  {"/v1/reset-failed", w.end_object().take(), "reset-failed"});
}

}  // namespace topsman::control
