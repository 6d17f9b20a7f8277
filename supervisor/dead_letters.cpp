#include "supervisor/dead_letters.hpp"

#include <algorithm>

namespace topsman::supervisor {
namespace {

/// How many of them there were and are not any more.
std::uint32_t change_all(shm::JobQueue& queue, bool retry) {
    std::uint32_t changed = 0;
    for (std::uint32_t number = 0; number < queue.shape().capacity; ++number) {
        const std::uint64_t word = queue.record(number).word.load(std::memory_order_acquire);
        if (shm::JobWord::unpack(word).state == shm::JobState::Dead) {
            const shm::JobId id = shm::job_id(number, word);
            changed += (retry ? queue.retry(id) : queue.drop(id)) ? 1U : 0U;
        }
    }
    return changed;
}

}  // namespace

control::Response change_dead_letters(const shm::Segment& segment,
                                      const control::Request& request) {
    const std::string name = request.queue.value_or("");
    const auto queues = segment.queues();
    const auto found = std::find_if(queues.begin(), queues.end(),
                                    [&](const auto& queue) { return queue.name == name; });
    if (found == queues.end()) {
        return {"failed", "there is no queue " + name, {}};
    }
    shm::JobQueue queue = segment.queue(static_cast<std::size_t>(found - queues.begin()));
    const bool retry = request.mode == "retry";
    const std::string done = retry ? " will be tried again" : " dropped";
    if (!request.job) {
        const std::uint32_t changed = change_all(queue, retry);
        return {"done",
                std::to_string(changed) + (changed == 1 ? " dead letter" : " dead letters") + done,
                {}};
    }
    if (!(retry ? queue.retry(*request.job) : queue.drop(*request.job))) {
        return {
            "failed", "queue " + name + " has no dead letter " + std::to_string(*request.job), {}};
    }
    return {"done", "dead letter " + std::to_string(*request.job) + done, {}};
}

}  // namespace topsman::supervisor
