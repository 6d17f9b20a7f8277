#include "topsman/job_queue.hpp"

#include "shm/fence.hpp"
#include "shm/job_queue_path.hpp"
#include "worker/queue_state.hpp"

#include <algorithm>
#include <ctime>
#include <mutex>

namespace topsman {

namespace {

using detail::can_be_submitted;
using detail::full_now;
using detail::is_leaving;
using detail::problem_with;
using detail::Process;
using detail::QueueState;
using detail::refusal;
using detail::still_full;
using detail::terms_of;

// Coarse: a few nanoseconds instead of twenty, and ages are shown in tenths of seconds.
std::uint64_t coarse_now_ns() noexcept {
    timespec now;  // NOLINT(cppcoreguidelines-pro-type-member-init): the call is there to fill it
    (void)::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

shm::JobTerms detail::terms_of(const JobOptions& options) noexcept {
    std::uint64_t deadline_ns = 0;
    if (options.deadline != JobOptions::Deadline::max()) {
        const auto at = std::chrono::nanoseconds(options.deadline.time_since_epoch()).count();
        deadline_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(at, 1));
    }
    return {coarse_now_ns(), deadline_ns, options.priority};
}

/// Why this item cannot be submitted at all.
Error detail::problem_with(const QueueState& state, std::size_t size, const JobOptions& options) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    if (options.priority >= state.queue.shape().priorities) {
        return refusal(state,
                       "there is no priority " + std::to_string(options.priority) +
                           ", its priorities end at " +
                           std::to_string(state.queue.shape().priorities - 1),
                       std::errc::invalid_argument);
    }
    return refusal(state,
                   "an item has at most " + std::to_string(state.queue.shape().item_size) +
                       " bytes, this one has " + std::to_string(size),
                   std::errc::message_size);
}

Error detail::full_now(const QueueState& state) {
    return refusal(state, "full, with " + std::to_string(state.queue.shape().capacity) + " jobs",
                   std::errc::no_buffer_space);
}

/// In spite of all patience.
Error detail::still_full(const QueueState& state) {
    return is_leaving()
               ? refusal(state, "full, and this worker drains", std::errc::operation_canceled)
               : refusal(state, "full until the deadline", std::errc::timed_out);
}

namespace {

Result<std::shared_ptr<QueueState>> find_queue(Process& process, std::string_view name) {
    const auto queues = process.segment->queues();
    const auto found = std::find_if(queues.begin(), queues.end(),
                                    [name](const auto& one) { return one.name == name; });
    if (found == queues.end() && process.segment->look_again()) {
        return find_queue(process, name);  // a reload has added some
    }
    if (found == queues.end()) {
        return plain_error("queue " + std::string(name) +
                               ": the cluster's file has none of that name: write shared: { "
                               "queues: { " +
                               std::string(name) + ": {} } }",
                           std::errc::no_such_file_or_directory);
    }
    return std::make_shared<QueueState>(
        QueueState{std::string(name), process.owner, nullptr,
                   process.segment->queue(static_cast<std::size_t>(found - queues.begin()))});
}

Result<std::shared_ptr<QueueState>> make_own(const Process& process, std::string_view name,
                                             const QueueSize& size) {
    const shm::QueueShape shape{size.capacity,   size.item_size, size.max_attempts,
                                size.priorities, size.dedup,     size.result_size};
    if (!shm::is_sound(shape)) {
        return plain_error("queue " + std::string(name) + ": capacity is 1 to " +
                           std::to_string(shm::kMaxQueueCapacity) + ", item_size 1 to " +
                           std::to_string(shm::kMaxItemBytes) + ", max_attempts 1 to " +
                           std::to_string(shm::kMaxAttempts) + ", priorities 1 to " +
                           std::to_string(shm::kMaxPriorities) + ", result_size 0 to " +
                           std::to_string(shm::kMaxItemBytes));
    }
    // Zero bytes are an empty queue.
    auto memory =
        std::make_unique<QueueState::Line[]>(shm::queue_bytes(shape) / sizeof(QueueState::Line));
    std::byte* begin = memory[0].bytes;
    return std::make_shared<QueueState>(QueueState{std::string(name), process.owner,
                                                   std::move(memory),
                                                   shm::JobQueue(begin, shape, process.lanes)});
}

}  // namespace

Result<JobQueue> Worker::queue(std::string_view name, const QueueSize& alone) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const std::scoped_lock hold(process_->names_lock);
    auto known = process_->queues.find(name);
    if (known == process_->queues.end()) {
        auto state =
            process_->segment ? find_queue(*process_, name) : make_own(*process_, name, alone);
        if (!state) {
            return state.error();
        }
        shm::join_fences();
        (*state)->queue.join(process_->owner);
        known = process_->queues.emplace(std::string(name), std::move(*state)).first;
    }
    return JobQueue(known->second.get());
}

Result<JobId> JobQueue::submit(std::span<const std::byte> item, const JobOptions& options) {
    return submit_until(item, Deadline::max(), options);
}

Result<JobId> JobQueue::try_submit(std::span<const std::byte> item, const JobOptions& options) {
    if (!can_be_submitted(*state_, item.size(), options)) {
        return problem_with(*state_, item.size(), options);
    }
    const auto id = state_->queue.submit(state_->owner, item, terms_of(options));
    if (!id) {
        return full_now(*state_);
    }
    return *id;
}

Result<JobId> JobQueue::submit_until(std::span<const std::byte> item, Deadline deadline,
                                     const JobOptions& options) {
    if (!can_be_submitted(*state_, item.size(), options)) {
        return problem_with(*state_, item.size(), options);
    }
    const shm::JobTerms terms = terms_of(options);
    const shm::SubmittedWord ready = state_->queue.submit_here(state_->owner, item, terms);
    if (ready.word != 0) {
        return shm::job_id(ready.number, ready.word);
    }
    const auto id = state_->queue.submit_until(state_->owner, item, terms, deadline, &is_leaving);
    if (id) {
        return *id;
    }
    return still_full(*state_);
}

namespace {

/// Why no job can be submitted with this key; no error when it can.
std::optional<Error> problem_with_key(const QueueState& state, std::string_view key) {
    if (!state.queue.shape().has_keys) {
        return refusal(state, "jobs have no keys here: write dedup: true",
                       std::errc::operation_not_supported);
    }
    if (key.empty()) {
        return refusal(state, "a key has 1 to 64 bytes, this one is empty",
                       std::errc::invalid_argument);
    }
    if (key.size() > shm::JobKey::kMostBytes) {
        return refusal(
            state,
            "a key has at most 64 bytes, this one has " + std::to_string(key.size()) + ": hash it",
            std::errc::message_size);
    }
    return std::nullopt;
}

}  // namespace

Result<SubmittedOnce> JobQueue::submit_once(std::string_view key, std::span<const std::byte> item,
                                            const JobOptions& options) {
    return submit_once_until(key, item, Deadline::max(), options);
}

Result<SubmittedOnce> JobQueue::try_submit_once(std::string_view key,
                                                std::span<const std::byte> item,
                                                const JobOptions& options) {
    return submit_once_until(key, item, Deadline{}, options);
}

Result<SubmittedOnce> JobQueue::submit_once_until(std::string_view key,
                                                  std::span<const std::byte> item,
                                                  Deadline deadline, const JobOptions& options) {
    if (!can_be_submitted(*state_, item.size(), options)) {
        return problem_with(*state_, item.size(), options);
    }
    if (auto problem = problem_with_key(*state_, key)) {
        return *std::move(problem);
    }
    const shm::JobKey whole(bytes_of(key));
    const shm::JobTerms terms = terms_of(options);
    auto submitted = state_->queue.submit_once(state_->owner, whole, item, terms);
    if (!submitted && deadline == Deadline{}) {
        return full_now(*state_);
    }
    if (!submitted) {
        submitted = state_->queue.submit_once_until(state_->owner, whole, item, terms, deadline,
                                                    &is_leaving);
    }
    if (!submitted) {
        return still_full(*state_);
    }
    return SubmittedOnce{submitted->id, submitted->is_new};
}

namespace {

std::size_t longest_of(std::span<const std::string_view> items) noexcept {
    std::size_t longest = 0;
    for (const std::string_view item : items) {
        longest = std::max(longest, item.size());
    }
    return longest;
}

/// How many `submit` accepts, from the first on.
template <class Submit>
std::size_t count_submitted(std::span<const std::string_view> items, Submit&& submit) {
    const auto refused = std::find_if_not(items.begin(), items.end(), [&](std::string_view item) {
        return submit(std::as_bytes(std::span(item.data(), item.size()))).has_value();
    });
    return static_cast<std::size_t>(refused - items.begin());
}

}  // namespace

Result<std::size_t> JobQueue::submit_all(std::span<const std::string_view> items,
                                         const JobOptions& options) {
    if (const std::size_t size = longest_of(items); !can_be_submitted(*state_, size, options)) {
        return problem_with(*state_, size, options);
    }
    return count_submitted(items, [&, terms = terms_of(options)](std::span<const std::byte> item) {
        return state_->queue.submit_until(state_->owner, item, terms, Deadline::max(), &is_leaving);
    });
}

Result<std::size_t> JobQueue::try_submit_all(std::span<const std::string_view> items,
                                             const JobOptions& options) {
    if (const std::size_t size = longest_of(items); !can_be_submitted(*state_, size, options)) {
        return problem_with(*state_, size, options);
    }
    return count_submitted(items, [&, terms = terms_of(options)](std::span<const std::byte> item) {
        return state_->queue.submit(state_->owner, item, terms);
    });
}

/// In place: a Job that is moved twice costs as much as an exchange.
inline Result<std::optional<Job>> JobQueue::handed_out(std::uint64_t word, std::uint32_t number,
                                                       std::uint32_t length) const noexcept {
    return {boost::system::in_place_value,
            Job(state_, number, word, state_->queue.item(number), length)};
}

Result<std::optional<Job>> JobQueue::take() {
    return take_until(Deadline::max());
}

Result<std::optional<Job>> JobQueue::try_take() {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const shm::TakenWord taken = state_->queue.take_word(state_->owner);
    if (taken.word == 0) {
        return std::nullopt;
    }
    return handed_out(taken.word, taken.number, taken.length);
}

Result<std::optional<Job>> JobQueue::take_until(Deadline deadline) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const shm::TakenWord now = state_->queue.take_here(state_->owner, &shm::JobQueue::monotonic_ns);
    if (now.word != 0) {
        return handed_out(now.word, now.number, now.length);
    }
    const auto taken = state_->queue.take_until(state_->owner, deadline, &is_leaving);
    return taken ? handed_out(taken->word, taken->number,
                              static_cast<std::uint32_t>(taken->item.size()))
                 : std::nullopt;
}

QueueSize JobQueue::size() const noexcept {
    const shm::QueueShape& shape = state_->queue.shape();
    return {shape.capacity,   shape.item_size, shape.max_attempts,
            shape.priorities, shape.has_keys,  shape.result_size};
}

Job& Job::operator=(Job&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(number_, other.number_);
    std::swap(word_, other.word_);
    std::swap(item_, other.item_);
    std::swap(length_, other.length_);
    return *this;
}

void Job::give_back() noexcept {
    (void)nack();
}

JobId Job::id() const noexcept {
    return shm::job_id(number_, word_);
}

std::uint32_t Job::attempt() const noexcept {
    return shm::JobWord::unpack(word_).attempts;
}

Result<void> Job::ack() {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    QueueState* state = std::exchange(state_, nullptr);
    if (state == nullptr || !state->queue.ack_here(number_, word_)) {
        return plain_error("this job has ended already", std::errc::operation_not_permitted);
    }
    return {};
}

Result<void> Job::nack(std::chrono::nanoseconds delay) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const auto wait = static_cast<std::uint64_t>(std::max<std::int64_t>(delay.count(), 0));
    const std::uint64_t not_before = wait == 0 ? 0 : shm::JobQueue::monotonic_ns() + wait;
    QueueState* state = std::exchange(state_, nullptr);
    if (state == nullptr ||
        state->queue.nack({number_, word_, item()}, not_before) == shm::NackResult::NotYours) {
        return plain_error("this job has ended already", std::errc::operation_not_permitted);
    }
    return {};
}

}  // namespace topsman
