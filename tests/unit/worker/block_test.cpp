// Blocks between workers: handed over, shared, and what becomes of them when somebody dies.

#include "topsman/block.hpp"

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>

namespace topsman {
namespace {

using test::Herd;
using test::Member;
using test::Signal;

// What was given away cannot be touched: the compiler says so.
template <class T>
concept CanPassAnLvalue = requires(T& block) {
    block.pass();
};

template <class T>
concept CanShareAnLvalue = requires(T& block) {
    block.share();
};

static_assert(!CanPassAnLvalue<Block> && !CanShareAnLvalue<Block>);
static_assert(!std::is_copy_constructible_v<Block> && !std::is_copy_constructible_v<SharedBlock>);
static_assert(
    std::is_same_v<decltype(std::declval<SharedBlock>().data()), std::span<const std::byte>>);
static_assert(std::is_trivially_copyable_v<BlockTicket>);

constexpr std::string_view kText = "written once, never copied";

void write(const Block& block) {
    std::memcpy(block.data().data(), kText.data(), kText.size());
}

bool is_written(std::span<const std::byte> bytes) {
    return bytes.size() == kText.size() &&
           std::memcmp(bytes.data(), kText.data(), kText.size()) == 0;
}

std::uint64_t free_blocks(Herd& herd) {
    return herd.segment().blocks().usage(0).free;
}

/// Where a test's workers tell each other tickets: a cell, as a program would.
TxCell<BlockTicket> board(Worker& worker) {
    return worker.cell("board", BlockTicket{}).value();
}

TEST(BlockTest, OneWorkerWritesTheNextReadsAndNothingIsCopied) {
    Herd herd;
    const Signal is_read;
    Member sender = herd.spawn({}, [&] {
        Worker worker = Worker::attach().value();
        Block block = worker.blocks().value().allocate(kText.size()).value();
        write(block);
        const BlockTicket ticket = std::move(block).pass();
        CHILD_EXPECT(block.data().empty());  // NOLINT(bugprone-use-after-move): what is tested
        (void)board(worker).update([&](BlockTicket& told) { told = ticket; });
        (void)worker.ready();
        is_read.wait();
        return 0;
    });
    EXPECT_EQ(Herd::next_message(sender), "READY=1");
    Member receiver = herd.spawn({}, [&] {
        Worker worker = Worker::attach().value();
        BlockPool blocks = worker.blocks().value();
        const BlockTicket ticket = board(worker).read().value();
        const Block block = blocks.take(ticket).value();
        CHILD_EXPECT(is_written(block.data()));
        CHILD_EXPECT(blocks.take(ticket).error().code == std::errc::identifier_removed);
        CHILD_EXPECT(worker.blocks()->open(ticket).error().code == std::errc::identifier_removed);
        is_read.give();
        return 0;
    });
    EXPECT_EQ(herd.reap(receiver), 0);
    EXPECT_EQ(herd.reap(sender), 0);
    EXPECT_EQ(free_blocks(herd), 8U);
}

TEST(BlockTest, ReadersKeepASharedBlockWhenItsPublisherIsKilled) {
    Herd herd;
    const Signal is_open;
    const Signal is_dead;
    Member publisher = herd.spawn({}, [&] {
        Worker worker = Worker::attach().value();
        Block block = worker.blocks().value().allocate(kText.size()).value();
        write(block);
        const SharedBlock shared = std::move(block).share();
        (void)board(worker).update([&](BlockTicket& told) { told = shared.ticket(); });
        (void)worker.ready();
        (void)::pause();
        return 1;
    });
    EXPECT_EQ(Herd::next_message(publisher), "READY=1");
    Member reader = herd.spawn({}, [&] {
        Worker worker = Worker::attach().value();
        BlockPool blocks = worker.blocks().value();
        const BlockTicket ticket = board(worker).read().value();
        SharedBlock first = blocks.open(ticket).value();
        const SharedBlock second = blocks.open(ticket).value();  // one lane, two handles
        first = SharedBlock();
        is_open.give();
        is_dead.wait();
        CHILD_EXPECT(is_written(second.data()));
        CHILD_EXPECT(blocks.open(ticket));  // it has the block open already
        return 0;
    });
    is_open.wait();
    (void)::kill(publisher.pid, SIGKILL);
    (void)herd.reap(publisher);
    EXPECT_EQ(free_blocks(herd), 7U);
    is_dead.give();
    EXPECT_EQ(herd.reap(reader), 0);
    EXPECT_EQ(free_blocks(herd), 8U);
}

TEST(BlockTest, TheBlocksOfAKilledWorkerAreFreeOnceItIsReaped) {
    Herd herd;
    Member victim = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        BlockPool blocks = worker.blocks().value();
        const Block own = blocks.allocate(1).value();
        (void)blocks.allocate(1).value().pass();
        const SharedBlock shared = blocks.allocate(1).value().share();
        const SharedBlock seen = blocks.open(shared.ticket()).value();
        (void)::kill(::getpid(), SIGKILL);
        return own.data().empty() || seen.data().empty() ? 1 : 2;
    });
    EXPECT_TRUE(WIFSIGNALED(herd.reap(victim)));
    EXPECT_EQ(free_blocks(herd), 8U);
}

TEST(BlockTest, EveryErrorSaysWhatIsWrong) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        BlockPool blocks = worker.blocks().value();
        CHILD_EXPECT(blocks.allocate(4'097).error().code == std::errc::message_size);
        CHILD_EXPECT(blocks.allocate(4'097).error().message ==
                     "the largest block has 4096 bytes, not 4097 (shared.blocks)");
        std::vector<Block> all;
        for (int i = 0; i < 8; ++i) {
            all.push_back(blocks.allocate(0).value());
            CHILD_EXPECT(all.back().data().size() == 1);
        }
        CHILD_EXPECT(blocks.allocate(1).error().code == std::errc::no_buffer_space);
        all.pop_back();
        CHILD_EXPECT(blocks.allocate(1));
        for (const std::uint64_t nonsense : {std::uint64_t{0}, ~std::uint64_t{0}}) {
            CHILD_EXPECT(blocks.take({nonsense}).error().code == std::errc::identifier_removed);
            CHILD_EXPECT(blocks.open({nonsense}).error().code == std::errc::identifier_removed);
        }
        CHILD_EXPECT(std::move(Block()).pass() == BlockTicket{});
        CHILD_EXPECT(std::move(Block()).share().data().empty());
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
    EXPECT_EQ(free_blocks(herd), 8U);
}

TEST(BlockTest, WhatAReloadAddsIsFoundByWhoLivesAlready) {
    Herd herd;
    const Signal asked;
    const Signal added;
    const Signal told;
    const auto tells = [&] {
        Worker worker = Worker::attach().value();
        BlockPool blocks = worker.blocks().value();
        CHILD_EXPECT(blocks.allocate(5'000).error().code == std::errc::message_size);
        asked.give();
        added.wait();
        Block block = blocks.allocate(5'000).value();
        CHILD_EXPECT(block.data().size() == 5'000);
        const BlockTicket ticket = std::move(block).pass();
        (void)board(worker).update([&](BlockTicket& shown) { shown = ticket; });
        told.give();
        return 0;
    };
    const Signal listens;
    const auto takes = [&] {  // and has never asked for one of that size
        Worker worker = Worker::attach().value();
        BlockPool blocks = worker.blocks().value();
        listens.give();
        told.wait();
        CHILD_EXPECT(blocks.take(board(worker).read().value()).value().data().size() == 5'000);
        return 0;
    };
    Member teller = herd.spawn({}, tells);
    Member taker = herd.spawn({}, takes);
    asked.wait();
    listens.wait();
    ASSERT_TRUE(herd.segment().add_blocks({8'192, 2}));
    added.give();
    EXPECT_EQ(herd.reap(taker), 0);
    EXPECT_EQ(herd.reap(teller), 0);
    EXPECT_EQ(herd.segment().blocks().usage(1).free, 2U);
}

TEST(BlockTest, AForkedChildHasNoBlocksAndFreesNone) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        BlockPool blocks = worker.blocks().value();
        Block mine = blocks.allocate(kText.size()).value();
        write(mine);
        const pid_t child = ::fork();
        if (child == 0) {
            const bool is_refused = blocks.allocate(1).error().code == std::errc::not_connected &&
                                    worker.blocks().error().code == std::errc::not_connected;
            { const Block lost = std::move(mine); }
            ::_exit(is_refused ? 0 : 1);
        }
        int status = -1;
        (void)::waitpid(child, &status, 0);
        CHILD_EXPECT(status == 0);
        CHILD_EXPECT(is_written(mine.data()));
        CHILD_EXPECT(std::move(mine).pass() != BlockTicket{});
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

}  // namespace
}  // namespace topsman
