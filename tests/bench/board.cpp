#include "tests/bench/board.hpp"

#include "tests/bench/bare_process.hpp"
#include "tests/bench/stamp.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <poll.h>
#include <unistd.h>

namespace topsman::bench {
namespace {

constexpr std::int64_t kPatienceNs = 60'000'000'000;
constexpr int kLookEveryMs = 5;

std::int64_t number_or(const boost::json::object& object, const char* key, std::int64_t otherwise) {
    const auto* value = object.if_contains(key);
    return value != nullptr && value->is_number() ? value->to_number<std::int64_t>() : otherwise;
}

std::optional<WorkerEvent> parse(const std::string& json) {
    boost::system::error_code error;
    const auto value = boost::json::parse(json, error);
    if (error || !value.is_object()) {
        return std::nullopt;
    }
    const auto& object = value.as_object();
    const auto* name = object.if_contains("event");
    if (name == nullptr || !name->is_string() || !name->as_string().starts_with("worker.")) {
        return std::nullopt;
    }
    return WorkerEvent{std::string(name->as_string()), number_or(object, "slot", -1),
                       number_or(object, "pid", -1)};
}

}  // namespace

EventFollower::EventFollower(const shm::Segment& segment)
    : ring_(segment.events()), seen_(ring_.last_seq()) {}

std::optional<WorkerEvent> EventFollower::next(std::int64_t deadline_ns) {
    const std::chrono::steady_clock::time_point deadline{std::chrono::nanoseconds(deadline_ns)};
    while (pending_.empty()) {
        if (!ring_.wait(seen_, deadline)) {
            return std::nullopt;
        }
        for (const shm::EventLine& line : ring_.read_since(seen_)) {
            seen_ = line.seq;
            if (auto event = parse(line.json)) {
                pending_.push_back(std::move(*event));
            }
        }
    }
    WorkerEvent event = std::move(pending_.front());
    pending_.erase(pending_.begin());
    return event;
}

std::vector<shm::WorkerRecord> serving_workers(const shm::Segment& segment) {
    std::vector<shm::WorkerRecord> found;
    const std::size_t lanes = segment.lanes().size();
    for (std::size_t i = 0; i < lanes; ++i) {
        shm::WorkerRecord record{};
        if (segment.scoreboard().workers[i].load(record) && record.worker != 0 &&
            record.state == shm::WorkerState::Serving) {
            found.push_back(record);
        }
    }
    return found;
}

shm::Segment wait_for_workers(const std::string& cluster, std::size_t count) {
    const std::int64_t deadline = now_ns() + kPatienceNs;
    const std::string name = shm::segment_name(cluster, ::geteuid());
    std::string why = "no segment";
    while (now_ns() < deadline) {
        // A segment that is half made or left by another master is looked at again.
        if (auto segment = shm::Segment::open_read_only(name)) {
            const std::size_t serving = serving_workers(*segment).size();
            if (serving >= count) {
                return std::move(*segment);
            }
            why = std::to_string(serving) + " of " + std::to_string(count) + " workers serve";
        }
        (void)::poll(nullptr, 0, kLookEveryMs);
    }
    die(cluster + ": " + why + " after 60 s");
}

}  // namespace topsman::bench
