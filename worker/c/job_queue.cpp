#include "worker/c/handles.hpp"
#include "worker/c/last_error.hpp"

#include <cstring>

using topsman::c::deadline_of;
using topsman::c::done;
using topsman::c::guarded;
using topsman::c::null_argument;

namespace {

/// What an older program knows of the options, and nothing for the rest.
topsman_job_options known_of(const topsman_job_options* given) {
    topsman_job_options known = TOPSMAN_JOB_OPTIONS_INIT;
    if (given != nullptr) {
        std::memcpy(&known, given, std::min(given->struct_size, sizeof known));
    }
    return known;
}

topsman::JobOptions options_of(const topsman_job_options& known) {
    topsman::JobOptions options;
    options.priority = known.priority;
    if (known.deadline_ns > 0) {
        options.deadline = deadline_of(known.deadline_ns);
    }
    return options;
}

/// 0: it is new; 1: there is one with its key; or the number of the error.
int submit_once(topsman::JobQueue& queue, const topsman_job_options& known,
                std::span<const std::byte> item, std::int64_t timeout_ns, std::uint64_t* id) {
    const std::string_view key(static_cast<const char*>(known.key), known.key_size);
    const topsman::JobOptions terms = options_of(known);
    const auto submitted = timeout_ns == 0
                               ? queue.try_submit_once(key, item, terms)
                               : queue.submit_once_until(key, item, deadline_of(timeout_ns), terms);
    if (!submitted) {
        return topsman::c::failed(submitted.error());
    }
    if (id != nullptr) {
        *id = submitted->id;
    }
    return submitted->is_new ? 0 : 1;
}

}  // namespace

extern "C" {

int topsman_queue_open(topsman_worker* worker, const char* name, topsman_queue** queue) {
    if (worker == nullptr || name == nullptr || queue == nullptr) {
        return null_argument(__func__);
    }
    // Without a supervisor jobs have results, too.
    return topsman::c::open([&] { return worker->worker.queue(name, {.result_size = 256}); }, queue,
                            name);
}

int topsman_queue_submit(topsman_queue* queue, const void* item, size_t size,
                         const topsman_job_options* options, int64_t timeout_ns, uint64_t* id) {
    if (queue == nullptr || (item == nullptr && size != 0)) {
        return null_argument(__func__);
    }
    return guarded([&] {
        const std::span bytes(static_cast<const std::byte*>(item), size);
        const topsman_job_options known = known_of(options);
        if (known.key_size != 0) {
            return known.key == nullptr ? null_argument("topsman_queue_submit")
                                        : submit_once(queue->queue, known, bytes, timeout_ns, id);
        }
        const topsman::JobOptions terms = options_of(known);
        const auto submitted =
            timeout_ns == 0 ? queue->queue.try_submit(bytes, terms)
                            : queue->queue.submit_until(bytes, deadline_of(timeout_ns), terms);
        if (submitted && id != nullptr) {
            *id = *submitted;
        }
        return done(submitted);
    });
}

int topsman_queue_ask(topsman_queue* queue, const void* item, size_t size,
                      const topsman_job_options* options, int64_t timeout_ns,
                      topsman_result** result) {
    if (queue == nullptr || result == nullptr || (item == nullptr && size != 0)) {
        return null_argument(__func__);
    }
    *result = nullptr;
    return guarded([&] {
        const std::span bytes(static_cast<const std::byte*>(item), size);
        const topsman_job_options known = known_of(options);
        if (known.key_size != 0) {
            return topsman::c::failed(
                topsman::plain_error("topsman_queue_ask: a job with a key has no result",
                                     std::errc::operation_not_supported));
        }
        const topsman::JobOptions terms = options_of(known);
        auto asked = timeout_ns == 0
                         ? queue->queue.try_ask(bytes, terms)
                         : queue->queue.ask_until(bytes, deadline_of(timeout_ns), terms);
        if (!asked) {
            return topsman::c::failed(asked.error());
        }
        const topsman::JobId id = asked->id();
        *result = new topsman_result{*std::move(asked), id};
        return 0;
    });
}

int topsman_result_wait(topsman_result* result, int64_t timeout_ns) {
    if (result == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        if (result->bytes) {
            return 0;
        }
        auto got = result->result.get_until(deadline_of(timeout_ns));
        if (!got) {
            return topsman::c::failed(got.error());
        }
        result->bytes = *std::move(got);
        return 0;
    });
}

const void* topsman_result_data(const topsman_result* result, size_t* size) {
    const bool is_there = result != nullptr && result->bytes;
    if (size != nullptr) {
        *size = is_there ? result->bytes->size() : 0;
    }
    return is_there ? result->bytes->data() : nullptr;
}

uint64_t topsman_result_id(const topsman_result* result) {
    return result == nullptr ? 0 : result->id;
}

int topsman_result_drop(topsman_result* result) {
    const std::unique_ptr<topsman_result> end(result);
    return result == nullptr ? null_argument(__func__) : 0;
}

int topsman_queue_take(topsman_queue* queue, int64_t timeout_ns, topsman_job** job) {
    if (queue == nullptr || job == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        auto taken = timeout_ns == 0 ? queue->queue.try_take()
                                     : queue->queue.take_until(deadline_of(timeout_ns));
        if (!taken) {
            return topsman::c::failed(taken.error());
        }
        *job = *taken ? new topsman_job{std::move(**taken)} : nullptr;
        return *taken ? 1 : 0;
    });
}

const void* topsman_job_item(const topsman_job* job, size_t* size) {
    const auto item = job == nullptr ? std::span<const std::byte>() : job->job.item();
    if (size != nullptr) {
        *size = item.size();
    }
    return item.data();
}

uint64_t topsman_job_id(const topsman_job* job) {
    return job == nullptr ? 0 : job->job.id();
}

uint32_t topsman_job_attempt(const topsman_job* job) {
    return job == nullptr ? 0 : job->job.attempt();
}

int topsman_job_ack(topsman_job* job) {
    const std::unique_ptr<topsman_job> end(job);
    return job == nullptr ? null_argument(__func__) : guarded([&] { return done(job->job.ack()); });
}

int topsman_job_ack_with(topsman_job* job, const void* result, size_t size) {
    const std::unique_ptr<topsman_job> end(job);
    if (job == nullptr || (result == nullptr && size != 0)) {
        return null_argument(__func__);
    }
    const std::span bytes(static_cast<const std::byte*>(result), size);
    return guarded([&] { return done(job->job.ack(bytes)); });
}

int topsman_job_nack(topsman_job* job, int64_t delay_ns) {
    const std::unique_ptr<topsman_job> end(job);
    return job == nullptr
               ? null_argument(__func__)
               : guarded([&] { return done(job->job.nack(std::chrono::nanoseconds(delay_ns))); });
}

}  // extern "C"
