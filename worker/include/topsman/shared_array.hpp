#pragma once

#include "topsman/atomic.hpp"

#include <cstddef>

namespace topsman {

namespace shm {
struct SharedArrayStorage;
}

namespace detail {

/// The element's place. An index that the array does not have ends the process: what lies behind
/// the array is somebody else's.
[[nodiscard]] WordPlace element_of(shm::SharedArrayStorage* storage, std::size_t index,
                                   std::size_t size, std::size_t element_bytes);

}  // namespace detail

/// A row of numbers of 4 or 8 bytes that all workers of the cluster share.
///
/// What: each element is an Atomic<T>. Zero at first.
/// Units: `size()` elements, at most 8,192 bytes in all.
/// Errors: an index of size() or more ends the process with a message (it is a bug).
/// Cost: as Atomic. Waiting for elements whose numbers differ by a multiple of 8 is waiting at one
/// place: a notify() for one wakes those who wait for the other too, to look again.
/// Threads, kill safety: as Atomic. Elements are whole, the row is not: for several numbers that
/// change together use a TxCell.
/// Source: ECMAScript's SharedArrayBuffer under an Int32Array or a BigInt64Array.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::SharedArray<long> bins = worker.array<long>("bins", 16).value();
///     bins[3].fetch_add(5);
///     bins[3].notify();
///     return bins[3].load() >= 5 && bins.size() == 16 ? 0 : 1;
/// }
/// @endcode
template <class T>
class SharedArray {
  public:
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    [[nodiscard]] Atomic<T> operator[](std::size_t index) const {
        return Atomic<T>(detail::element_of(storage_, index, size_, sizeof(T)));
    }

  private:
    friend class Worker;

    SharedArray(shm::SharedArrayStorage* storage, std::size_t size) noexcept
        : storage_(storage), size_(size) {}

    shm::SharedArrayStorage* storage_;
    std::size_t size_;
};

}  // namespace topsman
