#pragma once

#include "shm/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace topsman {

namespace detail {
struct Process;
}

/// Names a block that was passed on or shared: a number that goes through any channel (a queue, a
/// pipe, a TxCell). 0 names none.
struct BlockTicket {
    std::uint64_t value = 0;

    friend bool operator==(BlockTicket, BlockTicket) = default;
};

namespace detail {

/// What a handle of a block has; only one handle has it at a time.
class HeldBlock {
  public:
    HeldBlock() noexcept = default;

    HeldBlock(Process* process, BlockTicket ticket, std::span<std::byte> bytes) noexcept
        : process_(process), ticket_(ticket), bytes_(bytes) {}

    HeldBlock(HeldBlock&& other) noexcept { swap(other); }

    HeldBlock& operator=(HeldBlock&& other) noexcept {
        swap(other);
        return *this;
    }

    HeldBlock(const HeldBlock&) = delete;
    HeldBlock& operator=(const HeldBlock&) = delete;
    ~HeldBlock() = default;

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

    [[nodiscard]] BlockTicket ticket() const noexcept { return ticket_; }

    [[nodiscard]] Process* process() const noexcept { return process_; }

    void swap(HeldBlock& other) noexcept {
        std::swap(process_, other.process_);
        std::swap(ticket_, other.ticket_);
        std::swap(bytes_, other.bytes_);
    }

  private:
    Process* process_ = nullptr;  ///< null: it holds nothing
    BlockTicket ticket_;
    std::span<std::byte> bytes_;
};

}  // namespace detail

/// A block that others may read while this process does. Move-only; released at its end.
///
/// From Block::share() it is the publisher's: its ticket opens the block for others until the
/// publisher releases it; those who have opened it by then keep it. From BlockPool::open() it is a
/// reader's. Nobody can write the block any more; it is freed when the last one has released it.
/// Threads: one at a time. Kill safety: the dead have released it.
class SharedBlock {
  public:
    SharedBlock() noexcept = default;
    SharedBlock(SharedBlock&& other) noexcept = default;
    SharedBlock& operator=(SharedBlock&& other) noexcept;
    ~SharedBlock();

    /// Empty when it was moved from.
    [[nodiscard]] std::span<const std::byte> data() const noexcept { return held_.bytes(); }

    [[nodiscard]] BlockTicket ticket() const noexcept { return held_.ticket(); }

  private:
    friend class Block;
    friend class BlockPool;

    SharedBlock(detail::HeldBlock&& held, bool is_reader) noexcept
        : held_(std::move(held)), is_reader_(is_reader) {}

    detail::HeldBlock held_;
    bool is_reader_ = false;
};

/// A block of shared memory that this process alone may write. Move-only; released at its end.
///
/// pass() and share() end it: they need an rvalue, and a Block that was moved from has no bytes, so
/// what was given away cannot be touched any more.
/// Threads: one at a time. Kill safety: the blocks of a killed worker are freed, those also that it
/// had passed on and nobody had taken yet.
class Block {
  public:
    Block() noexcept = default;
    Block(Block&& other) noexcept = default;
    Block& operator=(Block&& other) noexcept;
    ~Block();

    /// As many bytes as were asked for. Empty when it was moved from.
    [[nodiscard]] std::span<std::byte> data() const noexcept { return held_.bytes(); }

    /// Gives it to whoever shows the ticket to BlockPool::take() first. Nothing is copied.
    [[nodiscard]] BlockTicket pass() &&;
    /// Makes it readable for all who show its ticket to BlockPool::open().
    [[nodiscard]] SharedBlock share() &&;

  private:
    friend class BlockPool;

    explicit Block(detail::HeldBlock&& held) noexcept : held_(std::move(held)) {}

    detail::HeldBlock held_;
};

/// Memory that workers give to each other without copying it, in blocks of the sizes that the
/// configuration says (`shared: { blocks: { 16KiB: 1024 } }`).
///
/// What: allocate() a Block, write it, pass() it to one other worker or share() it with many; what
/// travels is a ticket of 8 bytes. Handing over costs the same for 1 KiB and for 1 MiB.
/// Errors: of allocate(), `std::errc::message_size` (larger than the largest block) and
/// `std::errc::no_buffer_space` (all that are large enough are in use); of take() and open(),
/// `std::errc::identifier_removed` (the block was taken already, or its owner has released it or
/// died); of all, `std::errc::not_connected` in a forked child of the worker.
/// Returns: a block has its last user's bytes in it, not zeroes.
/// Cost: 10 to 20 ns for each step; allocate() looks at every block of a class when all are used.
/// Threads: any, for the pool; see Block and SharedBlock.
/// Kill safety: one exchange of one word commits each step. A worker may be killed at any
/// instruction: what it held is freed as soon as it is reaped, and readers keep what they have
/// open. A ticket is recognised as old for the next 67 million uses of its block. Source: owner
/// words as in iceoryx2's robust index sets; readers as a set of lanes, for a count cannot be taken
/// back from the dead. Without a supervisor: 64 blocks of 4 KiB, 16 of 64 KiB and 8 of 1 MiB, for
/// this process alone.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::BlockPool blocks = worker.blocks().value();
///
///     topsman::Block picture = blocks.allocate(3'000).value();
///     picture.data()[0] = std::byte{42};
///     topsman::BlockTicket ticket = std::move(picture).pass();  // send this
///
///     topsman::Block mine = blocks.take(ticket).value();        // in another worker
///     if (!picture.data().empty() || mine.data().size() != 3'000 || blocks.take(ticket)) {
///         return 1;  // the sender has nothing left, and a ticket is good once
///     }
///     topsman::SharedBlock published = std::move(mine).share();
///     topsman::SharedBlock seen = blocks.open(published.ticket()).value();
///     return seen.data()[0] == std::byte{42} ? 0 : 1;
/// }
/// @endcode
class BlockPool {
  public:
    /// At least one byte.
    [[nodiscard]] Result<Block> allocate(std::size_t bytes);
    [[nodiscard]] Result<Block> take(BlockTicket ticket);
    [[nodiscard]] Result<SharedBlock> open(BlockTicket ticket);

  private:
    friend class Worker;

    explicit BlockPool(detail::Process* process) noexcept : process_(process) {}

    detail::Process* process_;
};

}  // namespace topsman
