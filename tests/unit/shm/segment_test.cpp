#include "shm/segment.hpp"

#include "shm/header.hpp"
#include "shm_test_helper.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::shm {
namespace {

TEST(SegmentTest, RootsNameIsShortAndOthersSayWhoseTheyAre) {
    EXPECT_EQ(segment_name("shop", 0), "topsman.shop");
    EXPECT_EQ(segment_name("shop", 1000), "topsman.1000.shop");
}

TEST(SegmentTest, AFreshOneIsEmptyAndWhole) {
    const TestName name;
    const auto segment = Segment::create(name.options(20)).value();
    EXPECT_EQ(segment.epoch(), 1U);
    EXPECT_EQ(segment.master_pid(), 0U);
    EXPECT_EQ(segment.lanes().size(), 21U);
    for (const Lane& lane : segment.lanes()) {
        EXPECT_EQ(LaneWord::unpack(lane.word.load()), LaneWord{});
    }
    EXPECT_EQ(segment.last_words().size(), 21U);
    EXPECT_EQ(segment.metrics().lanes(), 21U);
    EXPECT_EQ(segment.mutexes().size(), kMaxMutexes);
    EXPECT_EQ(segment.cells().size(), kMaxCells);
    EXPECT_EQ(segment.idle_lanes().size(), kMaxListeners);
    EXPECT_TRUE(segment.metric_names().entries().empty());
    EXPECT_EQ(segment.events().last_seq(), 0U);
    MasterRecord master{};
    EXPECT_TRUE(segment.scoreboard().master.load(master));
    EXPECT_EQ(master.pid, 0U);
}

TEST(SegmentTest, TheDefaultOneStaysBelowFourMegabytes) {
    const TestName name;
    EXPECT_LT(Segment::create(name.options(kDefaultLanes)).value().size(), 4U << 20U);
}

TEST(SegmentTest, EveryNumberOfLanesCanBeMade) {
    for (const std::uint32_t lanes : {1U, 63U, 64U, kMaxLanes}) {
        const TestName name;
        const auto segment = Segment::create(name.options(lanes)).value();
        EXPECT_EQ(segment.lanes().size(), lanes + 1);
        segment.metrics().cell(lanes, kMaxMetrics - 1).store(1);
        segment.last_words()[lanes].say("here");
    }
}

TEST(SegmentTest, AllItsMemoryIsThereFromTheStart) {
    const TestName name;
    const auto segment = Segment::create(name.options()).value();

    struct stat status {};

    ASSERT_EQ(::fstat(segment.fd(), &status), 0);
    EXPECT_EQ(static_cast<std::size_t>(status.st_size), segment.size());
    EXPECT_GE(static_cast<std::size_t>(status.st_blocks) * 512, segment.size());
}

TEST(SegmentTest, TheFileHasTheModeThatWasAskedForWhateverTheUmask) {
    const mode_t umask_before = ::umask(0077);
    const TestName name;
    auto options = name.options();
    options.mode = 0640;
    const auto segment = Segment::create(options).value();
    (void)::umask(umask_before);

    struct stat status {};

    ASSERT_EQ(::fstat(segment.fd(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0640U);
}

TEST(SegmentTest, TheDescriptorIsNotInheritedByChance) {
    const TestName name;
    const auto segment = Segment::create(name.options()).value();
    EXPECT_NE(::fcntl(segment.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(SegmentTest, CreatingNeverTakesWhatIsThere) {
    const TestName name;
    const auto segment = Segment::create(name.options()).value();
    const auto second = Segment::create(name.options());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, std::errc::file_exists);
}

TEST(SegmentTest, AdoptingKeepsWhatWasCountedAndRaisesTheEpoch) {
    const TestName name;
    {
        auto segment = Segment::create(name.options()).value();
        segment.metrics().cell(3, 5).store(42);
        segment.set_master(123, 456);
    }
    const auto adopted = Segment::adopt(name.options()).value();
    EXPECT_EQ(adopted.epoch(), 2U);
    EXPECT_EQ(counter_total(adopted.metrics(), 5), 42U);
    EXPECT_EQ(adopted.master_pid(), 123U);
    EXPECT_EQ(adopted.master_start_ticks(), 456U);
    EXPECT_GE(adopted.fd(), 0);
}

TEST(SegmentTest, AWorkerAttachesOverItsDescriptor) {
    const TestName name;
    const auto master = Segment::create(name.options()).value();
    const int number = ::fcntl(master.fd(), F_DUPFD, 3);
    const auto worker = Segment::attach(UniqueFd(number)).value();
    EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(worker.fd(), -1);
    EXPECT_NE(worker.address(), master.address());
    worker.metrics().cell(1, 0).store(7);
    EXPECT_EQ(counter_total(master.metrics(), 0), 7U);
}

TEST(SegmentTest, AttachingToSomethingElseIsRefused) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const UniqueFd writer(ends[1]);
    EXPECT_FALSE(Segment::attach(UniqueFd(ends[0])));
    EXPECT_FALSE(Segment::attach(UniqueFd()));
    EXPECT_FALSE(Segment::attach(UniqueFd(::open("/proc/self/exe", O_RDONLY))));
}

TEST(SegmentTest, ALookerSeesEverythingAndCanChangeNothing) {
    const TestName name;
    const auto master = Segment::create(name.options()).value();
    master.metrics().cell(2, 1).store(5);
    const auto looker = Segment::open_read_only(name.get()).value();
    EXPECT_EQ(counter_total(looker.metrics(), 1), 5U);
    EXPECT_EQ(looker.epoch(), 1U);
    EXPECT_EQ(looker.fd(), -1);
    const int status = in_child([&looker] { looker.metrics().cell(2, 1).store(6); });
    // Under a sanitizer its own handler takes the signal and exits with a status of its own.
    const bool by_signal = WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    EXPECT_TRUE(by_signal || (WIFEXITED(status) && WEXITSTATUS(status) != 0)) << status;
}

TEST(SegmentTest, AMissingOneIsNoSuchFile) {
    const TestName name;
    EXPECT_EQ(Segment::adopt(name.options()).error().code, std::errc::no_such_file_or_directory);
    EXPECT_EQ(Segment::open_read_only(name.get()).error().code,
              std::errc::no_such_file_or_directory);
    EXPECT_TRUE(Segment::remove(name.get()));
}

TEST(SegmentTest, MappingsOutliveTheName) {
    const TestName name;
    const auto segment = Segment::create(name.options()).value();
    ASSERT_TRUE(Segment::remove(name.get()));
    segment.metrics().cell(0, 0).store(1);
    EXPECT_EQ(counter_total(segment.metrics(), 0), 1U);
}

TEST(SegmentTest, TheRetiredOneIsKeptForInspection) {
    const TestName name;
    for (std::uint64_t i = 1; i <= 2; ++i) {
        const auto segment = Segment::create(name.options()).value();
        segment.metrics().cell(0, 0).store(i);
        ASSERT_TRUE(Segment::retire(name.get()));
    }
    const auto stale = Segment::open_read_only(name.get() + ".stale").value();
    EXPECT_EQ(counter_total(stale.metrics(), 0), 2U);
    EXPECT_TRUE(Segment::create(name.options()));
}

TEST(SegmentTest, PartsStayWhereTheyAreWhenItIsMoved) {
    const TestName name;
    auto first = Segment::create(name.options()).value();
    const Scoreboard* board = &first.scoreboard();
    const Segment second = std::move(first);
    EXPECT_EQ(&second.scoreboard(), board);
}

TEST(SegmentTest, WhoSeesTheMastersPidSeesItsStartTimeToo) {
    const TestName name;
    auto segment = Segment::create(name.options()).value();
    segment.set_master(10, 20);
    EXPECT_EQ(segment.master_pid(), 10U);
    EXPECT_EQ(segment.master_start_ticks(), 20U);
}

const NamedQueue kMails{"mails",
                        {.capacity = 4,
                         .item_size = 8,
                         .max_attempts = 2,
                         .priorities = 1,
                         .has_keys = true,
                         .result_size = 9}};
const NamedChannel kNews{"news", "web", {.slots = 2, .capacity = 3, .message_size = 8}};
constexpr BlockClass kSmall{100, 3};

/// A segment with a queue, a histogram and some reserve, and somebody who had attached before.
class ReserveTest : public testing::Test {
  protected:
    [[nodiscard]] Segment::Options options() const {
        auto options = name_.options();
        options.queues = {{"jobs", {.capacity = 10, .item_size = 8}}};
        options.histograms = {"time"};
        options.blocks = {{{200, 2}}};
        options.channels = {{"ticks", "web", kNews.shape}};
        options.reserve = std::size_t{160} * 1'024;
        return options;
    }

    static bool works(const Segment& segment, std::size_t index) {
        JobQueue queue = segment.queue(index);
        const std::uint64_t item = 7;
        std::uint32_t jobs = 0;
        while (queue.submit({1, 1}, std::as_bytes(std::span(&item, 1)))) {
            ++jobs;
        }
        while (const auto job = queue.take({1, 1})) {
            jobs -= queue.ack(*job) ? 1U : 0U;
        }
        return jobs == 0;
    }

    TestName name_;
    Segment segment_ = Segment::create(options()).value();
    Segment worker_ = Segment::attach(UniqueFd(::dup(segment_.fd()))).value();
};

TEST_F(ReserveTest, WhatIsAddedIsSeenByWhoLooksAgain) {
    EXPECT_FALSE(worker_.look_again());
    const std::uint64_t before = segment_.reserve_left();
    EXPECT_EQ(before, options().reserve);
    ASSERT_TRUE(segment_.add_queue(kMails));
    ASSERT_TRUE(segment_.add_histogram("size"));
    EXPECT_EQ(segment_.reserve_left(),
              before - queue_bytes(kMails.shape) - histogram_bytes(1, name_.options().lanes));
    EXPECT_EQ(worker_.queues().size(), 1U);
    ASSERT_TRUE(worker_.look_again());
    EXPECT_FALSE(worker_.look_again());
    EXPECT_EQ(worker_.reserve_left(), segment_.reserve_left());
    ASSERT_EQ(worker_.queues().size(), 2U);
    EXPECT_EQ(worker_.queues()[1], kMails);
    EXPECT_EQ(worker_.histograms().back(), "size");
    worker_.histogram(0).record(1, 5);
    worker_.histogram(1).record(1, 6);
    EXPECT_EQ(segment_.histogram(0).merged().max(), 5U);
    EXPECT_EQ(segment_.histogram(1).merged().max(), 6U);
    EXPECT_TRUE(works(worker_, 0) && works(worker_, 1));
    EXPECT_EQ(Segment::open_read_only(name_.get())->queues().size(), 2U);
}

TEST_F(ReserveTest, ChannelsAndBlocksAreAddedToo) {
    const BlockPool before = worker_.blocks();
    ASSERT_TRUE(segment_.add_channel(kNews));
    ASSERT_TRUE(segment_.add_blocks(kSmall));
    EXPECT_FALSE(segment_.add_blocks({100, 4})) << "there is one of that size";
    EXPECT_FALSE(segment_.add_blocks({50, kMaxBlocks})) << "more than there can be";
    EXPECT_FALSE(segment_.add_blocks({std::uint64_t{1} << 20U, 1})) << "no room";
    EXPECT_EQ(segment_.reserve_left(),
              options().reserve - channel_bytes(kNews.shape) - late_blocks_bytes(kSmall));
    ASSERT_TRUE(worker_.look_again());
    ASSERT_EQ(worker_.channels().size(), 2U);
    EXPECT_EQ(worker_.channels()[1], kNews);
    for (const std::size_t i : {0U, 1U}) {
        const Channel channel = worker_.channel(i);
        channel.set_slots(2);
        EXPECT_EQ(segment_.channel(i).slots(), 2U);
        const std::array<std::byte, 8> message{};
        const Channel::Bytes one(message);
        EXPECT_EQ(channel.send({1, 1}, 1, std::span(&one, 1)), 1U);
        EXPECT_EQ(segment_.channel(i).unread(1), 1U);
    }
    // The smaller ones first, though they came later; the numbers of the others are as before.
    BlockPool pool = worker_.blocks();
    EXPECT_EQ(pool.blocks(), 5U);
    EXPECT_EQ(pool.largest(), 200U);
    for (std::uint32_t i = 0; i < 5; ++i) {
        const auto ref = pool.allocate(1, {1, 1});
        ASSERT_TRUE(ref);
        EXPECT_EQ(pool.memory(*ref).size(), i < 3 ? 100U : 200U);
        EXPECT_EQ(ref->block >= 2, i < 3);
        EXPECT_EQ(before.memory(*ref).data(), i < 3 ? nullptr : pool.memory(*ref).data());
        std::memset(pool.memory(*ref).data(), 0xff, pool.memory(*ref).size());
    }
    EXPECT_FALSE(pool.allocate(1, {1, 1}));
    BlockPool masters = segment_.blocks();
    EXPECT_EQ(masters.usage(0).used, 2U);
    EXPECT_EQ(masters.usage(1).used, 3U);
    masters.sweep({1, 1});
    EXPECT_EQ(pool.usage(0).free + pool.usage(1).free, 5U);
    EXPECT_TRUE(works(worker_, 0));
}

TEST_F(ReserveTest, WhatLiesBehindTheEndIsNotTakenForMore) {
    auto& header = *reinterpret_cast<Header*>(const_cast<void*>(segment_.address()));
    header.late[1] = Late::Queue;  // by a worker that has gone wild
    header.queues[1] = {"bad", 10, 10, 10, 1, 0, 0};
    ASSERT_TRUE(segment_.add_channel(kNews));
    ASSERT_TRUE(worker_.look_again());
    EXPECT_EQ(worker_.queues().size(), 1U);
    ASSERT_TRUE(segment_.add_queue(kMails));
    ASSERT_TRUE(worker_.look_again());
    EXPECT_EQ(worker_.queues()[1], kMails);
}

TEST_F(ReserveTest, EachHasMemoryOfItsOwnUntilThereIsNoneLeft) {
    std::size_t queues = 0;
    std::size_t histograms = 0;
    for (bool is_full = false; !is_full;) {
        const std::string name = "n" + std::to_string(queues);
        is_full = !segment_.add_queue({name, {.capacity = 50, .item_size = 64}});
        queues += is_full ? 0 : 1;
        const bool is_added = segment_.add_histogram(name).has_value();
        histograms += is_added ? 1 : 0;
        is_full = is_full && !is_added;
    }
    EXPECT_GT(queues, 1U);
    EXPECT_GT(histograms, 0U);
    const auto refused = segment_.add_histogram("more");
    EXPECT_NE(refused.error().message.find("bytes more than what is left"), std::string::npos);
    ASSERT_TRUE(worker_.look_again());
    ASSERT_EQ(worker_.queues().size(), queues + 1);
    for (std::size_t i = 0; i < worker_.histograms().size(); ++i) {
        for (HistogramCells& cells : worker_.histogram(i).lanes()) {
            cells.cell[0].store(i + 1);
        }
    }
    for (std::size_t i = 0; i < worker_.queues().size(); ++i) {
        EXPECT_TRUE(works(segment_, i)) << i;
    }
    const std::size_t lanes = segment_.lanes().size();
    for (std::size_t i = 0; i < worker_.histograms().size(); ++i) {
        EXPECT_EQ(segment_.histogram(i).merged().count(), (i + 1) * lanes) << i;
    }
}

TEST_F(ReserveTest, TheNextMasterKeepsWhatWasAddedAndAddsWhatIsMissing) {
    ASSERT_TRUE(segment_.add_queue(kMails));
    auto as_before = Segment::adopt(options());
    ASSERT_TRUE(as_before) << as_before.error().message;
    EXPECT_EQ(as_before->queues().size(), 2U);
    auto wanted = options();
    wanted.queues.push_back(kMails);
    EXPECT_TRUE(Segment::examine(wanted));
    wanted.queues.push_back({"news", kMails.shape});
    wanted.histograms.emplace_back("size");
    EXPECT_NE(Segment::examine(wanted).error().message.find("news, which is shared, is not in it"),
              std::string::npos);
    wanted.channels.push_back(kNews);
    wanted.blocks = {{kSmall, {200, 2}}};  // rising, whatever came first
    const std::uint32_t epoch = as_before->epoch();
    const auto more = Segment::adopt(wanted);
    ASSERT_TRUE(more) << more.error().message;
    EXPECT_EQ(more->epoch(), epoch + 1) << "who examines changes nothing";
    EXPECT_TRUE(Segment::examine(wanted));
    EXPECT_EQ(more->queues().size(), 3U);
    EXPECT_EQ(more->histograms().size(), 2U);
    EXPECT_EQ(more->channels().size(), 2U);
    EXPECT_EQ(more->blocks().blocks(), 5U);
    const auto once_more = Segment::adopt(wanted);
    ASSERT_TRUE(once_more) << once_more.error().message;
    EXPECT_EQ(once_more->reserve_left(), more->reserve_left());
    wanted.queues.back().shape.capacity = 5;
    EXPECT_NE(Segment::adopt(wanted).error().message.find("shared.queues.news"), std::string::npos);
    wanted.queues.back().shape = kMails.shape;
    wanted.channels[0].pool = "api";
    EXPECT_NE(Segment::adopt(wanted).error().message.find("shared.channels.ticks"),
              std::string::npos);
    wanted.channels[0].pool = "web";
    wanted.blocks[0].count = 7;
    EXPECT_NE(Segment::adopt(wanted).error().message.find("shared.blocks.100B"), std::string::npos);
    wanted.blocks[0] = kSmall;
    wanted.queues.back() = {"huge", {.capacity = 100'000}};
    EXPECT_NE(Segment::adopt(wanted).error().message.find("segment.reserve"), std::string::npos);
}

TEST_F(ReserveTest, AHeaderThatLiesIsNotFollowed) {
    ASSERT_TRUE(segment_.add_queue(kMails));
    auto& header = *reinterpret_cast<Header*>(const_cast<void*>(segment_.address()));
    const QueueEntry whole = header.queues[1];
    header.queues[1].capacity = 100'000;  // more than there is
    EXPECT_FALSE(worker_.look_again());
    header.queues[1] = whole;
    header.queues[0].capacity = 9;  // what was there has changed
    EXPECT_FALSE(worker_.look_again());
    header.queues[0].capacity = 10;
    EXPECT_TRUE(worker_.look_again());
}

}  // namespace
}  // namespace topsman::shm
