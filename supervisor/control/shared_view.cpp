#include "supervisor/control/shared_view.hpp"

#include "shm/barrier.hpp"
#include "shm/bounded_counter.hpp"
#include "shm/event.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "supervisor/control/text.hpp"

#include <algorithm>
#include <cstdint>

namespace topsman::control {
namespace {

using shm::NameKind;
using Entry = shm::NameTable::Entry;

std::uint32_t waiting_at(const shm::Parking& parking, std::size_t lanes) {
    std::uint32_t waiting = 0;
    for (std::uint32_t lane = 1; lane < lanes; ++lane) {
        waiting += parking.has(lane) ? 1U : 0U;
    }
    return waiting;
}

SharedLine line_of(const char* kind, const Entry& entry) {
    return {.kind = kind, .name = printable(entry.name), .state = {}};
}

void show_atomic(SharedLine& line, const Entry& entry, const shm::SharedObject& object) {
    const std::uint64_t word = object.word[0].load(std::memory_order_relaxed);
    const std::int64_t value = entry.size == 4
                                   ? static_cast<std::int32_t>(static_cast<std::uint32_t>(word))
                                   : static_cast<std::int64_t>(word);
    line.state = std::to_string(value);
    line.numbers = {{"value", value}};
}

/// "1ms", "333us": what a person can use of it.
std::string interval_text(std::uint64_t ns) {
    if (ns < 10'000) {
        return std::to_string(ns) + "ns";
    }
    if (ns < 10'000'000) {
        return std::to_string(ns / 1'000) + "us";
    }
    return ns < 10'000'000'000 ? std::to_string(ns / 1'000'000) + "ms"
                               : std::to_string(ns / 1'000'000'000) + "s";
}

std::int64_t shown(std::uint64_t number) {
    return static_cast<std::int64_t>(std::min<std::uint64_t>(number, INT64_MAX));
}

void show_bounded_counter(SharedLine& line, shm::SharedObject& object) {
    const shm::BoundedCounter counter(object);
    line.state = std::to_string(counter.value()) + " of " + std::to_string(counter.limit());
    line.numbers = {{"value", shown(counter.value())}, {"limit", shown(counter.limit())}};
}

void show_rate_limit(SharedLine& line, shm::SharedObject& object) {
    const shm::RateLimit limit(object);
    const shm::RateLimit::Rule rule = limit.rule();
    const std::uint64_t available = limit.available(shm::monotonic_ns());
    line.state = std::to_string(available) + " of " + std::to_string(rule.burst) +
                 " left, one every " + interval_text(rule.interval_ns);
    line.numbers = {{"available", shown(available)},
                    {"burst", rule.burst},
                    {"interval_ns", shown(rule.interval_ns)}};
}

void show_event(SharedLine& line, shm::SharedObject& object) {
    const shm::Event event(object);
    line.state = event.is_set() ? "set" : "not set";
    line.state += event.kind() == shm::Reset::Auto ? ", automatic" : ", manual";
    line.numbers = {{"set", event.is_set() ? 1 : 0}};
}

std::vector<SharedLine> read_objects(const shm::Segment& segment) {
    std::vector<SharedLine> lines;
    const auto objects = segment.objects();
    for (const Entry& entry : segment.object_names().entries()) {
        if (entry.row >= objects.size()) {
            continue;
        }
        shm::SharedObject& object = objects[entry.row];
        SharedLine line = line_of("", entry);
        if (entry.kind == NameKind::Atomic) {
            line.kind = "atomic";
            show_atomic(line, entry, object);
        } else if (entry.kind == NameKind::BoundedCounter) {
            line.kind = "bounded counter";
            show_bounded_counter(line, object);
        } else if (entry.kind == NameKind::RateLimit) {
            line.kind = "rate limit";
            show_rate_limit(line, object);
        } else if (entry.kind == NameKind::Event) {
            line.kind = "event";
            show_event(line, object);
        } else {
            continue;
        }
        line.waiting = waiting_at(object.parking, segment.lanes().size());
        lines.push_back(std::move(line));
    }
    return lines;
}

/// False: its bytes make no sense.
bool show_array(SharedLine& line, const Entry& entry, const shm::SharedArrayStorage& array) {
    const std::uint32_t bytes = array.element_bytes;
    if (bytes != 4 && bytes != 8) {
        return false;
    }
    const std::uint32_t elements = entry.size / bytes;
    line.state = std::to_string(elements) + " of " + std::to_string(bytes) + " bytes";
    line.numbers = {{"elements", elements}, {"element_bytes", bytes}};
    return true;
}

void show_semaphore(SharedLine& line, shm::SharedArrayStorage& array) {
    const shm::Semaphore semaphore(array);
    line.state =
        std::to_string(semaphore.taken()) + " of " + std::to_string(semaphore.permits()) + " taken";
    line.numbers = {{"taken", semaphore.taken()}, {"permits", semaphore.permits()}};
}

void show_barrier(SharedLine& line, shm::SharedArrayStorage& array) {
    const shm::Barrier barrier(array);
    line.state = std::to_string(barrier.arrived()) + " of " + std::to_string(barrier.parties()) +
                 " have arrived";
    line.numbers = {{"arrived", barrier.arrived()}, {"parties", barrier.parties()}};
}

void read_arrays(const shm::Segment& segment, std::vector<SharedLine>& lines) {
    const auto arrays = segment.arrays();
    for (const Entry& entry : segment.array_names().entries()) {
        if (entry.row >= arrays.size()) {
            continue;
        }
        shm::SharedArrayStorage& array = arrays[entry.row];
        SharedLine line = line_of("array", entry);
        if (entry.kind == NameKind::Semaphore) {
            line.kind = "semaphore";
            show_semaphore(line, array);
        } else if (entry.kind == NameKind::Barrier) {
            line.kind = "barrier";
            show_barrier(line, array);
        } else if (entry.kind != NameKind::Array || !show_array(line, entry, array)) {
            continue;
        }
        for (const shm::Parking& parking : array.parking) {
            line.waiting += waiting_at(parking, segment.lanes().size());
        }
        lines.push_back(std::move(line));
    }
}

void read_histograms(const shm::Segment& segment, std::vector<SharedLine>& lines) {
    for (std::size_t i = 0; i < segment.histograms().size(); ++i) {
        const LogLinearCounts counts = segment.histogram(i).merged();
        SharedLine line{
            .kind = "histogram", .name = printable(segment.histograms()[i]), .state = {}};
        line.state = "p50 " + std::to_string(counts.percentile(50)) + ", p99 " +
                     std::to_string(counts.percentile(99)) + ", max " +
                     std::to_string(counts.max()) + " of " + std::to_string(counts.count());
        line.numbers = {
            {"count", shown(counts.count())},         {"p50", shown(counts.percentile(50))},
            {"p90", shown(counts.percentile(90))},    {"p99", shown(counts.percentile(99))},
            {"p999", shown(counts.percentile(99.9))}, {"max", shown(counts.max())}};
        lines.push_back(std::move(line));
    }
}

void read_channels(const shm::Segment& segment, std::vector<SharedLine>& lines) {
    const std::size_t lanes = segment.lanes().size();
    for (std::size_t i = 0; i < segment.channels().size(); ++i) {
        const shm::Channel channel = segment.channel(i);
        std::uint64_t unread = 0;
        std::uint64_t away = 0;
        std::uint32_t receiving = 0;
        SharedLine line{
            .kind = "channel", .name = printable(segment.channels()[i].name), .state = {}};
        line.waiting = waiting_at(channel.control().senders, lanes);
        for (std::uint32_t slot = 0; slot < channel.shape().slots; ++slot) {
            (slot < channel.slots() ? unread : away) += channel.unread(slot);
            receiving += channel.has_receiver(slot) ? 1U : 0U;
            line.waiting += waiting_at(channel.inbox(slot).receivers, lanes) +
                            waiting_at(channel.inbox(slot).senders, lanes);
        }
        const std::uint64_t illegal = channel.control().illegal.load(std::memory_order_relaxed);
        line.state = std::to_string(unread) + " unread, " + std::to_string(receiving) + " of " +
                     std::to_string(channel.slots()) + " workers of " +
                     printable(segment.channels()[i].pool) + " receive" +
                     (away == 0 ? "" : ", " + std::to_string(away) + " for slots that are gone") +
                     (illegal == 0 ? "" : ", " + std::to_string(illegal) + " overwritten");
        line.numbers = {{"unread", shown(unread)},
                        {"unread_of_gone_slots", shown(away)},
                        {"receiving", receiving},
                        {"slots", channel.slots()},
                        {"capacity", channel.shape().capacity},
                        {"message_size", channel.shape().message_size},
                        {"illegal", shown(illegal)}};
        lines.push_back(std::move(line));
    }
}

void read_blocks(const shm::Segment& segment, std::vector<SharedLine>& lines) {
    const shm::BlockPool pool = segment.blocks();
    for (std::size_t i = 0; i < segment.block_classes().size(); ++i) {
        const shm::BlockClass& one = segment.block_classes()[i];
        if (one.count == 0) {
            continue;
        }
        const shm::BlockUsage usage = pool.usage(i);
        SharedLine line{.kind = "blocks", .name = exact_size(one.size), .state = {}};
        line.state = std::to_string(usage.used) + " of " + std::to_string(one.count) + " in use";
        if (usage.illegal != 0) {
            line.state += ", " + std::to_string(usage.illegal) + " quarantined";
        }
        line.numbers = {{"size", shown(usage.size)},
                        {"used", shown(usage.used)},
                        {"free", shown(usage.free)},
                        {"quarantined", shown(usage.illegal)}};
        lines.push_back(std::move(line));
    }
}

}  // namespace

std::vector<SharedLine> read_shared(const shm::Segment& segment) {
    std::vector<SharedLine> lines = read_objects(segment);
    read_arrays(segment, lines);
    read_histograms(segment, lines);
    read_channels(segment, lines);
    read_blocks(segment, lines);
    return lines;
}

}  // namespace topsman::control
