#include "supervisor/control/queue_view.hpp"

#include "supervisor/control/text.hpp"

#include <algorithm>

namespace topsman::control {
namespace {

using shm::JobRecord;
using shm::JobState;
using shm::JobWord;

constexpr std::size_t kPreview = 60;

double age(const JobRecord& record, std::int64_t now_ns) {
    const std::uint64_t since = record.since_ns.load(std::memory_order_relaxed);
    const auto now = static_cast<std::uint64_t>(now_ns);
    return since == 0 || since > now ? 0 : static_cast<double>(now - since) / 1e9;
}

/// Where those that wait for their end or run are counted.
std::uint32_t* place_of(QueueLine& line, JobState state) {
    switch (state) {
        case JobState::Ready:
            return &line.ready;
        case JobState::Later:
            return &line.later;
        case JobState::Running:
            return &line.running;
        default:
            return nullptr;
    }
}

QueueLine read_queue(const shm::NamedQueue& named, const shm::JobQueue& queue,
                     std::int64_t now_ns) {
    QueueLine line;
    line.name = printable(named.name);
    line.capacity = named.shape.capacity;
    line.item_size = named.shape.item_size;
    line.max_attempts = named.shape.max_attempts;
    line.priorities = named.shape.priorities;
    line.illegal = queue.control().illegal.load(std::memory_order_relaxed);
    for (std::uint32_t number = 0; number < line.capacity; ++number) {
        const JobRecord& record = queue.record(number);
        const JobWord word = JobWord::unpack(record.word.load(std::memory_order_acquire));
        if (word.state == JobState::Dead) {
            ++line.dead;
        } else if (word.state == JobState::Done) {
            ++line.done;
        } else if (std::uint32_t* jobs = place_of(line, word.state)) {
            ++*jobs;
            line.again += word.attempts > (word.state == JobState::Running ? 1U : 0U) ? 1 : 0;
            line.most_attempts = std::max(line.most_attempts, word.attempts);
            if (word.state == JobState::Ready) {
                line.oldest_s = std::max(line.oldest_s, age(record, now_ns));
            }
        }
    }
    return line;
}

/// Copied, and looked at again: it may have been dropped and its place be used anew meanwhile.
std::optional<DeadLetterLine> read_dead_letter(const shm::JobQueue& queue, std::uint32_t number,
                                               std::int64_t now_ns) {
    const JobRecord& record = queue.record(number);
    const std::uint64_t packed = record.word.load(std::memory_order_acquire);
    const JobWord word = JobWord::unpack(packed);
    if (word.state != JobState::Dead) {
        return std::nullopt;
    }
    DeadLetterLine line{
        .id = shm::job_id(number, packed),
        .age_s = age(record, now_ns),
        .attempts = word.attempts,
        .is_late = word.generation == JobWord::kTooLate,
        .size = std::min(record.length.load(std::memory_order_relaxed), queue.shape().item_size),
        .text = {}};
    const auto* text = reinterpret_cast<const char*>(queue.item(number));
    line.text = printable(std::string(text, std::min<std::size_t>(line.size, kPreview)));
    std::atomic_thread_fence(std::memory_order_acquire);
    if (record.word.load(std::memory_order_relaxed) != packed) {
        return std::nullopt;
    }
    return line;
}

}  // namespace

std::vector<QueueLine> read_queues(const shm::Segment& segment, std::int64_t now_ns) {
    std::vector<QueueLine> lines;
    const auto queues = segment.queues();
    for (std::size_t i = 0; i < queues.size(); ++i) {
        lines.push_back(read_queue(queues[i], segment.queue(i), now_ns));
    }
    return lines;
}

std::optional<std::vector<DeadLetterLine>> read_dead_letters(const shm::Segment& segment,
                                                             const std::string& queue,
                                                             std::int64_t now_ns,
                                                             std::size_t most) {
    const auto queues = segment.queues();
    const auto found = std::find_if(queues.begin(), queues.end(),
                                    [&](const auto& one) { return one.name == queue; });
    if (found == queues.end()) {
        return std::nullopt;
    }
    const shm::JobQueue view = segment.queue(static_cast<std::size_t>(found - queues.begin()));
    std::vector<DeadLetterLine> lines;
    for (std::uint32_t number = 0; number < found->shape.capacity && lines.size() < most;
         ++number) {
        if (auto line = read_dead_letter(view, number, now_ns)) {
            lines.push_back(*std::move(line));
        }
    }
    return lines;
}

}  // namespace topsman::control
