// What a dead process leaves in a channel, given back. Runs beside living senders and receivers:
// each step is one exchange of one word, and may be done twice.

#include "shm/channel.hpp"

namespace topsman::shm {

ChannelSweep Channel::sweep(Owner dead) const noexcept {
    ChannelSweep found;
    for (std::uint32_t slot = 0; slot < shape_.slots; ++slot) {
        sweep_inbox(dead, slot, found);
    }
    control_->senders.forget(dead.lane);
    return found;
}

void Channel::sweep_inbox(Owner dead, std::uint32_t slot, ChannelSweep& found) const noexcept {
    InboxControl& inbox = this->inbox(slot);
    // By the lane alone: it has one holder at a time, so none of its former ones lives either.
    std::uint64_t receiver = inbox.receiver.load(std::memory_order_acquire);
    if (receiver != 0 && Owner::unpack(receiver).lane == dead.lane &&
        inbox.receiver.compare_exchange_strong(receiver, 0, std::memory_order_seq_cst)) {
        ++found.inboxes;
        (void)inbox.receivers.wake_all(lanes_);
    }
    inbox.receivers.forget(dead.lane);
    inbox.senders.forget(dead.lane);
    if (!inbox.users.contains(dead.lane)) {
        return;
    }
    // What it claimed last may not be in its cell yet.
    while (!record(inbox, slot, inbox.tail.load(std::memory_order_seq_cst))) {
    }
    for (std::uint64_t at = 0; at < cells(); ++at) {
        std::atomic<std::uint64_t>& word = cell(slot, at).word;
        std::uint64_t packed = word.load(std::memory_order_acquire);
        CellWord seen = CellWord::unpack(packed);
        if (seen.state != CellState::Writing || seen.lane != dead.lane) {
            continue;
        }
        seen.state = CellState::Void;
        if (word.compare_exchange_strong(packed, seen.pack(), std::memory_order_seq_cst)) {
            ++found.unfinished;
            (void)inbox.receivers.wake_all(lanes_);
        }
    }
    // Last: a master that dies before has it all to do again.
    inbox.users.erase(dead.lane);
}

}  // namespace topsman::shm
