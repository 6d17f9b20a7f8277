/* topsman for C, and for every language that can call C: link with `pkg-config --cflags --libs
 * topsman`, or load libtopsman.so.0.
 *
 * What: a process's view of the supervisor that started it, and what it shares with the other
 * workers of its cluster: counters, gauges, mutexes, rate limits, job queues, messages. Without a
 * supervisor everything works for this process alone.
 * Returns: 0 or a number from 0 on when it is done, a negative errno when it is not; then
 * topsman_last_error() is the sentence that says why. -EINVAL: an argument is wrong (NULL, a name);
 * -ENOTCONN: this is a forked child of the process that attached; -ENOMEM. Further ones are named
 * at each function. No function throws, ends the process or writes to its descriptors 0 to 2.
 * Units: nanoseconds wherever a name ends in _ns. A timeout of 0 does not wait; one below 0
 * (TOPSMAN_FOREVER) waits until the worker drains, a mutex for ever.
 * Names: a letter, then letters, digits, '_' or '-', at most 47 characters.
 * Handles: belong to the library and are valid for the process's life; the same name gives the same
 * handle. Only a topsman_job, a topsman_result, a topsman_message and topsman_messages have an end:
 * ack, nack, drop, put_back.
 * Threads: any, but where it is said. Signal handlers: topsman_begin_drain() and
 * topsman_last_words() alone.
 * Forks: a forked child is detached; a program started by exec inherits nothing of it.
 * Kill safety: the process may be killed at any instruction of any function here. What it held is
 * free again once the master has reaped it; what was submitted is executed; what was counted stays.
 * Versions: functions are added, never changed or taken away, as long as TOPSMAN_API_MAJOR is the
 * same; it is the soname, and the version of each symbol.
 *
 * @code
 * #include <stdio.h>
 * #include <string.h>
 * #include <topsman.h>
 *
 * static int nothing_to_repair(void *context) { (void)context; return 1; }
 *
 * int main(void) {
 *     topsman_worker *worker;
 *     topsman_counter *orders;
 *     topsman_gauge *open;
 *     topsman_mutex *stock;
 *     topsman_rate_limiter *api;
 *     topsman_queue *jobs;
 *     topsman_job *job;
 *     topsman_channel *news;
 *     topsman_message *message;
 *     size_t size;
 *     if (topsman_attach(TOPSMAN_STOP_SIGNAL, &worker) != 0 ||
 *         topsman_counter_open(worker, "orders", &orders) != 0 ||
 *         topsman_gauge_open(worker, "open", &open) != 0 ||
 *         topsman_mutex_open(worker, "stock", nothing_to_repair, NULL, &stock) != 0 ||
 *         topsman_rate_limiter_open(worker, "api", 1000000000, 2, &api) != 0 ||
 *         topsman_queue_open(worker, "thumbnails", &jobs) != 0 ||
 *         topsman_channel_open(worker, "news", &news) != 0 || topsman_ready(worker) != 0) {
 *         fprintf(stderr, "%s\n", topsman_last_error());
 *         return 1;
 *     }
 *     topsman_counter_add(orders, 2);
 *     topsman_gauge_set(open, 7);
 *     if (topsman_mutex_lock(stock, TOPSMAN_FOREVER) == 0) {
 *         topsman_mutex_unlock(stock);
 *     }
 *     if (!topsman_rate_allow(api, 2) || topsman_rate_allow(api, 1)) {
 *         return 1;
 *     }
 *     if (topsman_queue_submit(jobs, "cat.jpg", 7, NULL, 0, NULL) != 0 ||
 *         topsman_queue_take(jobs, 0, &job) != 1) {
 *         return 1;
 *     }
 *     if (memcmp(topsman_job_item(job, &size), "cat.jpg", 7) != 0 || size != 7) {
 *         return 1;
 *     }
 *     if (topsman_job_ack(job) != 0 || topsman_channel_send(news, 0, "hello", 5, 0) != 1 ||
 *         topsman_channel_receive(news, TOPSMAN_FOREVER, &message) != 1) {
 *         return 1;
 *     }
 *     if (memcmp(topsman_message_data(message, &size), "hello", 5) != 0 || size != 5) {
 *         return 1;
 *     }
 *     return topsman_message_ack(message) == 0 && !topsman_draining(worker) ? 0 : 1;
 * }
 * @endcode
 */
#ifndef TOPSMAN_H
#define TOPSMAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TOPSMAN_EXPORT __attribute__((visibility("default")))
#else
#define TOPSMAN_EXPORT
#endif

/* What this header has: raised by one with each addition. Compare with topsman_version(). */
#define TOPSMAN_API_VERSION 5
/* Changes when something was changed or taken away: then the soname is another one, too. */
#define TOPSMAN_API_MAJOR 0

#define TOPSMAN_FOREVER INT64_C(-1)
/* For topsman_attach(): SIGTERM. */
#define TOPSMAN_STOP_SIGNAL 15

typedef struct topsman_worker topsman_worker;
typedef struct topsman_counter topsman_counter;
typedef struct topsman_gauge topsman_gauge;
typedef struct topsman_mutex topsman_mutex;
typedef struct topsman_rate_limiter topsman_rate_limiter;
typedef struct topsman_queue topsman_queue;
typedef struct topsman_job topsman_job;
typedef struct topsman_result topsman_result;
typedef struct topsman_channel topsman_channel;
typedef struct topsman_message topsman_message;
typedef struct topsman_messages topsman_messages;

/* -- the library ------------------------------------------------------------------------------ */

/* The TOPSMAN_API_VERSION of the library that was loaded: at least this header's, or functions that
 * this header has may be missing. */
TOPSMAN_EXPORT int topsman_version(void);

/* "0.1.0" */
TOPSMAN_EXPORT const char* topsman_version_text(void);

/* Why the last call of this thread that failed did so, in a sentence of at most 511 bytes; "" when
 * none has. It is this thread's until its next call that fails. */
TOPSMAN_EXPORT const char* topsman_last_error(void);

/* What a returned number means in general: topsman_strerror(-ENOBUFS). Never NULL. */
TOPSMAN_EXPORT const char* topsman_strerror(int code);

/* -- the worker ------------------------------------------------------------------------------- */

/* Reads what the supervisor has put into the environment and maps the shared memory. Call it once,
 * early, before there are other threads; later calls give the same handle. `stop_signal` is the
 * pool's (TOPSMAN_STOP_SIGNAL unless the file says another): its handler makes topsman_draining()
 * true. 0: the program handles it itself and calls topsman_begin_drain().
 * Errors: -EINVAL: a variable is malformed, or the segment is of another version of topsman; what
 * open(2), mmap(2) and sigaction(2) say. */
TOPSMAN_EXPORT int topsman_attach(int stop_signal, topsman_worker** worker);

/* 1: a topsman supervises this very process. 0: it runs alone. */
TOPSMAN_EXPORT int topsman_is_supervised(const topsman_worker* worker);

/* "web/2"; "alone" without a supervisor. */
TOPSMAN_EXPORT const char* topsman_name(const topsman_worker* worker);

/* The descriptor of an inherited listener. It stays the library's, and its O_NONBLOCK flag is
 * shared with other workers: expect EAGAIN. Error: -ENOENT: none of that name was inherited. */
TOPSMAN_EXPORT int topsman_listener(const topsman_worker* worker, const char* name);

/* READY=1: it can serve. Like the next three it never waits, and does nothing without a supervisor;
 * but a spare (`spares: N` in the file) returns when it has a seat, or is to leave.
 * Errors: what sendmsg(2) says; -EAGAIN: the master hangs and its queue is full. */
TOPSMAN_EXPORT int topsman_ready(topsman_worker* worker);

/* One line for `topsman status`. */
TOPSMAN_EXPORT int topsman_status(topsman_worker* worker, const char* text);

/* It leaves of its own accord. */
TOPSMAN_EXPORT int topsman_stopping(topsman_worker* worker);

/* The present start or stop deadline is at least that far away. */
TOPSMAN_EXPORT int topsman_extend_timeout(topsman_worker* worker, int64_t time_ns);

/* Proof of life: call it from the loop that would hang, at most every third of
 * topsman_watchdog_ns(). */
TOPSMAN_EXPORT void topsman_beat(topsman_worker* worker);

/* How long the supervisor waits for a beat; 0: this process has no watchdog. */
TOPSMAN_EXPORT int64_t topsman_watchdog_ns(const topsman_worker* worker);

/* 1 once the stop signal came or topsman_begin_drain() was called: finish and leave. */
TOPSMAN_EXPORT int topsman_draining(const topsman_worker* worker);

/* Readable (poll(2)) once topsman_draining() is 1. Do not read it. */
TOPSMAN_EXPORT int topsman_drain_fd(const topsman_worker* worker);

/* Async-signal-safe. */
TOPSMAN_EXPORT void topsman_begin_drain(topsman_worker* worker);

/* What the obituary shall say if the process ends now; at most 1,000 bytes. Async-signal-safe. */
TOPSMAN_EXPORT void topsman_last_words(topsman_worker* worker, const char* text);

/* -- counters: numbers that only grow, summed over all workers -------------------------------- */

/* The first user of a new name registers it for the whole cluster.
 * Errors: -ENOBUFS: the table of names is full; -EINVAL: the name means something else. */
TOPSMAN_EXPORT int topsman_counter_open(topsman_worker* worker, const char* name,
                                        topsman_counter** counter);

/* From one thread at a time: a plain load and store. No system call, like all of these. */
TOPSMAN_EXPORT void topsman_counter_add(topsman_counter* counter, uint64_t n);

/* From any number of threads at once. All that count the same thing use this one, or none. */
TOPSMAN_EXPORT void topsman_counter_add_from_threads(topsman_counter* counter, uint64_t n);

/* The sum over all workers, dead ones too. Error: -ENOENT: there is no counter of that name. */
TOPSMAN_EXPORT int topsman_counter_total(const topsman_worker* worker, const char* name,
                                         uint64_t* total);

/* -- gauges: levels that go up and down, summed over all workers ------------------------------ */

/* As topsman_counter_open(). A dead worker's part is taken back. */
TOPSMAN_EXPORT int topsman_gauge_open(topsman_worker* worker, const char* name,
                                      topsman_gauge** gauge);

/* This worker's part of the sum. Any thread. */
TOPSMAN_EXPORT void topsman_gauge_set(topsman_gauge* gauge, int64_t level);
TOPSMAN_EXPORT void topsman_gauge_add(topsman_gauge* gauge, int64_t n);

/* -- mutexes between all workers ----------------------------------------------------------------
 */

/* Makes what the mutex guards whole again after a holder died; called with the lock held, by the
 * thread that locks. Returns 1: it is whole; 0: it cannot be done, and the mutex is poisoned. It
 * must return. */
typedef int (*topsman_repair)(void* context);

/* `repair` must not be NULL. For the same name with another repair function or context there is
 * another handle of the same mutex. Errors: as topsman_counter_open(). */
TOPSMAN_EXPORT int topsman_mutex_open(topsman_worker* worker, const char* name,
                                      topsman_repair repair, void* context, topsman_mutex** mutex);

/* Locks. Errors: -EBUSY: held by another, with a timeout of 0; -ETIMEDOUT: until the timeout;
 * -ENOTRECOVERABLE: poisoned, or overwritten by a worker gone wild; -EDEADLK: this thread holds it
 * already. */
TOPSMAN_EXPORT int topsman_mutex_lock(topsman_mutex* mutex, int64_t timeout_ns);

/* By the thread that has locked it. */
TOPSMAN_EXPORT void topsman_mutex_unlock(topsman_mutex* mutex);

/* -- rate limits over all workers ---------------------------------------------------------------
 */

/* One every `interval_ns` (1,000 to 3,600,000,000,000), `burst` (1 to 1,000,000) at once. With both
 * 0 it must be declared in the file (`shared.rate_limits`). Errors: -EINVAL: it has another rule,
 * or none; else as topsman_counter_open(). */
TOPSMAN_EXPORT int topsman_rate_limiter_open(topsman_worker* worker, const char* name,
                                             int64_t interval_ns, uint32_t burst,
                                             topsman_rate_limiter** limiter);

/* 1: all `n` are let in; 0: none of them. Never waits. */
TOPSMAN_EXPORT int topsman_rate_allow(topsman_rate_limiter* limiter, uint32_t n);

/* How long until `n` would be let in if nobody else came; 0: now; INT64_MAX: never. */
TOPSMAN_EXPORT int64_t topsman_rate_delay_ns(const topsman_rate_limiter* limiter, uint32_t n);

/* -- job queues -----------------------------------------------------------------------------------
 */

/* Of `shared.queues` in the file; without a supervisor one of 1,024 jobs of at most 256 bytes, and
 * results of as many.
 * Error: -ENOENT: there is none of that name. */
TOPSMAN_EXPORT int topsman_queue_open(topsman_worker* worker, const char* name,
                                      topsman_queue** queue);

/* What may be said of a job. Begin with TOPSMAN_JOB_OPTIONS_INIT: members may be added at the end.
 */
typedef struct topsman_job_options {
    size_t struct_size;  /* sizeof(topsman_job_options), as it was compiled */
    int64_t deadline_ns; /* from now on: not taken within it, it becomes a dead letter; 0: none */
    uint32_t priority;   /* below the queue's `priorities`; the highest is taken first */
    const void* key;     /* of a queue with `dedup: true`: while there is a job with this key, no */
    size_t key_size;     /* other one is made; 1 to 64 bytes, 0: none. Since API version 3 */
} topsman_job_options;

#define TOPSMAN_JOB_OPTIONS_INIT \
    { sizeof(topsman_job_options), 0, 0, NULL, 0 }

/* Copies `size` bytes. Once it has returned 0 the job is executed at least once or becomes a dead
 * letter, whoever dies. `options` and `id` (the number that `topsman queues` shows) may be NULL.
 * Returns 1 instead when there is a job with that key already, waiting, running or a dead letter:
 * then `id` is that job's, and nothing was submitted.
 * Errors: -ENOBUFS: full, with a timeout of 0; -ETIMEDOUT: full until the timeout; -ECANCELED: it
 * was full and the worker drains; -EMSGSIZE: longer than the queue's items, or than a key may be;
 * -EOPNOTSUPP: a key for a queue without dedup. */
TOPSMAN_EXPORT int topsman_queue_submit(topsman_queue* queue, const void* item, size_t size,
                                        const topsman_job_options* options, int64_t timeout_ns,
                                        uint64_t* id);

/* Takes the job that has been ready for longest. Returns 1: `*job` is one; 0: there was none until
 * the timeout, or the worker drains. */
TOPSMAN_EXPORT int topsman_queue_take(topsman_queue* queue, int64_t timeout_ns, topsman_job** job);

/* What was submitted: in shared memory, valid until ack or nack. `size` may be NULL. */
TOPSMAN_EXPORT const void* topsman_job_item(const topsman_job* job, size_t* size);
TOPSMAN_EXPORT uint64_t topsman_job_id(const topsman_job* job);

/* The how manieth time it was taken, from 1 on. */
TOPSMAN_EXPORT uint32_t topsman_job_attempt(const topsman_job* job);

/* It is done, and will not be executed again. The handle ends, whatever is returned. One thread at
 * a time. */
TOPSMAN_EXPORT int topsman_job_ack(topsman_job* job);

/* The same, with a result for who has asked for it: topsman_queue_ask(). Since API version 4.
 * Errors, after which the job is tried again as after a nack: -EMSGSIZE: longer than the queue's
 * `result_size`; -EOPNOTSUPP: the queue has none. */
TOPSMAN_EXPORT int topsman_job_ack_with(topsman_job* job, const void* result, size_t size);

/* It is not done: again after `delay_ns` (0: at once, behind the others), or a dead letter after
 * the queue's `max_attempts`. The handle ends, whatever is returned. */
TOPSMAN_EXPORT int topsman_job_nack(topsman_job* job, int64_t delay_ns);

/* As topsman_queue_submit(), by one who waits for the result. Of a queue with a `result_size` in the
 * file; the job keeps its place in the queue until topsman_result_drop(). Since API version 4, like
 * all that has to do with results. `options` have no key.
 * Errors besides those of topsman_queue_submit(): -EOPNOTSUPP: a key, or the queue has no results. */
TOPSMAN_EXPORT int topsman_queue_ask(topsman_queue* queue, const void* item, size_t size,
                                     const topsman_job_options* options, int64_t timeout_ns,
                                     topsman_result** result);

/* Returns 0 once the result is there. Waits even while the worker drains.
 * Errors: -ETIMEDOUT: not yet; for good -EIO: the job is a dead letter, tried as often as the file
 * says; -ETIME: its own deadline had passed before it was taken; -ECANCELED: it was dropped as a
 * dead letter. One thread at a time. */
TOPSMAN_EXPORT int topsman_result_wait(topsman_result* result, int64_t timeout_ns);

/* The result, valid until topsman_result_drop(); NULL before it is there. `size` may be NULL. */
TOPSMAN_EXPORT const void* topsman_result_data(const topsman_result* result, size_t* size);
TOPSMAN_EXPORT uint64_t topsman_result_id(const topsman_result* result);

/* Nobody wants the result (any more): the handle ends. The job is executed all the same. */
TOPSMAN_EXPORT int topsman_result_drop(topsman_result* result);

/* -- channels: messages to the workers of a pool ------------------------------------------------
 */

/* Of `shared.channels` in the file; without a supervisor one of 128 messages of at most 256 bytes,
 * received by this process, in slot 0. Since API version 2, like all below.
 * Error: -ENOENT: there is none of that name. */
TOPSMAN_EXPORT int topsman_channel_open(topsman_worker* worker, const char* name,
                                        topsman_channel** channel);

/* How many slots there are to send to, now: from 0 on. */
TOPSMAN_EXPORT int topsman_channel_slots(const topsman_channel* channel);

/* For whom a message is, if not for the worker of one slot: for one of them, in turns, those that
 * receive now before others; or for each of them but the sender itself. */
#define TOPSMAN_TO_ANY INT32_C(-1)
#define TOPSMAN_TO_ALL INT32_C(-2)

/* Copies `size` bytes into the inbox of the slot `to`, whichever process that is when it is
 * received. What was sent is received at least once (or at most once, if the file says so), each
 * sender's messages in their order, whoever dies. Returns in how many inboxes it is: 1, or as many
 * as had room with TOPSMAN_TO_ALL.
 * Errors: -ENOBUFS: full, with a timeout of 0; -ETIMEDOUT: full until the timeout; -ECANCELED: it
 * was full and the worker drains; -EMSGSIZE: longer than the channel's messages; -ENXIO: the pool
 * has no such slot now, or none at all. */
TOPSMAN_EXPORT int topsman_channel_send(topsman_channel* channel, int32_t to, const void* message,
                                        size_t size, int64_t timeout_ns);

/* The next message of this worker's slot. Returns 1: `*message` is one; 0: there was none until the
 * timeout, or the worker drains. To be called by one thread at a time, like the rest of what
 * receives. Error: -EPERM: this worker's pool does not receive this channel. */
TOPSMAN_EXPORT int topsman_channel_receive(topsman_channel* channel, int64_t timeout_ns,
                                           topsman_message** message);

/* A descriptor, readable (poll(2)) when topsman_channel_receive() with a timeout of 0 may give
 * something, and when the worker drains. Do not read or close it: receive until there is nothing,
 * that makes it unreadable. The first call starts a thread, which sleeps until a message comes.
 * Error: as topsman_channel_receive(); what eventfd(2) says. */
TOPSMAN_EXPORT int topsman_channel_event_fd(topsman_channel* channel);

/* What was sent: in shared memory, valid until ack or put_back. `size` may be NULL. */
TOPSMAN_EXPORT const void* topsman_message_data(const topsman_message* message, size_t* size);

/* It is dealt with, and not received again. Until then it is received again by the slot's next
 * worker if this one dies. The handle ends, whatever is returned. */
TOPSMAN_EXPORT int topsman_message_ack(topsman_message* message);

/* It is not dealt with: the next receive gives it again (at most once: it is gone). The handle
 * ends. */
TOPSMAN_EXPORT void topsman_message_put_back(topsman_message* message);

/* As many messages as have been sent, in a row, at most `most`: to be ended together, which costs
 * each less than half of what it costs alone. Returns how many: then `*messages` are they; 0: as
 * topsman_channel_receive(). What is not acknowledged keeps its room in the inbox: ask for at most
 * half of its capacity, else senders wait meanwhile. Since API version 5, like all below.
 * Error: as topsman_channel_receive(). -EINVAL: `most` is 0. */
TOPSMAN_EXPORT int topsman_channel_receive_all(topsman_channel* channel, size_t most,
                                               int64_t timeout_ns, topsman_messages** messages);

/* What was sent as the one of that number, from 0 on: in shared memory, valid until ack or
 * put_back; NULL: there are not so many. `size` may be NULL. */
TOPSMAN_EXPORT const void* topsman_messages_data(const topsman_messages* messages, size_t number,
                                                 size_t* size);

/* All of them are dealt with, or, if this one dies before, none: they are received again by the
 * slot's next worker. The handle ends, whatever is returned. */
TOPSMAN_EXPORT int topsman_messages_ack(topsman_messages* messages);

/* As topsman_message_put_back(), all of them. */
TOPSMAN_EXPORT void topsman_messages_put_back(topsman_messages* messages);

#ifdef __cplusplus
}
#endif

#endif
