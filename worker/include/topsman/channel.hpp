#pragma once

#include "shm/base/result.hpp"
#include "topsman/messages.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace topsman {

/// The size of a channel for a process that runs without a supervisor, which is then its only
/// receiver, in slot 0. In a cluster the file says it:
/// `shared: { channels: { news: { to: web, capacity: 128, message_size: 256 } } }`.
struct ChannelSize {
    std::uint32_t capacity = 128;      ///< messages that may wait in one inbox
    std::uint32_t message_size = 256;  ///< bytes of the longest message
    bool at_most_once = false;         ///< else at least once
};

/// For whom a message is: among the slots of the pool that receives the channel.
class To {
  public:
    /// The worker in that slot: `web/2` is slot 2. Whichever process that is when it is received.
    [[nodiscard]] static constexpr To slot(std::uint32_t number) noexcept {
        return {Kind::Slot, number};
    }

    /// One of them, in turns; those that receive now before those whose worker is away.
    [[nodiscard]] static constexpr To any() noexcept { return {Kind::Any, 0}; }

    /// Each of them but the sender itself.
    [[nodiscard]] static constexpr To all() noexcept { return {Kind::All, 0}; }

  private:
    friend class Channel;
    enum class Kind : std::uint8_t { Slot, Any, All };

    constexpr To(Kind kind, std::uint32_t slot) noexcept : kind_(kind), slot_(slot) {}

    Kind kind_;
    std::uint32_t slot_;
};

/// A message that this worker has received, to be ended by ack(). Move-only; when it is destroyed
/// before, the next receive() gives it again (at most once: it is gone). Threads: see Channel.
class Message {
  public:
    Message(Message&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)),
          position_(other.position_),
          data_(std::exchange(other.data_, {})) {}

    Message& operator=(Message&& other) noexcept;
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;

    ~Message() {
        if (state_ != nullptr) {
            put_back();
        }
    }

    /// What was sent; in shared memory, not copied. Not to be used after ack().
    [[nodiscard]] std::span<const std::byte> data() const noexcept { return data_; }

    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(data_.data()), data_.size()};
    }

    /// It is dealt with, and not received again. Errors: `std::errc::not_connected` in a forked
    /// child; `std::errc::operation_not_permitted` when it was ended already.
    Result<void> ack();

  private:
    friend class Channel;

    Message(detail::ChannelState* state, std::uint64_t position,
            std::span<const std::byte> data) noexcept
        : state_(state), position_(position), data_(data) {}

    void put_back() noexcept;

    detail::ChannelState* state_;  ///< null: ended
    std::uint64_t position_ = 0;
    std::span<const std::byte> data_;
};

/// Messages to the workers of one pool, from any worker of the cluster, or from a script: `topsman
/// channel send news --slot 2 hello`.
///
/// What: each slot of the receiving pool has an inbox. send() copies a message into one of them, or
/// into all; receive() gives a worker the messages of its own slot, each sender's in the order in
/// which it sent them. Promise: a message is seen whole or not at all. What send() has said to be
/// sent is received at least once, or at most once if the file says `delivery: at-most-once`,
/// whoever dies: an inbox belongs to the slot, so what a dead worker had not received, or not
/// acknowledged, its slot's next worker receives, and the messages for a slot that was scaled away
/// wait until it is there again. A send() whose worker died before it returned may have happened.
/// Back-pressure: a full inbox makes send() wait, try_send() refuse, send_until() wait for so long.
/// Once the worker drains nobody waits any more and nothing is received: what is left is for the
/// slot's next worker, who begins when this one has nothing unacknowledged in its hands and has
/// asked for a message in vain, or has ended.
/// Returns: of sending, in how many inboxes the message is: 1, or for To::all() as many as had
/// room; receive() nothing when the worker drains, try_receive() when there is no message,
/// receive_until() when there was none until the deadline.
/// Errors: `std::errc::no_buffer_space` full; `std::errc::timed_out`;
/// `std::errc::operation_canceled` it was full and the worker drains; `std::errc::message_size` the
/// message is too long: send the ticket of a Block; `std::errc::no_such_device_or_address` the pool
/// has no such slot (now), or no slots; `std::errc::operation_not_permitted` this worker's pool
/// does not receive this channel; `std::errc::not_connected` in a forked child of the worker.
/// Cost: some 60 ns for a message of 64 bytes sent, received and acknowledged. No system call
/// unless somebody sleeps; a waiting worker costs no CPU. Threads: any may send. Receiving, its
/// messages and event_fd() are for one thread at a time. Kill safety: one 64-bit exchange claims
/// the cells and names the owner, one store sends; see shm/channel.hpp. Source: Lamport's ring,
/// with Aeron's claim of many producers and owners in it. The handle is trivially copyable and
/// valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Channel news = worker.channel("news").value();
///     (void)news.send(topsman::To::slot(0), "price of beef: 4.20").value();
///     if (std::optional<topsman::Message> message = news.receive().value()) {
///         return message->text() == "price of beef: 4.20" && message->ack() ? 0 : 1;
///     }
///     return 1;
/// }
/// @endcode
class Channel {
  public:
    using Deadline = std::chrono::steady_clock::time_point;

    Result<std::uint32_t> send(To to, std::span<const std::byte> message);
    Result<std::uint32_t> try_send(To to, std::span<const std::byte> message);
    Result<std::uint32_t> send_until(To to, std::span<const std::byte> message, Deadline deadline);

    Result<std::uint32_t> send(To to, std::string_view message) {
        return send(to, bytes_of(message));
    }

    Result<std::uint32_t> try_send(To to, std::string_view message) {
        return try_send(to, bytes_of(message));
    }

    Result<std::uint32_t> send_until(To to, std::string_view message, Deadline deadline) {
        return send_until(to, bytes_of(message), deadline);
    }

    /// Many messages to one slot, in their order and with nobody else's between those that were
    /// sent with one step: up to 32 at a time, each time all of them at once as far as there is
    /// room. Returns how many were sent, from the first on: fewer than all of them only if the
    /// worker drains (or, of try_send_all(), if there is no more room). With a message that is too
    /// long none is sent.
    Result<std::size_t> send_all(std::uint32_t slot, std::span<const std::string_view> messages);
    Result<std::size_t> try_send_all(std::uint32_t slot,
                                     std::span<const std::string_view> messages);

    [[nodiscard]] Result<std::optional<Message>> receive();
    [[nodiscard]] Result<std::optional<Message>> try_receive();
    [[nodiscard]] Result<std::optional<Message>> receive_until(Deadline deadline);

    /// As many as have been sent, at most `most`: one or more in a row, to be ended together. Waits
    /// as the others do. What is not acknowledged keeps its room in the inbox: ask for at most half
    /// of its capacity, else senders wait meanwhile. Errors, further: `std::errc::invalid_argument`
    /// `most` is 0. See Messages.
    [[nodiscard]] Result<std::optional<Messages>> receive_all(std::size_t most);
    [[nodiscard]] Result<std::optional<Messages>> try_receive_all(std::size_t most);
    [[nodiscard]] Result<std::optional<Messages>> receive_all_until(Deadline deadline,
                                                                    std::size_t most);

    /// Readable when try_receive() may give something, and when the worker drains; for poll, epoll
    /// and Asio. It is the SDK's: do not read or close it. Call try_receive() until it gives
    /// nothing: that makes it unreadable until there is something again. The first call starts a
    /// thread, which sleeps until a message comes.
    [[nodiscard]] Result<int> event_fd();

    [[nodiscard]] ChannelSize size() const noexcept;
    /// How many slots there are to send to, now: from 0 on.
    [[nodiscard]] std::uint32_t slots() const noexcept;

  private:
    friend class Worker;

    explicit Channel(detail::ChannelState* state) noexcept : state_(state) {}

    static std::span<const std::byte> bytes_of(std::string_view text) noexcept {
        return std::as_bytes(std::span(text.data(), text.size()));
    }

    Result<std::uint32_t> send_to_all(std::span<const std::byte> message, Deadline deadline);
    Result<std::size_t> send_many(std::uint32_t slot, std::span<const std::string_view> messages,
                                  bool is_patient);

    detail::ChannelState* state_;
};

}  // namespace topsman
