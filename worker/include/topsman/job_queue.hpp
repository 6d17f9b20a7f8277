#pragma once

#include "shm/base/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace topsman {

namespace detail {
struct QueueState;
}

/// Names one submitted job; shown by `topsman queues`.
using JobId = std::uint64_t;

/// The size of a queue for a process that runs without a supervisor. In a cluster the file says it:
/// `shared: { queues: { thumbnails: { capacity: 1024, item_size: 256, max_attempts: 3 } } }`.
struct QueueSize {
    std::uint32_t capacity = 1'024;  ///< jobs: waiting, running and dead letters together
    std::uint32_t item_size = 256;   ///< bytes of the longest item
    std::uint32_t max_attempts = 3;
    std::uint32_t priorities = 1;   ///< 0 and up, at most 8; the highest is taken first
    bool dedup = false;             ///< jobs may have keys: see JobQueue::submit_once()
    std::uint32_t result_size = 0;  ///< bytes of the longest result: see ask(); 0: no results
};

/// What may be said of a job when it is submitted.
struct JobOptions {
    using Deadline = std::chrono::steady_clock::time_point;

    /// Not taken by a worker before it (nor again after a nack or a death) it is not executed any
    /// more: it becomes a dead letter as soon as a worker comes to it. A job that runs may go on.
    Deadline deadline = Deadline::max();
    /// Below the queue's `priorities` (1 unless the file says more). A job is taken only when none
    /// of a higher one is ready: as long as these come in fast enough, it waits.
    std::uint32_t priority = 0;
};

/// What became of a submit_once().
struct SubmittedOnce {
    JobId id = 0;         ///< of the job that has the key
    bool is_new = false;  ///< false: it was there already
};

/// A job that this worker has taken, to be ended by ack() or nack(). Move-only; when it is
/// destroyed before, it is nacked. Errors of ack() and nack(): `std::errc::not_connected` in a
/// forked child of the worker; `std::errc::operation_not_permitted` when it was ended already.
/// Threads: one at a time.
class Job {
  public:
    Job(Job&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)),
          number_(other.number_),
          item_(other.item_),
          length_(other.length_),
          word_(other.word_) {}

    Job& operator=(Job&& other) noexcept;
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    ~Job() {
        if (state_ != nullptr) {
            give_back();
        }
    }

    /// What was submitted; in shared memory, not copied. Not to be used after ack() or nack().
    [[nodiscard]] std::span<const std::byte> item() const noexcept { return {item_, length_}; }

    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(item_), length_};
    }

    [[nodiscard]] JobId id() const noexcept;
    /// The how manieth time it was taken, from 1 on.
    [[nodiscard]] std::uint32_t attempt() const noexcept;

    /// It is done, and will not be executed again. Who has asked for its result gets an empty one.
    Result<void> ack();

    /// The same, with the result for who has asked for it; when nobody has (any more) it is as if
    /// there were none. It is copied. Further errors, after which the job is still this worker's:
    /// `std::errc::message_size` it is longer than the queue's `result_size`;
    /// `std::errc::operation_not_supported` the queue has none.
    Result<void> ack(std::span<const std::byte> result);

    Result<void> ack(std::string_view result) {
        return ack(std::as_bytes(std::span(result.data(), result.size())));
    }

    /// It is not done: again, behind the others, or a dead letter after `max_attempts`. With a
    /// delay (rounded up to milliseconds) nobody takes it before that has passed; who waits in
    /// take() wakes up for it.
    Result<void> nack(std::chrono::nanoseconds delay = {});

  private:
    friend class JobQueue;

    Job(detail::QueueState* state, std::uint32_t number, std::uint64_t word, const std::byte* item,
        std::uint32_t length) noexcept
        : state_(state), number_(number), item_(item), length_(length), word_(word) {}

    void give_back() noexcept;

    // In this order no two words can be moved as one, before they have reached the cache one by
    // one.
    detail::QueueState* state_;  ///< null: ended
    std::uint32_t number_;
    const std::byte* item_;
    std::uint32_t length_;
    std::uint64_t word_;
};

/// The result that this worker has asked for, there or still to come. Move-only; when it is
/// destroyed, nobody waits for the result any more, but the job is executed all the same.
///
/// Who executes the job may die: then another one does, and the wait goes on. Returns: the bytes
/// that were given to ack(). Errors: `std::errc::timed_out` not yet, ask again; and for good:
/// `std::errc::io_error` it was tried `max_attempts` times in vain, and is a dead letter;
/// `std::errc::stream_timeout` its own deadline had passed before it was taken;
/// `std::errc::operation_canceled` it was a dead letter, and somebody has dropped it;
/// `std::errc::operation_not_permitted` the result was got before; `std::errc::not_connected` in a
/// forked child of the worker. A worker that drains may still wait: for what it had begun.
/// Threads: one at a time. Kill safety: what a dead worker has asked for is given back by the
/// sweep.
class JobResult {
  public:
    using Deadline = std::chrono::steady_clock::time_point;

    JobResult(JobResult&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)), id_(other.id_) {}

    JobResult& operator=(JobResult&& other) noexcept;
    JobResult(const JobResult&) = delete;
    JobResult& operator=(const JobResult&) = delete;

    ~JobResult() {
        if (state_ != nullptr) {
            withdraw();
        }
    }

    /// The job's.
    [[nodiscard]] JobId id() const noexcept { return id_; }

    /// Waits for it.
    Result<std::string> get() { return get_until(Deadline::max()); }

    Result<std::string> get_until(Deadline deadline);

  private:
    friend class JobQueue;

    JobResult(detail::QueueState* state, JobId id) noexcept : state_(state), id_(id) {}

    void withdraw() noexcept;

    detail::QueueState* state_;  ///< null: got, or given up
    JobId id_;
};

/// A bounded queue of jobs between all workers of the cluster.
///
/// What: submit() copies an item of bytes into shared memory; take() hands out the job that has
/// been ready for longest (among those of the highest priority); ack() ends it. Any worker may do
/// either. Promise: once submit() has returned, the job is executed at least once or becomes a dead
/// letter, whoever dies. The jobs that a dead worker had taken are ready again as soon as it is
/// reaped, behind the others; so a job may be executed twice, and must bear it. Taken
/// `max_attempts` times without an ack it becomes a dead letter: see `topsman queues`, which can
/// retry and drop them. A submit() whose worker died before it returned may have happened or not.
/// Back-pressure: a full queue makes submit() wait, try_submit() refuse, submit_until() wait for so
/// long. Once the worker drains nobody waits any more. Returns: a job's number; take() nothing when
/// the worker drains, try_take() when no job is ready, take_until() when none has been until the
/// deadline. Errors: `std::errc::no_buffer_space` full; `std::errc::timed_out`;
/// `std::errc::operation_canceled` it was full and the worker drains; `std::errc::message_size` the
/// item is too long; `std::errc::not_connected` in a forked child of the worker. Cost: about 0.06
/// us for submit, take and ack of 64 bytes together. No system call unless somebody sleeps; a
/// waiting worker costs no CPU. Threads: any. Kill safety: every change of a job is one exchange of
/// one word, which names its owner; see shm/job_queue.hpp. After Tsigas and Zhang's ring, with
/// owners. The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::JobQueue thumbnails = worker.queue("thumbnails", {.result_size = 16}).value();
///     (void)thumbnails.submit("dog.jpg").value();
///     topsman::JobResult cat = thumbnails.ask("cat.jpg").value();
///     for (int i = 0; i < 2; ++i) {
///         std::optional<topsman::Job> job = thumbnails.take().value();
///         (void)job->ack(job->text() == "cat.jpg" ? "200x160" : "").value();
///     }
///     return cat.get().value() == "200x160" ? 0 : 1;
/// }
/// @endcode
class JobQueue {
  public:
    using Deadline = std::chrono::steady_clock::time_point;

    Result<JobId> submit(std::span<const std::byte> item, const JobOptions& options = {});
    Result<JobId> try_submit(std::span<const std::byte> item, const JobOptions& options = {});
    Result<JobId> submit_until(std::span<const std::byte> item, Deadline deadline,
                               const JobOptions& options = {});

    Result<JobId> submit(std::string_view item, const JobOptions& options = {}) {
        return submit(bytes_of(item), options);
    }

    Result<JobId> try_submit(std::string_view item, const JobOptions& options = {}) {
        return try_submit(bytes_of(item), options);
    }

    Result<JobId> submit_until(std::string_view item, Deadline deadline,
                               const JobOptions& options = {}) {
        return submit_until(bytes_of(item), deadline, options);
    }

    /// submit(), and the result can be waited for: `ask(task)->get()` is what `await run(task)` is
    /// elsewhere. Only in a queue that has a `result_size` in the file. The job keeps its place in
    /// the queue until its result was got or the JobResult is destroyed: so at most `capacity`
    /// results are asked for at a time, and a queue is also full of results that nobody gets.
    /// Errors besides those of submit(): `std::errc::operation_not_supported` the queue has no
    /// results.
    Result<JobResult> ask(std::span<const std::byte> item, const JobOptions& options = {});
    Result<JobResult> try_ask(std::span<const std::byte> item, const JobOptions& options = {});
    Result<JobResult> ask_until(std::span<const std::byte> item, Deadline deadline,
                                const JobOptions& options = {});

    Result<JobResult> ask(std::string_view item, const JobOptions& options = {}) {
        return ask(bytes_of(item), options);
    }

    Result<JobResult> try_ask(std::string_view item, const JobOptions& options = {}) {
        return try_ask(bytes_of(item), options);
    }

    Result<JobResult> ask_until(std::string_view item, Deadline deadline,
                                const JobOptions& options = {}) {
        return ask_until(bytes_of(item), deadline, options);
    }

    /// submit(), unless there is a job with that key already: then nothing is submitted, and that
    /// job is the answer. There is one from its submit until it has been acknowledged: while it
    /// waits, runs, was put off by a nack, and as a dead letter until that is dropped. So of each
    /// key there is one job at a time, whoever submits and whoever dies, and never two; after its
    /// ack the key is free. Only in a queue that has `dedup: true` in the file. `key` has 1 to 64
    /// bytes, which are compared whole; hash longer ones. Errors besides those of submit():
    /// `std::errc::operation_not_supported` the queue has no dedup; `std::errc::invalid_argument`
    /// an empty key; `std::errc::message_size` it is too long. A queue is also full for a key that
    /// collides with 28 others in it, which happens to who chooses them so. Cost: about 0.5 us.
    Result<SubmittedOnce> submit_once(std::string_view key, std::span<const std::byte> item,
                                      const JobOptions& options = {});
    Result<SubmittedOnce> try_submit_once(std::string_view key, std::span<const std::byte> item,
                                          const JobOptions& options = {});
    Result<SubmittedOnce> submit_once_until(std::string_view key, std::span<const std::byte> item,
                                            Deadline deadline, const JobOptions& options = {});

    Result<SubmittedOnce> submit_once(std::string_view key, std::string_view item,
                                      const JobOptions& options = {}) {
        return submit_once(key, bytes_of(item), options);
    }

    Result<SubmittedOnce> try_submit_once(std::string_view key, std::string_view item,
                                          const JobOptions& options = {}) {
        return try_submit_once(key, bytes_of(item), options);
    }

    Result<SubmittedOnce> submit_once_until(std::string_view key, std::string_view item,
                                            Deadline deadline, const JobOptions& options = {}) {
        return submit_once_until(key, bytes_of(item), deadline, options);
    }

    /// Many items, in their order: each is a job of its own, submitted or not when this worker
    /// dies. Returns how many were submitted, from the first on. submit_all() waits for room where
    /// it must: fewer than all of them only if the worker drains; try_submit_all() as many as there
    /// is room for. With an item that is too long none is submitted.
    Result<std::size_t> submit_all(std::span<const std::string_view> items,
                                   const JobOptions& options = {});
    Result<std::size_t> try_submit_all(std::span<const std::string_view> items,
                                       const JobOptions& options = {});

    [[nodiscard]] Result<std::optional<Job>> take();
    [[nodiscard]] Result<std::optional<Job>> try_take();
    [[nodiscard]] Result<std::optional<Job>> take_until(Deadline deadline);

    [[nodiscard]] QueueSize size() const noexcept;

  private:
    friend class Worker;

    explicit JobQueue(detail::QueueState* state) noexcept : state_(state) {}

    [[nodiscard]] Result<std::optional<Job>> handed_out(std::uint64_t word, std::uint32_t number,
                                                        std::uint32_t length) const noexcept;

    static std::span<const std::byte> bytes_of(std::string_view text) noexcept {
        return std::as_bytes(std::span(text.data(), text.size()));
    }

    detail::QueueState* state_;
};

}  // namespace topsman
