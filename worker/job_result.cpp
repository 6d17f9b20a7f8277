// Jobs whose submitter waits for the result.

#include "worker/queue_state.hpp"

namespace topsman {
namespace {

using detail::QueueState;
using detail::refusal;

Error no_results(const QueueState& state) {
    return refusal(state, "jobs have no results here: write result_size: 256",
                   std::errc::operation_not_supported);
}

/// Why there will be no result.
Error failure(const QueueState& state, JobId id, const shm::Answer& answer) {
    const std::string job = "job " + std::to_string(id);
    if (answer.state == shm::AnswerState::DeadLetter) {
        return refusal(state,
                       job + " was tried " + std::to_string(answer.attempts) +
                           " times in vain and is a dead letter: see topsman queues " + state.name,
                       std::errc::io_error);
    }
    if (answer.state == shm::AnswerState::TooLate) {
        return refusal(state, job + " was not taken before its deadline",
                       std::errc::stream_timeout);
    }
    return refusal(state, job + " was a dead letter, and was dropped",
                   std::errc::operation_canceled);
}

/// The wait for a result goes on while the worker drains: it is part of what it has begun.
bool is_detached() noexcept {
    return detail::is_detached();
}

}  // namespace

Result<JobResult> JobQueue::ask(std::span<const std::byte> item, const JobOptions& options) {
    return ask_until(item, Deadline::max(), options);
}

Result<JobResult> JobQueue::try_ask(std::span<const std::byte> item, const JobOptions& options) {
    return ask_until(item, Deadline{}, options);
}

Result<JobResult> JobQueue::ask_until(std::span<const std::byte> item, Deadline deadline,
                                      const JobOptions& options) {
    if (!detail::can_be_submitted(*state_, item.size(), options)) {
        return detail::problem_with(*state_, item.size(), options);
    }
    if (state_->queue.shape().result_size == 0) {
        return no_results(*state_);
    }
    const shm::JobTerms terms = detail::terms_of(options);
    auto id = state_->queue.ask(state_->owner, item, terms);
    if (!id && deadline == Deadline{}) {
        return detail::full_now(*state_);
    }
    if (!id) {
        id = state_->queue.ask_until(state_->owner, item, terms, deadline, &detail::is_leaving);
    }
    if (!id) {
        return detail::still_full(*state_);
    }
    return JobResult(state_, *id);
}

JobResult& JobResult::operator=(JobResult&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(id_, other.id_);
    return *this;
}

void JobResult::withdraw() noexcept {
    // A forked child has the handle, but what it asked for is its parent's.
    if (!detail::is_detached()) {
        state_->queue.withdraw(state_->owner, id_);
    }
    state_ = nullptr;
}

Result<std::string> JobResult::get_until(Deadline deadline) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    if (state_ == nullptr) {
        return plain_error("this result was got already", std::errc::operation_not_permitted);
    }
    const shm::Answer answer = state_->queue.wait_for(state_->owner, id_, deadline, &is_detached);
    if (answer.state == shm::AnswerState::NotYet) {
        return refusal(*state_, "job " + std::to_string(id_) + " has no result until the deadline",
                       std::errc::timed_out);
    }
    if (answer.state != shm::AnswerState::Done) {
        Error why = failure(*state_, id_, answer);
        withdraw();
        return why;
    }
    std::string result(reinterpret_cast<const char*>(answer.result.data()), answer.result.size());
    withdraw();
    return result;
}

Result<void> Job::ack(std::span<const std::byte> result) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    if (state_ != nullptr && state_->queue.shape().result_size == 0) {
        return no_results(*state_);
    }
    if (state_ != nullptr && result.size() > state_->queue.shape().result_size) {
        return refusal(*state_,
                       "a result has at most " + std::to_string(state_->queue.shape().result_size) +
                           " bytes, this one has " + std::to_string(result.size()),
                       std::errc::message_size);
    }
    QueueState* state = std::exchange(state_, nullptr);
    if (state == nullptr || !state->queue.ack(number_, word_, result)) {
        return plain_error("this job has ended already", std::errc::operation_not_permitted);
    }
    return {};
}

}  // namespace topsman
