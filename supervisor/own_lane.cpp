#include "supervisor/own_lane.hpp"

#include "config/names.hpp"
#include "supervisor/control/json_writer.hpp"

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
    return "";
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

control::Response submit_job(const shm::Segment& segment, const control::Request& request) {
    const std::string name = request.queue.value_or("");
    const auto queues = segment.queues();
    const auto found = std::find_if(queues.begin(), queues.end(),
                                    [&](const auto& queue) { return queue.name == name; });
    if (found == queues.end()) {
        std::vector<std::string> known;
        std::transform(queues.begin(), queues.end(), std::back_inserter(known),
                       [](const auto& queue) { return queue.name; });
        return unknown("queue", name, known, "shared.queues");
    }
    if (std::string problem = problem_with(request, *found); !problem.empty()) {
        return refusal(std::move(problem));
    }
    shm::JobTerms terms;
    terms.now_ns = shm::JobQueue::monotonic_ns();
    terms.priority = request.priority;
    if (request.deadline) {
        terms.deadline_ns = terms.now_ns + static_cast<std::uint64_t>(
                                               std::chrono::nanoseconds(*request.deadline).count());
    }
    shm::JobQueue queue = segment.queue(static_cast<std::size_t>(found - queues.begin()));
    const auto id = queue.submit({}, std::as_bytes(std::span(request.item)), terms);
    if (!id) {
        return refusal("queue " + name + " is full, with " + std::to_string(found->shape.capacity) +
                       " jobs");
    }
    control::JsonWriter w;
    // A string: the numbers of JavaScript end at 2^53.
    w.begin_object().member("queue", name).member("job", std::to_string(*id)).end_object();
    control::Response response{"done", std::to_string(*id), {}};
    response.details = w.take();
    response.details_key = "job";
    return response;
}

}  // namespace topsman::supervisor
