#pragma once

// The receiving end of one inbox of a channel: what one process knows of it, beside what lies in
// the segment. One thread at a time.
//
// At most one process is the receiver; it says so in the inbox's word `receiver` by one exchange,
// which names it, and stays it until it leaves or is swept. Only then the slot's next worker comes,
// so the messages of one sender are handled in their order, across all of them.
//
// At least once: a message is received when done() has moved the cursor `freed` past it, or, if an
// earlier one is not yet received, has written DONE into its cell. A receiver that dies before
// leaves it to the next one. At most once: the cursor `handed_out` has passed it before anybody
// sees it. A row of messages is received by one store of either cursor, like a single one.

#include "shm/channel.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace topsman::shm {

/// A message in the receiver's hands, in the segment, until done() or put_back().
struct ReceivedMessage {
    Position position = 0;
    std::span<const std::byte> bytes;
};

/// Messages that lie one behind the other, in the receiver's hands until done() or put_back().
struct ReceivedRow {
    Position first = 0;
    std::uint32_t count = 0;  ///< 0: there is none

    explicit operator bool() const noexcept { return count != 0; }
};

class InboxReader {
  public:
    using IsOver = Channel::IsOver;

    InboxReader(const Channel& channel, std::uint32_t slot, Owner me);

    /// The first message that was sent and not received. Nothing: there is none, or another process
    /// is the receiver. Becomes it if nobody is.
    [[nodiscard]] std::optional<ReceivedMessage> receive() noexcept;

    /// The same, with those that lie behind it, as far as they are sent: at most `most`, at least
    /// one of which is asked for.
    [[nodiscard]] ReceivedRow receive_row(std::uint32_t most) noexcept;

    /// What was sent there. Only for a message in the receiver's hands.
    [[nodiscard]] std::span<const std::byte> bytes_at(Position position) const noexcept;

    /// Waits until the deadline has passed, or `is_over()` says that nobody wants it any more.
    [[nodiscard]] std::optional<ReceivedMessage> receive_until(Deadline deadline,
                                                               IsOver is_over) noexcept;

    /// They are received. Not more than once for each.
    void done(const ReceivedRow& row) noexcept;

    void done(Position position) noexcept { done({position, 1}); }

    /// They are not: the next receive() gives them again. At most once: they are gone all the same.
    void put_back(const ReceivedRow& row) noexcept;

    void put_back(Position position) noexcept { put_back({position, 1}); }

    /// Messages that were given and not ended.
    [[nodiscard]] std::uint32_t in_hand() const noexcept { return in_hand_; }

    /// Is there anything to receive, or to become the receiver of?
    [[nodiscard]] bool has_something() noexcept;

    /// For who waits for a message, or to become the receiver: after it has entered `receivers`,
    /// and before the look that follows. What has been sent by then is seen by that look, or its
    /// sender sees who sleeps.
    void meet_senders() const noexcept;

    /// Lets another process become the receiver. Not while in_hand().
    void leave() noexcept;

    [[nodiscard]] bool is_receiver() const noexcept;

    [[nodiscard]] const Channel& channel() const noexcept { return channel_; }

    [[nodiscard]] std::uint32_t slot() const noexcept { return slot_; }

  private:
    /// Cells that were passed by: of a sender that is not ready, or messages that were put back.
    struct Gap {
        Position position;
        std::uint32_t count;
    };

    enum class Look : std::uint8_t { Message, Nothing, Again };

    [[nodiscard]] bool become_receiver() noexcept;
    [[nodiscard]] bool ask_to_receive(std::uint64_t seen) noexcept;
    void find_place() noexcept;
    void pass_over_handed_out() noexcept;
    void ask_for_rest(Position position) const noexcept;
    [[nodiscard]] CellWord word_at(Position position) const noexcept;
    [[nodiscard]] bool is_of_this_turn(const CellWord& word, Position position) const noexcept;
    [[nodiscard]] Look look_at_next() noexcept;
    [[nodiscard]] std::uint32_t ready_from(Position first, std::uint64_t most) const noexcept;
    [[nodiscard]] ReceivedRow find_in_gaps(std::uint32_t most) noexcept;
    [[nodiscard]] ReceivedRow hand_out(const ReceivedRow& row) noexcept;
    [[nodiscard]] std::uint64_t ahead(Position position) const noexcept;
    void finish(Position position, std::uint32_t count) noexcept;
    void publish_freed() noexcept;

    Channel channel_;
    std::uint32_t slot_;
    Owner me_;
    InboxControl* inbox_;
    std::size_t far_;     ///< where a message is in its cell's second line, if it ever is
    Position next_ = 0;   ///< not looked at yet
    Position freed_ = 0;  ///< what was stored last
    Position handed_out_ = 0;
    std::uint32_t in_hand_ = 0;
    bool has_place_ = false;
    std::vector<Gap> gaps_;         ///< by position; never more than there are cells
    std::uint64_t done_count_ = 0;  ///< cells behind freed_ that are received or void
};

}  // namespace topsman::shm
