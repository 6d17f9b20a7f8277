#pragma once

#include <atomic>
#include <cstdint>

namespace topsman {

/// A number that only grows, summed over all workers of the cluster.
///
/// What: each worker adds to a cell of its own lane, on cache lines that nobody else writes; the
/// sum is taken by whoever looks (`topsman counters`, Worker::counter_totals()). Cells are
/// cumulative over a lane's holders and are never reset.
/// Units: whatever is counted. Wraps at 2^64.
/// Cost: about 0.3 ns for add(), about 4 ns for add_from_threads().
/// Errors: none; in a forked child of the worker the additions are dropped.
/// Threads: add() is for one thread at a time in this process; where several threads count the same
/// thing, all of them use add_from_threads(). Mixing the two on one counter loses additions.
/// Kill safety: an addition is one store. A worker killed at any instruction has counted it or has
/// not; nothing else is ever wrong.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Counter orders = worker.counter("orders").value();
///     orders.add();
///     orders.add(2);
///     return orders.here() >= 3 ? 0 : 1;
/// }
/// @endcode
class Counter {
  public:
    /// Adds `n`; one thread at a time (a plain load and store).
    void add(std::uint64_t n = 1) noexcept {
        cell_->store(cell_->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }

    /// Adds `n`; any number of threads of this process at once.
    void add_from_threads(std::uint64_t n = 1) noexcept {
        cell_->fetch_add(n, std::memory_order_relaxed);
    }

    /// What this lane has counted, its former holders included. Not the cluster's total.
    [[nodiscard]] std::uint64_t here() const noexcept {
        return cell_->load(std::memory_order_relaxed);
    }

  private:
    friend class Worker;

    explicit Counter(std::atomic<std::uint64_t>* cell) noexcept : cell_(cell) {}

    std::atomic<std::uint64_t>* cell_;
};

}  // namespace topsman
