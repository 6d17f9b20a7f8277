#include "topsman/block.hpp"

#include "topsman/worker.hpp"
#include "worker/process.hpp"

#include <algorithm>

namespace topsman {
namespace {

using detail::HeldBlock;
using detail::Process;

constexpr BlockTicket ticket_of(shm::BlockRef ref) noexcept {
    return {((std::uint64_t{ref.block} + 1) << 32U) | ref.version};
}

constexpr shm::BlockRef ref_of(BlockTicket ticket) noexcept {
    // Of ticket 0 and of nonsense: a block that does not exist.
    return {static_cast<std::uint32_t>((ticket.value >> 32U) - 1),
            static_cast<std::uint32_t>(ticket.value)};
}

HeldBlock held(Process& process, shm::BlockRef ref) noexcept {
    const std::span<std::byte> whole = process.blocks.pool().memory(ref);
    const std::size_t length =
        std::min<std::size_t>(process.blocks.pool().length(ref), whole.size());
    return {&process, ticket_of(ref), whole.first(length)};
}

void release(const HeldBlock& block) noexcept {
    Process* process = block.process();
    // In a forked child it is still the parent's.
    if (process != nullptr && !detail::is_detached()) {
        (void)process->blocks.pool().release(ref_of(block.ticket()), process->owner);
    }
}

/// Has a reload added blocks? Then they are known from now on.
bool has_more(Process& process) {
    if (!process.segment) {
        return false;
    }
    const std::scoped_lock hold(process.names_lock);
    (void)process.segment->look_again();
    const shm::BlockPool now = process.segment->blocks();
    if (now.blocks() == process.blocks.pool().blocks()) {
        return false;
    }
    process.blocks.know(now);
    return true;
}

/// The pool that knows the block, if there is one: who passed it may have known of it earlier.
shm::BlockPool& pool_of(Process& process, shm::BlockRef ref) {
    if (ref.block >= process.blocks.pool().blocks()) {
        (void)has_more(process);
    }
    return process.blocks.pool();
}

Error gone() {
    return plain_error(
        "the block is gone: it was taken already, or its owner has released it or died",
        std::errc::identifier_removed);
}

}  // namespace

SharedBlock& SharedBlock::operator=(SharedBlock&& other) noexcept {
    SharedBlock former(std::move(other));
    held_.swap(former.held_);
    std::swap(is_reader_, former.is_reader_);
    return *this;
}

SharedBlock::~SharedBlock() {
    Process* process = held_.process();
    if (!is_reader_) {
        release(held_);
    } else if (process != nullptr && !detail::is_detached()) {
        process->open_blocks.close(process->blocks.pool(), ref_of(held_.ticket()),
                                   process->owner.lane);
    }
}

Block& Block::operator=(Block&& other) noexcept {
    Block former(std::move(other));
    held_.swap(former.held_);
    return *this;
}

Block::~Block() {
    release(held_);
}

BlockTicket Block::pass() && {
    const HeldBlock given = std::move(held_);
    Process* process = given.process();
    if (process == nullptr || detail::is_detached() ||
        !process->blocks.pool().pass(ref_of(given.ticket()), process->owner)) {
        return {};
    }
    return given.ticket();
}

SharedBlock Block::share() && {
    HeldBlock given = std::move(held_);
    Process* process = given.process();
    if (process == nullptr || detail::is_detached() ||
        !process->blocks.pool().share(ref_of(given.ticket()), process->owner)) {
        return {};
    }
    return {std::move(given), false};
}

Result<Block> BlockPool::allocate(std::size_t bytes) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const std::uint64_t wanted = std::max<std::size_t>(bytes, 1);
    auto ref = process_->blocks.pool().allocate(wanted, process_->owner);
    if (!ref && has_more(*process_)) {
        ref = process_->blocks.pool().allocate(wanted, process_->owner);
    }
    if (ref) {
        return Block(held(*process_, *ref));
    }
    const std::uint64_t largest = process_->blocks.pool().largest();
    if (wanted > largest) {
        return plain_error("the largest block has " + std::to_string(largest) + " bytes, not " +
                               std::to_string(wanted) + " (shared.blocks)",
                           std::errc::message_size);
    }
    return plain_error(
        "all blocks of " + std::to_string(wanted) + " bytes and more are in use (shared.blocks)",
        std::errc::no_buffer_space);
}

Result<Block> BlockPool::take(BlockTicket ticket) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const auto ref = pool_of(*process_, ref_of(ticket)).take(ref_of(ticket), process_->owner);
    if (!ref) {
        return gone();
    }
    return Block(held(*process_, *ref));
}

Result<SharedBlock> BlockPool::open(BlockTicket ticket) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const shm::BlockRef ref = ref_of(ticket);
    if (!process_->open_blocks.open(pool_of(*process_, ref), ref, process_->owner.lane)) {
        return gone();
    }
    return SharedBlock(held(*process_, ref), true);
}

Result<BlockPool> Worker::blocks() {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    if (process_->blocks.pool().blocks() == 0 && !has_more(*process_)) {
        return plain_error(
            "the cluster has no blocks: write `shared: { blocks: { 16KiB: 64 } }` in its file");
    }
    return BlockPool(process_);
}

}  // namespace topsman
