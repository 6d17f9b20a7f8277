#include "supervisor/own_lane.hpp"

#include "config/names.hpp"
#include "supervisor/control/json_writer.hpp"
#include "supervisor/control/request.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace topsman::supervisor {
namespace {

constexpr std::uint32_t kOwnLane = 0;
constexpr std::size_t kFew = 8;  // so many names are listed to who has given a wrong one

control::Response refusal(std::string why) {
    return {"failed", std::move(why), {}};
}

/// "there is no queue thumbnial; did you mean thumbnails?"
control::Response unknown(const std::string& what, const std::string& name,
                          const std::vector<std::string>& known, const char* where) {
    std::string why = "there is no " + what + " " + name;
    if (const std::string nearest = config::nearest(name, known); !nearest.empty()) {
        why += "; did you mean " + nearest + "?";
    } else if (!known.empty() && known.size() <= kFew) {
        why += "; there is " + config::listed(known);
    } else {
        why += std::string("; name it in the file, below ") + where;
    }
    return refusal(std::move(why));
}

control::Response metric_answer(const std::string& name, std::int64_t value, bool is_gauge) {
    // A counter's sum is unsigned, and shown as such.
    const auto sum = static_cast<std::uint64_t>(value);
    control::JsonWriter w;
    w.begin_object().member("name", name);
    if (is_gauge) {
        w.member("value", value);
    } else {
        w.member("value", sum);
    }
    control::Response response{"done", is_gauge ? std::to_string(value) : std::to_string(sum), {}};
    response.details = w.end_object().take();
    response.details_key = "counter";
    return response;
}

control::Response unknown_metric(const shm::Segment& segment, const std::string& name) {
    std::vector<std::string> known;
    for (const shm::NameTable::Entry& entry : segment.metric_names().entries()) {
        known.push_back(entry.name);
    }
    return unknown("counter or gauge", name, known, "shared.counters");
}

/// The sentence that is wrong with a submit to this queue, empty when nothing is.
std::string problem_with(const control::Request& request, const shm::NamedQueue& queue) {
    if (request.item.size() > queue.shape.item_size) {
        return "the job has " + std::to_string(request.item.size()) + " bytes; queue " +
               queue.name + " takes at most " + std::to_string(queue.shape.item_size) +
               " (shared.queues." + queue.name + ".item_size)";
    }
    if (request.priority >= queue.shape.priorities) {
        return "priority " + std::to_string(request.priority) + ": queue " + queue.name +
               (queue.shape.priorities == 1
                    ? " has no priorities"
                    : " has 0 to " + std::to_string(queue.shape.priorities - 1)) +
               " (shared.queues." + queue.name + ".priorities)";
    }
    if (request.wants_result && queue.shape.result_size == 0) {
        return "queue " + queue.name + " knows no results: write result_size: 256 (shared.queues." +
               queue.name + ".result_size)";
    }
    if (request.key && !queue.shape.has_keys) {
        return "queue " + queue.name + " knows no keys: write dedup: true (shared.queues." +
               queue.name + ".dedup)";
    }
    return "";
}

/// With a key or without.
std::optional<shm::KeyedJob> submit(shm::JobQueue& queue, const control::Request& request,
                                    const shm::JobTerms& terms) {
    const auto item = std::as_bytes(std::span(request.item));
    if (request.key) {
        return queue.submit_once({}, shm::JobKey(std::as_bytes(std::span(*request.key))), item,
                                 terms);
    }
    const auto id = queue.submit({}, item, terms);
    return id ? std::optional(shm::KeyedJob{*id, true}) : std::nullopt;
}

/// "web/2"
std::string inbox_name(const shm::NamedChannel& channel, std::uint32_t slot) {
    return channel.pool + "/" + std::to_string(slot);
}

/// The sentence that is wrong with a message to this channel, empty when nothing is.
std::string problem_with(const control::Request& request, const shm::NamedChannel& named,
                         const shm::Channel& channel) {
    const std::string who = "channel " + named.name;
    if (request.item.size() > named.shape.message_size) {
        return "the message has " + std::to_string(request.item.size()) + " bytes; " + who +
               " takes at most " + std::to_string(named.shape.message_size) + " (shared.channels." +
               named.name + ".message_size)";
    }
    if (channel.slots() == 0) {
        return who + ": pool " + named.pool + " has no workers now";
    }
    if (request.slot && *request.slot >= channel.slots()) {
        return who + ": there is no " + inbox_name(named, *request.slot) + " to send to; " +
               (channel.slots() == 1 ? "there is " + inbox_name(named, 0)
                                     : "there are " + inbox_name(named, 0) + " to " +
                                           inbox_name(named, channel.slots() - 1)) +
               (*request.slot >= named.shape.slots
                    ? " (shared.channels." + named.name +
                          ".slots: " + std::to_string(named.shape.slots) + ")"
                    : "");
    }
    return "";
}

/// Into the inboxes that the request names: those that took it, and those that were full.
struct Sent {
    std::vector<std::string> to;
    std::vector<std::string> full;
};

Sent send_to_inboxes(const control::Request& request, const shm::NamedChannel& named,
                     const shm::Channel& channel, std::uint32_t turn) {
    const auto bytes = std::as_bytes(std::span(request.item));
    const std::uint32_t slots = channel.slots();
    Sent sent;
    if (!request.slot && !request.to_all) {
        if (const auto slot = channel.send_any({}, turn, bytes)) {
            sent.to.push_back(inbox_name(named, *slot));
            return sent;
        }
        for (std::uint32_t slot = 0; slot < slots; ++slot) {
            sent.full.push_back(inbox_name(named, slot));
        }
        return sent;
    }
    const std::uint32_t first = request.slot.value_or(0);
    const std::uint32_t last = request.slot ? first + 1 : slots;
    for (std::uint32_t slot = first; slot < last; ++slot) {
        (channel.send({}, slot, bytes) ? sent.to : sent.full).push_back(inbox_name(named, slot));
    }
    return sent;
}

template <class Named>
std::vector<std::string> names_of(std::span<const Named> all) {
    std::vector<std::string> names;
    std::transform(all.begin(), all.end(), std::back_inserter(names),
                   [](const auto& one) { return one.name; });
    return names;
}

}  // namespace

control::Response change_metric(const shm::Segment& segment, const control::Request& request) {
    const std::string name = request.name.value_or("");
    const auto gauge = segment.metric_names().find(name, shm::NameKind::Gauge);
    const auto counter = segment.metric_names().find(name, shm::NameKind::Counter);
    if (!gauge && !counter) {
        return unknown_metric(segment, name);
    }
    if (!gauge && (request.set || request.add.value_or(0) < 0)) {
        return refusal(name + " is a counter: it only grows");
    }
    const std::uint32_t row = gauge ? gauge->row : counter->row;
    std::atomic<std::uint64_t>& cell = segment.metrics().cell(kOwnLane, row);
    // In two's complement, as gauges are.
    if (request.set) {
        cell.store(static_cast<std::uint64_t>(*request.set), std::memory_order_relaxed);
    } else {
        shm::add_to_cell(cell, static_cast<std::uint64_t>(request.add.value_or(0)));
    }
    return metric_answer(name, shm::gauge_total(segment.metrics(), row), gauge.has_value());
}

namespace {

/// Which queue a job is for, or why it is not submitted to it.
Result<std::size_t> queue_for(const shm::Segment& segment, const control::Request& request) {
    const std::string name = request.queue.value_or("");
    const auto queues = segment.queues();
    const auto found = std::find_if(queues.begin(), queues.end(),
                                    [&](const auto& queue) { return queue.name == name; });
    if (found == queues.end()) {
        return plain_error(unknown("queue", name, names_of(queues), "shared.queues").reason);
    }
    if (std::string problem = problem_with(request, *found); !problem.empty()) {
        return plain_error(std::move(problem));
    }
    return static_cast<std::size_t>(found - queues.begin());
}

shm::JobTerms terms_of(const control::Request& request) {
    shm::JobTerms terms;
    terms.now_ns = shm::JobQueue::monotonic_ns();
    terms.priority = request.priority;
    if (request.deadline) {
        terms.deadline_ns = terms.now_ns + static_cast<std::uint64_t>(
                                               std::chrono::nanoseconds(*request.deadline).count());
    }
    return terms;
}

std::string is_full(const shm::NamedQueue& queue) {
    return "queue " + queue.name + " is full, with " + std::to_string(queue.shape.capacity) +
           " jobs";
}

/// "queue", "job"
control::JsonWriter begin_job(const std::string& queue, shm::JobId id) {
    control::JsonWriter w;
    // A string: the numbers of JavaScript end at 2^53.
    w.begin_object().member("queue", queue).member("job", std::to_string(id));
    return w;
}

}  // namespace

control::Response submit_job(const shm::Segment& segment, const control::Request& request) {
    const auto index = queue_for(segment, request);
    if (!index) {
        return refusal(index.error().message);
    }
    const shm::NamedQueue& named = segment.queues()[*index];
    shm::JobQueue queue = segment.queue(*index);
    const auto submitted = submit(queue, request, terms_of(request));
    if (!submitted) {
        return refusal(is_full(named));
    }
    control::JsonWriter w = begin_job(named.name, submitted->id);
    if (request.key) {
        w.member("new", submitted->is_new);
    }
    control::Response response{"done", std::to_string(submitted->id), {}};
    response.details = w.end_object().take();
    response.details_key = "job";
    return response;
}

Result<AskedJob> ask_job(const shm::Segment& segment, const control::Request& request) {
    const auto index = queue_for(segment, request);
    if (!index) {
        return index.error();
    }
    const auto id =
        segment.queue(*index).ask({}, std::as_bytes(std::span(request.item)), terms_of(request));
    if (!id) {
        return plain_error(is_full(segment.queues()[*index]));
    }
    return AskedJob{*index, *id};
}

void withdraw(const shm::Segment& segment, const AskedJob& job) {
    segment.queue(job.queue).withdraw({}, job.id);
}

std::optional<control::Response> answer_of(const shm::Segment& segment, const AskedJob& job) {
    const std::string& name = segment.queues()[job.queue].name;
    const shm::Answer answer = segment.queue(job.queue).look_for(job.id);
    const std::string which = "queue " + name + ": job " + std::to_string(job.id);
    control::JsonWriter w = begin_job(name, job.id);
    control::Response response{"failed", {}, {}};
    switch (answer.state) {
        case shm::AnswerState::NotYet:
            return std::nullopt;
        case shm::AnswerState::Done:
            response.result = "done";
            control::write_bytes(
                w, "answer",
                {reinterpret_cast<const char*>(answer.result.data()), answer.result.size()});
            break;
        case shm::AnswerState::DeadLetter:
            response.reason = which + " was tried " + std::to_string(answer.attempts) +
                              " times in vain and is a dead letter: see topsman queues " + name;
            break;
        case shm::AnswerState::TooLate:
            response.reason = which + " was not taken before its deadline";
            break;
        case shm::AnswerState::Dropped:
            response.reason = which + " was a dead letter, and was dropped";
    }
    withdraw(segment, job);
    response.details = w.end_object().take();
    response.details_key = "job";
    return response;
}

control::Response send_message(const shm::Segment& segment, const control::Request& request,
                               std::uint32_t turn) {
    const std::string name = request.channel.value_or("");
    const auto channels = segment.channels();
    const auto found = std::find_if(channels.begin(), channels.end(),
                                    [&](const auto& channel) { return channel.name == name; });
    if (found == channels.end()) {
        return unknown("channel", name, names_of(channels), "shared.channels");
    }
    const shm::Channel channel =
        segment.channel(static_cast<std::size_t>(found - channels.begin()));
    if (std::string problem = problem_with(request, *found, channel); !problem.empty()) {
        return refusal(std::move(problem));
    }
    const Sent sent = send_to_inboxes(request, *found, channel, turn);
    control::Response response{"done", {}, sent.to};
    if (!sent.full.empty()) {
        response.result = "failed";
        response.reason = "channel " + name + ": not sent to " + config::listed(sent.full) +
                          ": full, with " + std::to_string(found->shape.capacity) + " messages";
    }
    control::JsonWriter w;
    w.begin_object().member("channel", name).key("to").begin_array();
    for (const std::string& inbox : sent.to) {
        w.value(inbox);
    }
    response.details = w.end_array().end_object().take();
    response.details_key = "sent";
    return response;
}

}  // namespace topsman::supervisor
