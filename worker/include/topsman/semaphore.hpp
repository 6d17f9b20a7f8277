#pragma once

#include "shm/base/result.hpp"

#include <chrono>
#include <cstdint>
#include <utility>

namespace topsman {

namespace shm {
struct SharedArrayStorage;
}

/// So many at a time, over all workers of the cluster: connections to a database, heavy requests.
///
/// What: a number of permits, declared in the file (`shared: { semaphores: { db: 20 } }`) or by
/// whoever names it first. Each permit says who has it, so those of a worker that dies come back as
/// soon as it is reaped.
/// Returns: acquire() and its like a Permit, which is given back at its end, or an Error:
///   - `std::errc::timed_out`: all were taken until `deadline`;
///   - `std::errc::device_or_resource_busy`: all are taken, for try_acquire();
///   - `std::errc::not_connected`: detached, this is a forked child of the worker.
/// Units: 1 to 1,023 permits.
/// Cost: about 20 ns to acquire and release when some are free; no system call unless somebody
/// waits.
/// Threads: any. Order: those who wait are woken in turns, but who comes just then may be faster.
/// Kill safety: acquiring and releasing are one exchange each, which names the owner.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Semaphore db = worker.semaphore("db", 20).value();
///     {
///         topsman::Semaphore::Permit permit = db.acquire().value();  // waits for one of the 20
///     }                                                              // given back
///     return db.permits() == 20 ? 0 : 1;
/// }
/// @endcode
class Semaphore {
  public:
    /// Holds one permit. Move-only.
    class Permit {
      public:
        Permit(Permit&& other) noexcept
            : storage_(std::exchange(other.storage_, nullptr)), number_(other.number_) {}

        Permit& operator=(Permit&& other) noexcept {
            std::swap(storage_, other.storage_);
            std::swap(number_, other.number_);
            return *this;
        }

        Permit(const Permit&) = delete;
        Permit& operator=(const Permit&) = delete;

        ~Permit() { release(); }

        /// Gives it back before its end. Nothing in a forked child: it is the parent's.
        void release() noexcept;

      private:
        friend class Semaphore;

        Permit(shm::SharedArrayStorage* storage, std::uint32_t number) noexcept
            : storage_(storage), number_(number) {}

        shm::SharedArrayStorage* storage_;
        std::uint32_t number_;
    };

    /// Waits for a permit.
    [[nodiscard]] Result<Permit> acquire();
    /// Does not wait.
    [[nodiscard]] Result<Permit> try_acquire();
    /// Waits at most until `deadline`.
    [[nodiscard]] Result<Permit> acquire_until(std::chrono::steady_clock::time_point deadline);

    [[nodiscard]] std::uint32_t permits() const noexcept;
    [[nodiscard]] std::uint32_t taken() const noexcept;

  private:
    friend class Worker;

    explicit Semaphore(shm::SharedArrayStorage* storage) noexcept : storage_(storage) {}

    shm::SharedArrayStorage* storage_;
};

}  // namespace topsman
