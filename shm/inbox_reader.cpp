#include "shm/inbox_reader.hpp"

#include "shm/base/check.hpp"
#include "shm/fenced_wait.hpp"
#include "shm/prefetch.hpp"

#include <algorithm>
#include <utility>

namespace topsman::shm {
namespace {

/// How many cells to pass by: a run that is sent is a row of messages.
std::uint32_t cells_of(const CellWord& word) noexcept {
    return word.state == CellState::Writing || word.state == CellState::Void ? word.count : 1;
}

}  // namespace

InboxReader::InboxReader(const Channel& channel, std::uint32_t slot, Owner me)
    : channel_(channel),
      slot_(slot),
      me_(me),
      inbox_(&channel.inbox(slot)),
      far_(std::min<std::size_t>(channel.shape().message_size - 1, kLine - 1)) {
    CHECK(slot < channel.shape().slots);
    gaps_.reserve(channel.cells());
}

inline CellWord InboxReader::word_at(Position position) const noexcept {
    return CellWord::unpack(channel_.cell(slot_, position).word.load(std::memory_order_acquire));
}

/// Of a message that goes on in a second line: it shall come together with the first one, in which
/// the word is, and not after it.
inline void InboxReader::ask_for_rest(Position position) const noexcept {
    prefetch_to_read(channel_.message(slot_, position) + far_);
}

/// A sender has claimed it.
inline bool InboxReader::is_of_this_turn(const CellWord& word, Position position) const noexcept {
    return word.turn == channel_.turn_of(position) && word.state != CellState::Empty;
}

// -- who receives -----------------------------------------------------------------------------

bool InboxReader::is_receiver() const noexcept {
    return inbox_->receiver.load(std::memory_order_relaxed) == me_.pack();
}

inline bool InboxReader::become_receiver() noexcept {
    const std::uint64_t seen = inbox_->receiver.load(std::memory_order_acquire);
    return (has_place_ && seen == me_.pack()) || ask_to_receive(seen);
}

bool InboxReader::ask_to_receive(std::uint64_t seen) noexcept {
    if (seen == me_.pack()) {
        find_place();
        return true;
    }
    const Owner other = Owner::unpack(seen);
    // A lane that there is not: nobody of ours wrote this.
    if (seen != 0 && other.lane != 0 && other.lane < channel_.lanes().size()) {
        return false;
    }
    if (!inbox_->receiver.compare_exchange_strong(seen, me_.pack(), std::memory_order_seq_cst)) {
        return false;
    }
    find_place();
    return true;
}

/// Goes on where the last receiver of the slot was.
void InboxReader::find_place() noexcept {
    gaps_.clear();
    done_count_ = 0;
    in_hand_ = 0;
    has_place_ = true;
    freed_ = inbox_->freed.load(std::memory_order_acquire);
    const Position tail = TailWord::unpack(inbox_->tail.load(std::memory_order_acquire)).end();
    if (distance(freed_, tail) > channel_.cells()) {
        channel_.count_illegal();
        freed_ = tail;
        publish_freed();
    }
    next_ = freed_;
    handed_out_ = inbox_->handed_out.load(std::memory_order_acquire);
    if (channel_.shape().delivery == Delivery::AtMostOnce) {
        pass_over_handed_out();
    }
}

/// What was handed out is gone; what its senders had not finished by then is still to come.
void InboxReader::pass_over_handed_out() noexcept {
    for (std::uint64_t left = distance(next_, handed_out_); left != 0 && left <= channel_.cells();
         left = distance(next_, handed_out_)) {
        const CellWord word = word_at(next_);
        if (!is_of_this_turn(word, next_) || !word.is_legal()) {
            break;
        }
        const std::uint32_t count = cells_of(word);
        if (word.state == CellState::Writing) {
            gaps_.push_back({next_, count});
        } else {
            finish(next_, count);
        }
        next_ = after(next_, count);
    }
}

void InboxReader::leave() noexcept {
    CHECK(in_hand_ == 0);
    has_place_ = false;
    std::uint64_t mine = me_.pack();
    if (inbox_->receiver.compare_exchange_strong(mine, 0, std::memory_order_seq_cst)) {
        channel_.wake_receivers(slot_);
    }
}

// -- receiving ----------------------------------------------------------------------------------

std::optional<ReceivedMessage> InboxReader::receive() noexcept {
    const ReceivedRow row = receive_row(1);
    return row ? std::optional<ReceivedMessage>({row.first, bytes_at(row.first)}) : std::nullopt;
}

ReceivedRow InboxReader::receive_row(std::uint32_t most) noexcept {
    if (!become_receiver()) {
        return {};
    }
    Look look = Look::Again;
    while (look == Look::Again) {
        look = look_at_next();
    }
    ReceivedRow row{next_, 0};
    if (look == Look::Message) {
        const std::uint64_t unseen = channel_.cells() - distance(freed_, next_);
        row.count = 1 + ready_from(after(next_, 1), std::min<std::uint64_t>(most, unseen) - 1);
    }
    // After all looks: what one sender has sent before it is seen here, if it was a gap before.
    if (!gaps_.empty()) {
        if (const ReceivedRow before = find_in_gaps(most)) {
            return hand_out(before);
        }
    }
    if (!row) {
        return row;
    }
    next_ = after(next_, row.count);
    return hand_out(row);
}

/// How many cells from there on have messages, at most `most`.
inline std::uint32_t InboxReader::ready_from(Position first, std::uint64_t most) const noexcept {
    std::uint32_t count = 0;
    while (count < most) {
        const Position position = after(first, count);
        ask_for_rest(position);
        const CellWord word = word_at(position);
        if (word.state != CellState::Ready || word.turn != channel_.turn_of(position) ||
            !word.is_legal()) {
            break;
        }
        ++count;
    }
    return count;
}

/// Passes by what is no message, until there is one at `next_` or nothing.
inline InboxReader::Look InboxReader::look_at_next() noexcept {
    ask_for_rest(next_);
    const CellWord word = word_at(next_);
    if (!is_of_this_turn(word, next_)) {
        return Look::Nothing;
    }
    if (!word.is_legal()) {
        // Nobody of ours wrote this: what was sent here is lost.
        channel_.count_illegal();
        finish(next_, 1);
        next_ = after(next_, 1);
        return Look::Again;
    }
    const std::uint64_t ahead = distance(freed_, next_);
    const std::uint32_t count = cells_of(word);
    if (ahead + count > channel_.cells()) {
        return Look::Nothing;
    }
    switch (word.state) {
        case CellState::Void:
        case CellState::Done:
            finish(next_, count);
            break;
        case CellState::Writing:
            gaps_.push_back({next_, count});
            break;
        default:
            return Look::Message;
    }
    next_ = after(next_, count);
    return Look::Again;
}

ReceivedRow InboxReader::find_in_gaps(std::uint32_t most) noexcept {
    for (auto gap = gaps_.begin(); gap != gaps_.end();) {
        const CellWord word = word_at(gap->position);
        const bool is_sound = is_of_this_turn(word, gap->position) && word.is_legal();
        if (!is_sound || word.state == CellState::Void) {
            // One that nobody of ours wrote is passed by cell by cell: there is no run to rely on.
            if (!is_sound) {
                channel_.count_illegal();
            }
            const std::uint32_t step = is_sound ? gap->count : 1;
            for (std::uint32_t i = 0; i < gap->count; i += step) {
                finish(after(gap->position, i), step);
            }
            gap = gaps_.erase(gap);
            continue;
        }
        if (word.state == CellState::Ready) {
            const ReceivedRow row{gap->position,
                                  1 + ready_from(after(gap->position, 1),
                                                 std::min(most, gap->count) - std::uint64_t{1})};
            gap->position = after(gap->position, row.count);
            gap->count -= row.count;
            if (gap->count == 0) {
                gaps_.erase(gap);
            }
            return row;
        }
        ++gap;
    }
    return {};
}

inline ReceivedRow InboxReader::hand_out(const ReceivedRow& row) noexcept {
    const Position end = after(row.first, row.count);
    // Of what was a gap others behind it may have been handed out already.
    if (channel_.shape().delivery == Delivery::AtMostOnce && ahead(end) > ahead(handed_out_)) {
        handed_out_ = end;
        // The commit point of receiving at most once.
        inbox_->handed_out.store(end, std::memory_order_release);
    }
    in_hand_ += row.count;
    return row;
}

/// How far behind what is received; what lies before that, or nowhere, is not.
std::uint64_t InboxReader::ahead(Position position) const noexcept {
    const std::uint64_t far = distance(freed_, position);
    return far <= channel_.cells() ? far : 0;
}

std::span<const std::byte> InboxReader::bytes_at(Position position) const noexcept {
    const std::uint32_t length =
        channel_.cell(slot_, position).length.load(std::memory_order_relaxed);
    return {channel_.message(slot_, position), std::min(length, channel_.shape().message_size)};
}

std::optional<ReceivedMessage> InboxReader::receive_until(Deadline deadline,
                                                          IsOver is_over) noexcept {
    return fenced_until_done(
        inbox_->receivers, channel_.lanes(), me_.lane, deadline, is_over, [&] { return receive(); },
        [&] { meet_senders(); });
}

/// A sender's claim is an exchange: of one that is not in the tail now the sender comes to look who
/// sleeps after the receiver has entered the set. So only a sender that stands between its claim
/// and that look needs the kernel's fence, which can cost more than to sleep and to be woken.
void InboxReader::meet_senders() const noexcept {
    const Position claimed = TailWord::unpack(inbox_->tail.load(std::memory_order_seq_cst)).end();
    if (!has_place_ || !gaps_.empty() || claimed != next_) {
        heavy_fence();
    }
}

bool InboxReader::has_something() noexcept {
    if (!become_receiver()) {
        return false;
    }
    const CellWord word = word_at(next_);
    return (is_of_this_turn(word, next_) && word.state != CellState::Writing) ||
           std::any_of(gaps_.begin(), gaps_.end(), [this](const Gap& gap) {
               return word_at(gap.position).state != CellState::Writing;
           });
}

// -- the end of a message -----------------------------------------------------------------------

void InboxReader::done(const ReceivedRow& row) noexcept {
    CHECK(in_hand_ >= row.count);
    in_hand_ -= row.count;
    if (row.first == freed_) {
        finish(row.first, row.count);
        return;
    }
    for (std::uint32_t i = 0; i < row.count; ++i) {
        finish(after(row.first, i), 1);
    }
}

void InboxReader::put_back(const ReceivedRow& row) noexcept {
    if (channel_.shape().delivery == Delivery::AtMostOnce) {
        done(row);
        return;
    }
    CHECK(in_hand_ >= row.count);
    in_hand_ -= row.count;
    const auto at = std::lower_bound(
        gaps_.begin(), gaps_.end(), row.first, [this](const Gap& gap, Position wanted) {
            return distance(freed_, gap.position) < distance(freed_, wanted);
        });
    gaps_.insert(at, {row.first, row.count});
}

/// They are received, or there never was anything.
void InboxReader::finish(Position position, std::uint32_t count) noexcept {
    if (position != freed_) {
        if (word_at(position).state != CellState::Void) {
            // The commit point for one that is not the first.
            const CellWord done{CellState::Done, me_.lane, me_.generation, 1,
                                channel_.turn_of(position)};
            channel_.cell(slot_, position).word.store(done.pack(), std::memory_order_release);
        }
        done_count_ += count;
        return;
    }
    freed_ = after(freed_, count);
    while (done_count_ != 0) {
        const CellWord word = word_at(freed_);
        const bool is_over = word.state == CellState::Done || word.state == CellState::Void;
        if (!is_over || !is_of_this_turn(word, freed_)) {
            break;
        }
        const std::uint32_t cells = cells_of(word);
        freed_ = after(freed_, cells);
        done_count_ -= std::min<std::uint64_t>(done_count_, cells);
    }
    publish_freed();
}

/// The commit point of receiving at least once.
void InboxReader::publish_freed() noexcept {
    inbox_->freed.store(freed_, std::memory_order_release);
    channel_.wake_senders(slot_);
}

}  // namespace topsman::shm
