#pragma once

#include "shm/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

namespace topsman {

namespace detail {
struct ChannelState;
}

/// Messages that this worker has received together with Channel::receive_all(), to be ended
/// together by ack(). Move-only; when they are destroyed before, the next receive() gives them
/// again (at most once: they are gone).
///
/// What: a row of messages, in their order, that lie in shared memory and are not copied; there is
/// at least one. Promise: they are acknowledged all or not at all, whoever dies, by one store; only
/// when an earlier message is not acknowledged yet it is one store for each. At most once they are
/// handed out by one store, too: then a death loses all of the row.
/// Cost: beside what is in them, a few nanoseconds for each and one acknowledgement for all: less
/// than half of what they cost one by one. Threads and errors: as Message.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// #include <vector>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Channel prices = worker.channel("prices").value();
///     const std::vector<std::string_view> some = {"beef 4.20", "milk 0.99", "salt 0.31"};
///     (void)prices.send_all(0, some).value();
///     std::size_t bytes = 0;
///     if (std::optional<topsman::Messages> row = prices.receive_all(64).value()) {
///         for (std::string_view price : *row) {
///             bytes += price.size();
///         }
///         return row->size() == 3 && bytes == 27 && row->ack() ? 0 : 1;
///     }
///     return 1;
/// }
/// @endcode
class Messages {
  public:
    /// From one message to the next, as text.
    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = std::string_view;

        [[nodiscard]] std::string_view operator*() const noexcept { return all_->text(number_); }

        Iterator& operator++() noexcept {
            ++number_;
            return *this;
        }

        Iterator operator++(int) noexcept {
            const Iterator before = *this;
            ++number_;
            return before;
        }

        friend bool operator==(const Iterator&, const Iterator&) = default;

      private:
        friend class Messages;

        Iterator(const Messages& all, std::size_t number) noexcept : all_(&all), number_(number) {}

        const Messages* all_;
        std::size_t number_;
    };

    Messages(Messages&& other) noexcept;
    Messages& operator=(Messages&& other) noexcept;
    Messages(const Messages&) = delete;
    Messages& operator=(const Messages&) = delete;
    ~Messages();

    /// How many; 0 once they are ended.
    [[nodiscard]] std::size_t size() const noexcept { return count_; }

    /// What was sent, below size(); not to be used after ack().
    [[nodiscard]] std::span<const std::byte> data(std::size_t number) const noexcept;

    [[nodiscard]] std::string_view text(std::size_t number) const noexcept {
        const std::span<const std::byte> bytes = data(number);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    [[nodiscard]] Iterator begin() const noexcept { return {*this, 0}; }

    [[nodiscard]] Iterator end() const noexcept { return {*this, count_}; }

    /// They are dealt with, and not received again. Errors: as Message::ack().
    Result<void> ack();

  private:
    friend class Channel;

    Messages(detail::ChannelState* state, std::uint64_t first, std::uint32_t count) noexcept
        : state_(state), first_(first), count_(count) {}

    detail::ChannelState* state_;  ///< null: ended
    std::uint64_t first_;
    std::uint32_t count_;
};

}  // namespace topsman
