// The event descriptor of a channel, and the receiver's side that its thread shares.

#include "shm/fenced_wait.hpp"
#include "worker/channel_state.hpp"
#include "worker/process.hpp"

#include <csignal>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace topsman::detail {

shm::ReceivedRow ChannelState::receive(std::uint32_t most) noexcept {
    shm::ReceivedRow received;
    if (is_leaving()) {
        leave_if_draining();
    } else {
        received = reader->receive_row(most);
    }
    if (!received && event.is_on()) {
        event.rearm();
    }
    return received;
}

shm::ReceivedRow ChannelState::receive_until(shm::Deadline deadline, std::uint32_t most) noexcept {
    return shm::fenced_until_done(
        channel.inbox(reader->slot()).receivers, channel.lanes(), owner.lane, deadline, &is_leaving,
        [this, most] {
            const auto hold = hold_reader();
            return receive(most);
        },
        [this] {
            const auto hold = hold_reader();
            reader->meet_senders();
        });
}

void ChannelState::end(const shm::ReceivedRow& row, bool is_received) noexcept {
    const auto hold = hold_reader();
    if (is_received) {
        reader->done(row);
    } else {
        reader->put_back(row);
    }
    leave_if_draining();
}

void ChannelState::leave_if_draining() noexcept {
    if (is_leaving() && reader->in_hand() == 0 && reader->is_receiver()) {
        reader->leave();
    }
}

Result<void> ChannelEvent::start(ChannelState& state) {
    UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) {
        return system_error("channel " + state.name + ": eventfd");
    }
    // No signal of the program's is handled in a thread that it does not know.
    sigset_t all;
    sigset_t before;
    (void)::sigfillset(&all);
    (void)::pthread_sigmask(SIG_SETMASK, &all, &before);
    Result<void> done;
    try {
        fd_ = std::move(fd);
        std::thread([this, &state] { watch(state); }).detach();
    } catch (const std::system_error& error) {
        fd_.reset();
        done = system_error("channel " + state.name + ": thread", error.code().value());
    }
    (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return done;
}

/// Lives as long as the process, as the state does.
void ChannelEvent::watch(ChannelState& state) noexcept {
    const std::uint64_t one = 1;
    bool is_over = false;
    while (!is_over) {
        is_armed_.wait(false, std::memory_order_acquire);
        const bool is_there = shm::fenced_until_done(
            state.channel.inbox(state.reader->slot()).receivers, state.channel.lanes(),
            state.owner.lane, shm::kNoDeadline, &is_leaving,
            [&state] {
                const std::scoped_lock hold(state.reader_lock);
                return state.reader->has_something();
            },
            [&state] {
                const std::scoped_lock hold(state.reader_lock);
                state.reader->meet_senders();
            });
        is_over = !is_there;  // it drains: that can be seen, too
        is_armed_.store(false, std::memory_order_relaxed);
        [[maybe_unused]] const ssize_t done = ::write(fd_.get(), &one, sizeof one);
    }
}

void ChannelEvent::rearm() noexcept {
    if (is_armed_.load(std::memory_order_acquire)) {
        return;
    }
    std::uint64_t count = 0;
    if (::read(fd_.get(), &count, sizeof count) == sizeof count) {
        is_armed_.store(true, std::memory_order_release);
        is_armed_.notify_one();
    }
}

}  // namespace topsman::detail
