#pragma once

#include <atomic>
#include <cstdint>

namespace topsman {

/// A level that goes up and down (open connections, queued bytes), summed over all workers.
///
/// What: each worker has a cell of its own lane; the sum is taken by whoever looks. A dead worker's
/// part is set to zero when the master gives its lane back, so levels do not leak.
/// Units: whatever is measured, signed 64 bits.
/// Errors: none; in a forked child of the worker the changes are dropped.
/// Threads: set() and read() from any thread; add() and sub() from any number of threads.
/// Kill safety: every change is one atomic instruction.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Gauge connections = worker.gauge("connections").value();
///     connections.add();
///     connections.sub();
///     connections.set(7);
///     return connections.here() == 7 ? 0 : 1;
/// }
/// @endcode
class Gauge {
  public:
    void set(std::int64_t level) noexcept {
        cell_->store(static_cast<std::uint64_t>(level), std::memory_order_relaxed);
    }

    void add(std::int64_t n = 1) noexcept {
        cell_->fetch_add(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
    }

    void sub(std::int64_t n = 1) noexcept {
        cell_->fetch_sub(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
    }

    /// This worker's own part of the sum.
    [[nodiscard]] std::int64_t here() const noexcept {
        return static_cast<std::int64_t>(cell_->load(std::memory_order_relaxed));
    }

  private:
    friend class Worker;

    explicit Gauge(std::atomic<std::uint64_t>* cell) noexcept : cell_(cell) {}

    std::atomic<std::uint64_t>* cell_;
};

}  // namespace topsman
