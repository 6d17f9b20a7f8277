#include "shm/segment.hpp"

#include "shm_test_helper.hpp"

#include <csignal>
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

}  // namespace
}  // namespace topsman::shm
