#pragma once

#include "shm/base/result.hpp"

#include <cstddef>
#include <type_traits>
#include <utility>

namespace topsman {

namespace shm {
class TxCellStorage;
}

namespace detail {

/// One change of a cell: locks at construction, and is undone unless commit() is called.
class CellChange {
  public:
    /// Copies the current value to `value`.
    CellChange(shm::TxCellStorage* storage, void* value, std::size_t size) noexcept;
    CellChange(const CellChange&) = delete;
    CellChange& operator=(const CellChange&) = delete;
    ~CellChange();

    [[nodiscard]] bool is_open() const noexcept { return is_open_; }

    [[nodiscard]] Error error() const;
    void commit() noexcept;

  private:
    shm::TxCellStorage* storage_;
    void* value_;
    std::size_t size_;
    bool is_open_ = false;
    bool is_detached_ = false;
};

[[nodiscard]] Result<void> read_cell(const shm::TxCellStorage* storage, void* to, std::size_t size);

}  // namespace detail

/// A small value shared by all workers, whole at every instruction.
///
/// What: update() changes a copy under a lock and publishes it with one store; read() takes no
/// lock. A worker killed before that store has changed nothing, one killed after it has changed
/// everything, and nobody has to repair anything.
/// Returns: what the function given to update() returns; read() the value.
/// Errors: `std::errc::not_connected` in a forked child of the worker;
/// `std::errc::state_not_recoverable` when the lock is unusable.
/// Exceptions: what the function throws passes through, and the value stays as it was.
/// Cost: about 40 ns for an update, about 3 ns for a read of a few words.
/// Threads: any. The function must not update the same cell.
/// Kill safety: see above. `T` is trivially copyable and has at most 512 bytes; all programs of the
/// cluster must mean the same type by the same name (the size is checked).
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::TxCell<int> stock = worker.cell<int>("stock", 10).value();
///     bool sold = stock.update([](int& left) { return left > 0 && left-- > 0; }).value();
///     return sold && stock.read().value() == 9 ? 0 : 1;
/// }
/// @endcode
template <class T>
class TxCell {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 512,
                  "a TxCell holds at most 512 bytes that may be copied as bytes");
    static_assert(std::is_default_constructible_v<T>);

  public:
    template <class F>
    auto update(F&& change) -> Result<std::invoke_result_t<F, T&>> {
        using R = std::invoke_result_t<F, T&>;
        T value{};
        detail::CellChange opened(storage_, &value, sizeof(T));
        if (!opened.is_open()) {
            return opened.error();
        }
        if constexpr (std::is_void_v<R>) {
            std::forward<F>(change)(value);
            opened.commit();
            return {};
        } else {
            R result = std::forward<F>(change)(value);
            opened.commit();
            return result;
        }
    }

    [[nodiscard]] Result<T> read() const {
        T value{};
        if (auto done = detail::read_cell(storage_, &value, sizeof(T)); !done) {
            return done.error();
        }
        return value;
    }

  private:
    friend class Worker;

    explicit TxCell(shm::TxCellStorage* storage) noexcept : storage_(storage) {}

    shm::TxCellStorage* storage_;
};

}  // namespace topsman
