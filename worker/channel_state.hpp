#pragma once

// What all handles of one channel point to, for the process's life.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "shm/inbox_reader.hpp"
#include "worker/process.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace topsman::detail {

/// Makes an eventfd(2) readable while there is something to receive.
///
/// A thread of this process sleeps where receivers sleep, and writes to the descriptor; started by
/// the first who asks for it. Why not a descriptor that senders write: it would have to be in the
/// hands of every process that may ever send, also of those that are older than the receiver, and
/// one that is killed between READY and the write would leave the receiver asleep with a message,
/// which no sweep could make up for. So senders wake what they always wake, and the sweep too.
class ChannelEvent {
  public:
    [[nodiscard]] bool is_on() const noexcept { return static_cast<bool>(fd_); }

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

    /// Makes the descriptor and starts the thread.
    [[nodiscard]] Result<void> start(struct ChannelState& state);

    /// Nothing was there to receive: unreadable, until something is.
    void rearm() noexcept;

  private:
    void watch(struct ChannelState& state) noexcept;

    UniqueFd fd_;
    std::atomic<bool> is_armed_ = true;
};

struct ChannelState {
    struct alignas(shm::kCacheLine) Line {
        std::byte bytes[shm::kCacheLine];
    };

    ChannelState(std::string of_name, std::string of_pool, shm::Owner me, shm::Channel view,
                 std::unique_ptr<Line[]> memory)
        : name(std::move(of_name)),
          pool(std::move(of_pool)),
          owner(me),
          own_memory(std::move(memory)),
          channel(view) {}

    std::string name;
    std::string pool;  ///< who receives; empty without a supervisor
    shm::Owner owner;
    std::unique_ptr<Line[]> own_memory;  ///< of a process without a segment
    shm::Channel channel;
    std::atomic<std::uint32_t> turn = 0;     ///< To::any(): where to begin
    std::optional<shm::InboxReader> reader;  ///< nothing: this worker does not receive
    /// Once there is an event descriptor its thread looks too, one at a time.
    std::mutex reader_lock;
    ChannelEvent event;

    [[nodiscard]] std::unique_lock<std::mutex> hold_reader() {
        return event.is_on() ? std::unique_lock(reader_lock) : std::unique_lock<std::mutex>();
    }

    /// The next messages, if this worker shall have them; under hold_reader().
    [[nodiscard]] shm::ReceivedRow receive(std::uint32_t most) noexcept;

    [[nodiscard]] bool can_receive() const noexcept { return !is_detached() && reader.has_value(); }

    /// The same with patience, for any thread; only if can_receive().
    [[nodiscard]] shm::ReceivedRow receive_until(shm::Deadline deadline,
                                                 std::uint32_t most) noexcept;

    /// They are received, or to be given again.
    void end(const shm::ReceivedRow& row, bool is_received) noexcept;

    /// Nothing in its hands, and it drains: another process may receive; under hold_reader().
    void leave_if_draining() noexcept;
};

}  // namespace topsman::detail
