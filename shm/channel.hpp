#pragma once

// Messages to the slots of a pool, from any process, any of which may die at any instruction.
//
// Each slot has an inbox: a ring of cells, of which every sender may claim the next ones and one
// process receives, the slot's worker. An inbox belongs to the slot and not to the process: what a
// dead worker has not received is received by the slot's next one.
//
//      ... freed ................ tail ...     freed: all before has been received
//            | sent, not received |              tail:  the last claim, and whose it is
//
//      not claimed --claim--> claimed --send--> READY
//                                |
//                                +--sweep--> VOID
//
// To send is to claim the next cells by one exchange of the tail, which names who claims them, to
// copy, and to store READY in the first of them: the commit point, for all messages of the run at
// once. The tail names the last claim only: whoever claims next has written the one before into its
// cell, as WRITING with its owner, unless it was sent by then. So every claim can be found by the
// sweep, and a sender that is alone writes nothing twice. To receive stores nothing here; that it
// has been received is one store of the cursor `freed`, the commit point, by the one process that
// the word `receiver` names.
//
// What this buys: a sender touches what the receiver writes once for each filling of the inbox, and
// the receiver nothing that senders write but the messages. A sender that stands still or dies
// between claim and send holds up nobody as long as there is room: what others sent later is
// received past its cells. But `freed` stays before them, so once capacity less its own cells have
// been sent after it the inbox is full for all, until it goes on, or is dead and swept; other
// inboxes are not touched. Nobody can take its cells away: it may be amid its copy, and its READY
// is a plain store.
//
// A view like std::span: it is made from a shape that was checked and copied, and trusts no word in
// the segment; every number is checked before it is an index. Receiving is in inbox_reader.hpp.

#include "shm/cell_word.hpp"
#include "shm/channel_shape.hpp"
#include "shm/lane.hpp"
#include "shm/lane_set.hpp"
#include "shm/limits.hpp"
#include "shm/parking.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace topsman::shm {

/// As it lies in the segment, before the inboxes. All zeros is a channel that nobody receives.
struct alignas(kCacheLine) ChannelControl {
    std::atomic<std::uint32_t> slots;    ///< that the receiving pool has now; the master's
    std::atomic<std::uint64_t> illegal;  ///< words that were found impossible, and passed over
    Parking senders;                     ///< wait for room in whichever inbox
};

/// As it lies in the segment, before the cells of the inbox.
struct InboxControl {
    alignas(kCacheLine) std::atomic<std::uint64_t> tail;  ///< TailWord
    std::atomic<std::uint64_t> seen_freed;  ///< `freed` as senders saw it last, a hint
    /// A claim that was sent: as long as the tail is the same its cell need not be looked at. A
    /// hint; any other word says nothing.
    std::atomic<std::uint64_t> sent;
    alignas(kCacheLine) std::atomic<std::uint64_t> freed;
    std::atomic<std::uint64_t> handed_out;  ///< at most once: all before are not given again
    std::atomic<std::uint64_t> receiver;    ///< Owner: who receives; 0: nobody
    LaneSet users;                          ///< lanes that may have claimed cells
    Parking receivers;                      ///< wait for a message, or to be the receiver
    Parking senders;                        ///< wait for room
};

/// As it lies in the segment, followed by the message.
struct CellHeader {
    std::atomic<std::uint64_t> word;  ///< CellWord
    std::atomic<std::uint32_t> length;
    std::uint32_t reserved;
};

/// What a sweep of one lane found.
struct ChannelSweep {
    std::uint32_t unfinished = 0;  ///< runs that were half written: nobody will see them
    std::uint32_t inboxes = 0;     ///< that have no receiver any more
};

class Channel {
  public:
    using Bytes = std::span<const std::byte>;

    /// `memory` has channel_bytes(shape) bytes, at a multiple of kCacheLine.
    Channel(std::byte* memory, const ChannelShape& shape, std::span<Lane> lanes) noexcept;

    [[nodiscard]] const ChannelShape& shape() const noexcept { return shape_; }

    /// How many slots there are to send to, now; never more than the shape has.
    [[nodiscard]] std::uint32_t slots() const noexcept {
        return std::min(control_->slots.load(std::memory_order_relaxed), shape_.slots);
    }

    /// The master's: the pool has so many slots. Who waits for room in one that is gone is woken.
    void set_slots(std::uint32_t slots) const noexcept;

    // -- sending: any process, any thread ------------------------------------------------------
    // Messages have at most message_size bytes; `slot` is below the shape's.

    /// The messages are copied. From the first on, as many as there is room for, at most
    /// kMostOfRun; all of them are there at once, or none. Returns how many.
    [[nodiscard]] std::uint32_t send(Owner me, std::uint32_t slot,
                                     std::span<const Bytes> messages) const noexcept;

    [[nodiscard]] bool send(Owner me, std::uint32_t slot, Bytes message) const noexcept {
        return send(me, slot, std::span(&message, 1)) == 1;
    }

    using IsOver = bool (*)() noexcept;

    enum class Sent : std::uint8_t { Yes, Full, NoSlot };

    /// The same for one message; waits for room until the deadline has passed or `is_over()` says
    /// that nobody wants it any more (Full), or the slot is gone.
    [[nodiscard]] Sent send_until(Owner me, std::uint32_t slot, Bytes message, Deadline deadline,
                                  IsOver is_over) const noexcept;

    /// To whichever slot takes it: from `first` on in turns, those with a receiver before those
    /// without one. Nothing: all are full, or there are none.
    [[nodiscard]] std::optional<std::uint32_t> send_any(Owner me, std::uint32_t first,
                                                        Bytes message) const noexcept;
    [[nodiscard]] std::optional<std::uint32_t> send_any_until(Owner me, std::uint32_t first,
                                                              Bytes message, Deadline deadline,
                                                              IsOver is_over) const noexcept;

    /// Gives back what the dead holder of a lane held. By the master alone; concurrent with living
    /// users; may be done again and again.
    ChannelSweep sweep(Owner dead) const noexcept;

    // -- for the receiver, and for lookers -----------------------------------------------------

    [[nodiscard]] ChannelControl& control() const noexcept { return *control_; }

    [[nodiscard]] InboxControl& inbox(std::uint32_t slot) const noexcept {
        return *reinterpret_cast<InboxControl*>(inboxes_ + std::size_t{slot} * inbox_bytes_);
    }

    /// Cells of an inbox: a power of two, at least `capacity`.
    [[nodiscard]] std::uint64_t cells() const noexcept { return mask_ + 1; }

    [[nodiscard]] CellHeader& cell(std::uint32_t slot, Position position) const noexcept {
        std::byte* cells = inboxes_ + std::size_t{slot} * inbox_bytes_ + sizeof(InboxControl);
        return *reinterpret_cast<CellHeader*>(cells + (position & mask_) * stride_);
    }

    [[nodiscard]] std::byte* message(std::uint32_t slot, Position position) const noexcept {
        return reinterpret_cast<std::byte*>(&cell(slot, position)) + sizeof(CellHeader);
    }

    [[nodiscard]] std::uint64_t turn_of(Position position) const noexcept {
        return ((position >> shift_) + 1) & CellWord::kTurnMask;
    }

    [[nodiscard]] std::span<Lane> lanes() const noexcept { return lanes_; }

    /// Messages that are sent and not yet received, about; at most the capacity.
    [[nodiscard]] std::uint32_t unread(std::uint32_t slot) const noexcept;
    /// Does the process that the inbox names as its receiver hold its lane, as far as lanes say?
    [[nodiscard]] bool has_receiver(std::uint32_t slot) const noexcept;

    void wake_receivers(std::uint32_t slot) const noexcept;
    void wake_senders(std::uint32_t slot) const noexcept;
    void count_illegal() const noexcept;

  private:
    using Run = TailWord;

    /// What claim() has got: a count of 0 if there is no room.
    struct Claim {
        Run run;
        bool is_alone = false;  ///< the claim before was its own, too
    };

    [[nodiscard]] Claim claim(Owner me, std::uint32_t slot, std::uint32_t most) const noexcept;
    [[nodiscard]] std::uint32_t room_at(InboxControl& inbox, Position position,
                                        std::uint32_t most) const noexcept;
    [[nodiscard]] bool record(InboxControl& inbox, std::uint32_t slot,
                              std::uint64_t packed_tail) const noexcept;
    void put(std::uint32_t slot, const Run& run, std::span<const Bytes> messages) const noexcept;
    void sweep_inbox(Owner dead, std::uint32_t slot, ChannelSweep& found) const noexcept;

    ChannelShape shape_;
    ChannelControl* control_;
    std::byte* inboxes_;
    std::size_t inbox_bytes_;
    std::size_t stride_;
    std::uint64_t mask_;
    unsigned shift_;
    std::size_t asked_;  ///< bytes of a cell that are asked for ahead of time
    std::span<Lane> lanes_;
};

}  // namespace topsman::shm
