#include "shm/channel.hpp"

#include "shm/base/check.hpp"
#include "shm/fence.hpp"
#include "shm/fenced_wait.hpp"
#include "shm/prefetch.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace topsman::shm {
namespace {

/// No line of cache has parts of two cells: the receiver looks for the next message all the time,
/// and would take the line away from the sender who is still writing the one before it.
constexpr std::size_t stride_of(const ChannelShape& shape) noexcept {
    return rounded_up(sizeof(CellHeader) + shape.message_size, kLine);
}

constexpr std::size_t inbox_bytes_of(const ChannelShape& shape) noexcept {
    return sizeof(InboxControl) +
           rounded_up(stride_of(shape) * std::bit_ceil(shape.capacity), kCacheLine);
}

/// How far beyond the next run senders ask for the lines of cells. The receiver has them from the
/// last turn: a store waits for its line, and the next claim for all stores before it.
constexpr std::uint32_t kAskedBeyond = 3;

/// What lies in the line of the word comes last, together with the word: the receiver looks at that
/// line all the time, and would take it away in between.
inline void copy(std::byte* to, std::span<const std::byte> bytes) noexcept {
    constexpr std::size_t kBesideWord = kLine - sizeof(CellHeader);
    const std::size_t first = std::min(bytes.size(), kBesideWord);
    if (bytes.size() > first) {
        std::memcpy(to + first, bytes.data() + first, bytes.size() - first);
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    if (first != 0) {
        std::memcpy(to, bytes.data(), first);
    }
}

}  // namespace

std::size_t channel_bytes(const ChannelShape& shape) noexcept {
    return sizeof(ChannelControl) + inbox_bytes_of(shape) * shape.slots;
}

Channel::Channel(std::byte* memory, const ChannelShape& shape, std::span<Lane> lanes) noexcept
    : shape_(shape),
      control_(reinterpret_cast<ChannelControl*>(memory)),
      inboxes_(memory + sizeof(ChannelControl)),
      inbox_bytes_(inbox_bytes_of(shape)),
      stride_(stride_of(shape)),
      mask_(std::bit_ceil(shape.capacity) - 1),
      shift_(static_cast<unsigned>(std::countr_zero(mask_ + 1))),
      asked_(std::min(stride_, 2 * kLine)),
      lanes_(lanes) {
    CHECK(is_sound(shape));
}

void Channel::set_slots(std::uint32_t slots) const noexcept {
    if (control_->slots.exchange(slots, std::memory_order_seq_cst) > slots) {
        for (std::uint32_t slot = std::min(slots, shape_.slots); slot < shape_.slots; ++slot) {
            (void)inbox(slot).senders.wake_all(lanes_);
        }
        (void)control_->senders.wake_all(lanes_);
    }
}

// -- sending ----------------------------------------------------------------------------------

std::uint32_t Channel::send(Owner me, std::uint32_t slot,
                            std::span<const Bytes> messages) const noexcept {
    CHECK(slot < shape_.slots);
    const auto most =
        static_cast<std::uint32_t>(std::min<std::size_t>(messages.size(), kMostOfRun));
    const Claim claimed = claim(me, slot, most);
    if (claimed.run.count != 0) {
        put(slot, claimed.run, messages);
        if (claimed.is_alone) {
            // After READY, which whoever sees this sees too.
            inbox(slot).sent.store(claimed.run.pack(), std::memory_order_release);
        }
        wake_receivers(slot);
    }
    return claimed.run.count;
}

/// How many cells there are free from `position` on, at most `most`.
inline std::uint32_t Channel::room_at(InboxControl& inbox, Position position,
                                      std::uint32_t most) const noexcept {
    std::uint64_t used = distance(inbox.seen_freed.load(std::memory_order_relaxed), position);
    if (used + most > shape_.capacity) {
        const Position freed = inbox.freed.load(std::memory_order_acquire);
        inbox.seen_freed.store(freed, std::memory_order_relaxed);
        used = distance(freed, position);
    }
    // More than all of it: the tail is old by now, or somebody has spoilt the cursor.
    return used > shape_.capacity
               ? 0
               : static_cast<std::uint32_t>(std::min<std::uint64_t>(most, shape_.capacity - used));
}

/// Sees to it that the last claim can be found in its first cell, as the tail will not name it any
/// more. False: it is not the last one any more.
bool Channel::record(InboxControl& inbox, std::uint32_t slot,
                     std::uint64_t packed_tail) const noexcept {
    const TailWord tail = TailWord::unpack(packed_tail);
    const std::uint64_t turn = turn_of(tail.position);
    std::atomic<std::uint64_t>& word = cell(slot, tail.position).word;
    std::uint64_t seen = word.load(std::memory_order_acquire);
    if (CellWord::unpack(seen).turn == turn || tail.count == 0) {
        return true;
    }
    // Seen while it was the last claim: from now on this word changes before its cell is used
    // again.
    if (inbox.tail.load(std::memory_order_seq_cst) != packed_tail) {
        return false;
    }
    const CellWord claimed{CellState::Writing, tail.lane, tail.generation, tail.count, turn};
    (void)word.compare_exchange_strong(seen, claimed.pack(), std::memory_order_seq_cst);
    return true;
}

/// The next cells, at most `most`. Whoever dies from the exchange on until put() is done leaves a
/// claim that names it.
///
/// A sender that is alone would read back from its receiver the line of its last message, only to
/// see in record() that it has sent it: `sent` says so in the line of the tail. It is stored after
/// READY, so if it is the tail's word, the cell has this turn's word, and that is all record() sees
/// to. Whoever dies between the two has left an older word there, and record() looks. An older word
/// is the tail's again only when positions have wrapped. Where several send nobody writes it: the
/// line of the tail would go to and fro twice.
inline Channel::Claim Channel::claim(Owner me, std::uint32_t slot,
                                     std::uint32_t most) const noexcept {
    InboxControl& inbox = this->inbox(slot);
    if (!inbox.users.contains(me.lane)) {
        inbox.users.insert(me.lane);
    }
    std::uint64_t packed = inbox.tail.load(std::memory_order_acquire);
    // Each pass but the last one finds that somebody else has claimed something.
    for (;;) {
        if (inbox.sent.load(std::memory_order_acquire) != packed && !record(inbox, slot, packed)) {
            packed = inbox.tail.load(std::memory_order_acquire);
            continue;
        }
        const TailWord last = TailWord::unpack(packed);
        const Position end = last.end();
        const std::uint32_t count = room_at(inbox, end, most);
        if (count == 0) {
            const std::uint64_t now = inbox.tail.load(std::memory_order_acquire);
            if (now == packed) {
                return {};
            }
            packed = now;
            continue;
        }
        const Run mine{end, count, me.lane, me.generation & 0xfU};
        // Before the look for a receiver that sleeps, by itself: see InboxReader::meet_senders().
        if (inbox.tail.compare_exchange_strong(packed, mine.pack(), std::memory_order_seq_cst)) {
            return {mine, last.lane == mine.lane && last.generation == mine.generation};
        }
    }
}

inline void Channel::put(std::uint32_t slot, const Run& run,
                         std::span<const Bytes> messages) const noexcept {
    for (std::uint32_t i = run.count; i-- != 0;) {
        const Position position = after(run.position, i);
        const Bytes& bytes = messages[i];
        CHECK(bytes.size() <= shape_.message_size);
        CellHeader& header = cell(slot, position);
        std::byte* const to = message(slot, position);
        copy(to, bytes);
        header.length.store(static_cast<std::uint32_t>(bytes.size()), std::memory_order_relaxed);
        // The last of these stores is the commit point: the receiver comes to the others only past
        // the first cell.
        const CellWord ready{CellState::Ready, run.lane, run.generation, i == 0 ? run.count : 1,
                             turn_of(position)};
        header.word.store(ready.pack(), std::memory_order_release);
        prefetch_to_write(&cell(slot, after(position, run.count + kAskedBeyond)), asked_);
    }
}

void Channel::wake_receivers(std::uint32_t slot) const noexcept {
    light_fence();
    // All: one of them may wait to become the receiver, and has no use for it.
    if (Parking& receivers = inbox(slot).receivers; !receivers.is_empty(lanes_)) {
        (void)receivers.wake_all(lanes_);
    }
}

void Channel::wake_senders(std::uint32_t slot) const noexcept {
    light_fence();
    if (Parking& senders = inbox(slot).senders; !senders.is_empty(lanes_)) {
        (void)senders.wake_one(lanes_);
    }
    if (!control_->senders.is_empty(lanes_)) {
        (void)control_->senders.wake_one(lanes_);
    }
}

void Channel::count_illegal() const noexcept {
    control_->illegal.fetch_add(1, std::memory_order_relaxed);
}

Channel::Sent Channel::send_until(Owner me, std::uint32_t slot, Bytes message, Deadline deadline,
                                  IsOver is_over) const noexcept {
    const bool is_sent = fenced_until_done(
        inbox(slot).senders, lanes_, me.lane, deadline,
        [&] { return slot >= slots() || is_over(); },
        [&] { return slot < slots() && send(me, slot, message); });
    return is_sent ? Sent::Yes : (slot < slots() ? Sent::Full : Sent::NoSlot);
}

std::optional<std::uint32_t> Channel::send_any(Owner me, std::uint32_t first,
                                               Bytes message) const noexcept {
    const std::uint32_t all = slots();
    for (const bool shall_have : {true, false}) {
        for (std::uint32_t i = 0; i < all; ++i) {
            const std::uint32_t slot = (first % all + i) % all;
            if (has_receiver(slot) == shall_have && send(me, slot, message)) {
                return slot;
            }
        }
    }
    return std::nullopt;
}

std::optional<std::uint32_t> Channel::send_any_until(Owner me, std::uint32_t first, Bytes message,
                                                     Deadline deadline,
                                                     IsOver is_over) const noexcept {
    return fenced_until_done(
        control_->senders, lanes_, me.lane, deadline, [&] { return slots() == 0 || is_over(); },
        [&] { return send_any(me, first, message); });
}

// -- looking ----------------------------------------------------------------------------------

std::uint32_t Channel::unread(std::uint32_t slot) const noexcept {
    const InboxControl& inbox = this->inbox(slot);
    const Position end = TailWord::unpack(inbox.tail.load(std::memory_order_relaxed)).end();
    const std::uint64_t unfreed = distance(inbox.freed.load(std::memory_order_relaxed), end);
    const std::uint64_t unseen = distance(inbox.handed_out.load(std::memory_order_relaxed), end);
    const std::uint64_t unread =
        shape_.delivery == Delivery::AtMostOnce ? std::min(unfreed, unseen) : unfreed;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(unread, shape_.capacity));
}

bool Channel::has_receiver(std::uint32_t slot) const noexcept {
    const Owner owner = Owner::unpack(inbox(slot).receiver.load(std::memory_order_relaxed));
    return owner.lane != 0 && owner.lane < lanes_.size() &&
           LaneWord::unpack(lanes_[owner.lane].word.load(std::memory_order_relaxed)).generation ==
               owner.generation;
}

}  // namespace topsman::shm
