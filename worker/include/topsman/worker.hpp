#pragma once

// The worker's side of topsman: what the supervisor gives to a process, and what the process tells
// the supervisor. Link topsman::worker, call Worker::attach() once near the start of main().

#include "shm/base/result.hpp"
#include "topsman/atomic.hpp"
#include "topsman/barrier.hpp"
#include "topsman/block.hpp"
#include "topsman/bounded_counter.hpp"
#include "topsman/channel.hpp"
#include "topsman/counter.hpp"
#include "topsman/event.hpp"
#include "topsman/gauge.hpp"
#include "topsman/histogram.hpp"
#include "topsman/job_queue.hpp"
#include "topsman/mutex.hpp"
#include "topsman/rate_limiter.hpp"
#include "topsman/semaphore.hpp"
#include "topsman/shared_array.hpp"
#include "topsman/tx_cell.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace topsman {

namespace detail {
struct Process;
}

struct AttachOptions {
    /// Install a handler for `stop_signal` that turns draining() on. False: the program handles the
    /// signal itself and calls begin_drain().
    bool handle_stop_signal = true;
    int stop_signal = SIGTERM;  ///< the pool's `stop_signal`
};

/// A listening socket that the supervisor bound and this process inherited.
struct InheritedListener {
    std::string name;
    int fd = -1;
};

/// Says that one request is being worked on, from its construction to its end. Move-only.
/// Threads: any. Kill safety: a dead worker's number in flight is set to zero by the master.
class InFlight {
  public:
    InFlight(InFlight&& other) noexcept : process_(std::exchange(other.process_, nullptr)) {}

    InFlight& operator=(InFlight&& other) noexcept {
        std::swap(process_, other.process_);
        return *this;
    }

    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;

    ~InFlight() {
        if (process_ != nullptr) {
            end();
        }
    }

  private:
    friend class Worker;
    explicit InFlight(detail::Process* process) noexcept;
    void end() noexcept;

    detail::Process* process_;
};

/// This process as a worker of a cluster.
///
/// What: reads the environment that the supervisor made, maps the shared segment, and sets
/// close-on-exec on every descriptor that was inherited for it. Without a supervisor everything
/// works for this process alone: counters count, mutexes lock, nothing is sent; sockets passed by
/// systemd are found all the same. The process environment is left as it is.
/// Returns: a handle; copies mean the same process; it is valid for the process's life.
/// Errors: the segment that the environment names cannot be used (another version, not a segment);
/// malformed variables. The message names the variable.
/// Threads: attach() from one thread, before others use the SDK; all else from any thread.
/// Forks: a forked child is detached: its counters are dropped, locks and registrations say
/// `std::errc::not_connected`, notifications are not sent, and the stop signal has its former
/// action again. Programs started by exec inherit nothing of the segment.
/// Kill safety: the worker may be killed at any instruction of any function here.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     auto worker = topsman::Worker::attach();
///     if (!worker) {
///         return 1;  // worker.error().message says why
///     }
///     worker->ready();
///     auto requests = worker->counter("requests");
///     if (!requests) {
///         return 1;
///     }
///     {
///         auto busy = worker->in_flight();
///         requests->add();
///     }
///     return worker->draining() ? 1 : 0;
/// }
/// @endcode
class Worker {
  public:
    [[nodiscard]] static Result<Worker> attach(const AttachOptions& options = {});

    // -- who it is ----------------------------------------------------------------------------

    /// True when a topsman supervises this very process (not only its parent).
    [[nodiscard]] bool is_supervised() const noexcept;
    /// True when it shares the cluster's segment.
    [[nodiscard]] bool has_segment() const noexcept;
    [[nodiscard]] const std::string& cluster() const noexcept;  ///< empty without a supervisor
    [[nodiscard]] const std::string& pool() const noexcept;     ///< empty without a supervisor
    /// Of a spare that has no seat yet (see is_spare()): UINT32_MAX.
    [[nodiscard]] std::uint32_t slot() const noexcept;
    /// True until a spare has a seat. Spares (`spares: N` in the file) are started before anybody
    /// knows which slot they will have: each warms up, and then waits until a worker dies. It waits
    /// in ready(), in Acceptor::start() and in channel() for a channel to its own pool, whichever
    /// it reaches first, and says READY=1 before. So what takes long comes before these, and taking
    /// connections, or anything else that is not for a spare to do, after. The stop signal ends the
    /// wait, too: then draining() is true and it still has no slot.
    [[nodiscard]] bool is_spare() const noexcept;
    [[nodiscard]] std::uint64_t id() const noexcept;  ///< never used again for another worker
    /// "web/2"; "web/spare" of a spare without a seat; "alone" without a supervisor.
    [[nodiscard]] std::string name() const;

    // -- what it is given ---------------------------------------------------------------------

    /// The descriptor of the listener of that name; it stays the SDK's. It is shared with other
    /// workers, its O_NONBLOCK flag too: expect EAGAIN. Error: none of that name was inherited.
    [[nodiscard]] Result<int> listener(std::string_view name) const;
    [[nodiscard]] const std::vector<InheritedListener>& listeners() const noexcept;

    // -- what it tells ------------------------------------------------------------------------
    // None of these waits, but for a spare's ready(). Without a supervisor they succeed and do
    // nothing. Errors: what sendmsg (2) says; EAGAIN when the master is hung and its queue is full.

    Result<void> ready();                        ///< READY=1: it can serve; see is_spare()
    Result<void> status(std::string_view text);  ///< STATUS=: one line for `topsman status`
    Result<void> stopping();                     ///< STOPPING=1: it leaves of its own accord
    /// EXTEND_TIMEOUT_USEC=: the present start or stop deadline is at least that far away.
    Result<void> extend_timeout(std::chrono::microseconds time);

    /// Proof of life. Call it from the loop that would hang, at most every third of
    /// watchdog_timeout(). With a segment one store of the clock, else WATCHDOG=1.
    void beat() noexcept;
    /// How long the supervisor waits for a beat; 0: there is no watchdog for this process.
    [[nodiscard]] std::chrono::microseconds watchdog_timeout() const noexcept;

    // -- the end ------------------------------------------------------------------------------

    /// True once the stop signal came or begin_drain() was called: finish and leave.
    [[nodiscard]] bool draining() const noexcept;
    /// Readable once draining() is true; for poll, epoll and Asio. Do not read it.
    [[nodiscard]] int drain_fd() const noexcept;
    /// Async-signal-safe.
    void begin_drain() noexcept;

    /// One request; see InFlight. Also counts it as finished at its end.
    [[nodiscard]] InFlight in_flight() noexcept { return InFlight(process_); }

    [[nodiscard]] std::uint32_t requests_in_flight() const noexcept;

    /// What the obituary shall say if the process ends now. Replaces what was said before. At most
    /// 1,000 bytes. Async-signal-safe.
    void last_words(std::string_view text) noexcept;

    /// Writes "SIGSEGV at 0x..." as last words on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, then
    /// lets the signal have its default action. On an alternate stack, so a stack overflow is told
    /// too. Error: what sigaction(2) says.
    Result<void> install_crash_handler();

    // -- what it shares -----------------------------------------------------------------------
    // A name is [A-Za-z][A-Za-z0-9_-]*, at most 47 characters; the first user of a new name
    // registers it for the whole cluster. Errors: the table is full; the name means another kind;
    // detached.

    [[nodiscard]] Result<Counter> counter(std::string_view name);
    [[nodiscard]] Result<Gauge> gauge(std::string_view name);
    /// `repair` is mandatory; see Mutex.
    [[nodiscard]] Result<Mutex> mutex(std::string_view name, Mutex::Repair repair);

    /// `initial` counts only if the cell is new in the cluster.
    template <class T>
    [[nodiscard]] Result<TxCell<T>> cell(std::string_view name, const T& initial) {
        auto storage = find_cell(name, &initial, sizeof(T));
        if (!storage) {
            return storage.error();
        }
        return TxCell<T>(*storage);
    }

    /// `initial` counts only if the number is new in the cluster.
    template <class T>
    [[nodiscard]] Result<Atomic<T>> atomic(std::string_view name, T initial = 0) {
        const auto place = find_atomic(name, &initial, sizeof(T));
        if (!place) {
            return place.error();
        }
        return Atomic<T>(*place);
    }

    /// Of `size` elements, at most 8,192 bytes: all workers must say the same.
    template <class T>
    [[nodiscard]] Result<SharedArray<T>> array(std::string_view name, std::size_t size) {
        const auto storage = find_array(name, size, sizeof(T));
        if (!storage) {
            return storage.error();
        }
        return SharedArray<T>(*storage, size);
    }

    /// As the file declares it, or else new with `permits` (1 to 1,023). Without `permits` it must
    /// be declared. Further error: it has another number of permits.
    [[nodiscard]] Result<Semaphore> semaphore(std::string_view name, std::uint32_t permits);
    [[nodiscard]] Result<Semaphore> semaphore(std::string_view name);

    /// Further error: it is of the other kind.
    [[nodiscard]] Result<Event> event(std::string_view name, EventReset kind);

    /// Of 1 to 64 parties. Further error: it has another number of parties.
    [[nodiscard]] Result<Barrier> barrier(std::string_view name, std::uint32_t parties);

    /// Further error: it has another limit.
    [[nodiscard]] Result<BoundedCounter> bounded_counter(std::string_view name,
                                                         std::uint64_t limit);

    /// As the file declares it, or else new: one every `interval` (1 us to an hour), `burst` (1 to
    /// 1,000,000) at once. Without them it must be declared. Further error: it has another rule.
    [[nodiscard]] Result<RateLimiter> rate_limiter(std::string_view name,
                                                   std::chrono::nanoseconds interval,
                                                   std::uint32_t burst);
    [[nodiscard]] Result<RateLimiter> rate_limiter(std::string_view name);

    /// Of `shared.queues`. `alone` counts only without a supervisor. Error: there is none of that
    /// name.
    [[nodiscard]] Result<JobQueue> queue(std::string_view name, const QueueSize& alone = {});

    /// Of `shared.channels`. `alone` counts only without a supervisor. Error: there is none of that
    /// name.
    [[nodiscard]] Result<Channel> channel(std::string_view name, const ChannelSize& alone = {});

    /// Of `shared.histograms`; without a supervisor any name. Error: there is none of that name.
    [[nodiscard]] Result<Histogram> histogram(std::string_view name);

    /// The cluster's blocks, or this process's own without a segment. Error: the configuration has
    /// no `shared.blocks`.
    [[nodiscard]] Result<BlockPool> blocks();

    struct Total {
        std::string name;
        std::uint64_t value = 0;
    };

    /// The cluster's counters, in the order of their registration. Takes no lock.
    [[nodiscard]] std::vector<Total> counter_totals() const;

  private:
    friend class Acceptor;

    explicit Worker(detail::Process* process) noexcept : process_(process) {}

    [[nodiscard]] Result<shm::TxCellStorage*> find_cell(std::string_view name, const void* initial,
                                                        std::size_t size);
    [[nodiscard]] Result<detail::WordPlace> find_atomic(std::string_view name, const void* initial,
                                                        std::size_t size);
    [[nodiscard]] Result<shm::SharedArrayStorage*> find_array(std::string_view name,
                                                              std::size_t elements,
                                                              std::size_t element_bytes);

    detail::Process* process_;
};

}  // namespace topsman
