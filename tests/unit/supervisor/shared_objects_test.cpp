// What a configuration names under `shared`, brought into a segment that is in use.

#include "supervisor/shared_objects.hpp"

#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

namespace topsman::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SharedObjectsTest : public testing::Test {
  protected:
    ~SharedObjectsTest() override { (void)shm::Segment::remove(name()); }

    static std::string name() { return "topsman.shared_objects." + std::to_string(::getpid()); }

    static shm::Segment make() {
        (void)shm::Segment::remove(name());
        return shm::Segment::create({.name = name(), .lanes = 4, .reserve = 65'536}).value();
    }

    [[nodiscard]] std::optional<shm::NameTable::Entry> counter(const char* counter) const {
        return segment_.metric_names().find(counter, shm::NameKind::Counter);
    }

    void register_as_worker(const std::string& gauge) {
        ASSERT_TRUE(
            segment_.metric_names().find_or_add(gauge, shm::NameKind::Gauge, 0, {1, 1}, {}));
    }

    static std::vector<std::string> many(std::size_t count) {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < count; ++i) {
            names.push_back("n" + std::to_string(i));
        }
        return names;
    }

    shm::Segment segment_ = make();
    config::Shared shared_;
};

TEST_F(SharedObjectsTest, WhatIsNewIsAddedAndWhatIsThereStays) {
    shared_.counters = {"orders"};
    ASSERT_TRUE(declare_shared(segment_, shared_));
    segment_.metrics().cell(1, counter("orders")->row).store(17);
    shared_.counters = {"refunds", "orders"};
    shared_.mutexes = {"stock"};
    EXPECT_THAT(misfits_of(segment_, shared_), IsEmpty());
    ASSERT_TRUE(declare_shared(segment_, shared_));
    EXPECT_TRUE(counter("refunds"));
    EXPECT_EQ(shm::counter_total(segment_.metrics(), counter("orders")->row), 17U);
    EXPECT_TRUE(segment_.mutex_names().find("stock", shm::NameKind::Mutex));
}

TEST_F(SharedObjectsTest, AMutexIsOneThatOutlivesItsHolder) {
    shared_.mutexes = {"stock"};
    ASSERT_TRUE(declare_shared(segment_, shared_));
    const auto entry = segment_.mutex_names().find("stock", shm::NameKind::Mutex);
    ASSERT_TRUE(entry);
    shm::RobustMutex& stock = segment_.mutexes()[entry->row];
    const pid_t holder = ::fork();
    if (holder == 0) {
        ::_exit(stock.lock({1, 1}) == shm::LockResult::Locked ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(holder, &status, 0), holder);
    EXPECT_EQ(status, 0);
    ASSERT_EQ(stock.try_lock({2, 1}), shm::LockResult::OwnerDied);
    stock.repaired();
    stock.unlock();
    ASSERT_EQ(stock.lock({2, 1}), shm::LockResult::Locked);
    ASSERT_TRUE(declare_shared(segment_, shared_)) << "at each reload";
    EXPECT_EQ(stock.owner(), (shm::Owner{2, 1}));
    stock.unlock();
}

TEST_F(SharedObjectsTest, NumbersAreThoseOfTheFile) {
    shared_.semaphores = {{"db", 3}};
    shared_.rate_limits = {{"api", 1'000, 5}};
    ASSERT_TRUE(declare_shared(segment_, shared_));
    shared_.semaphores = {{"db", 7}};
    shared_.rate_limits = {{"api", 2'000, 9}};
    ASSERT_TRUE(declare_shared(segment_, shared_));
    const auto db = segment_.array_names().find("db", shm::NameKind::Semaphore);
    const auto api = segment_.object_names().find("api", shm::NameKind::RateLimit);
    EXPECT_EQ(shm::Semaphore(segment_.arrays()[db->row]).permits(), 7U);
    EXPECT_EQ(shm::RateLimit(segment_.objects()[api->row]).rule().interval_ns, 2'000U);
    EXPECT_EQ(shm::RateLimit(segment_.objects()[api->row]).rule().burst, 9U);
}

TEST_F(SharedObjectsTest, WhatIsTooManyIsSaidWithHowMany) {
    register_as_worker("load");
    shared_.counters = many(shm::kMaxMetrics);
    const auto misfits = misfits_of(segment_, shared_);
    ASSERT_THAT(misfits, SizeIs(1));
    EXPECT_THAT(misfits[0], HasSubstr("shared.counters: 256 new, and room for 255: 1 too many"));
    shared_.counters.pop_back();
    EXPECT_THAT(misfits_of(segment_, shared_), IsEmpty());
    ASSERT_TRUE(declare_shared(segment_, shared_));
    EXPECT_THAT(misfits_of(segment_, shared_), IsEmpty()) << "they are there";
    shared_.mutexes = many(shm::kMaxMutexes + 1);
    shared_.semaphores.assign(shm::kMaxArrays + 2, {"", 1});
    for (std::size_t i = 0; i < shared_.semaphores.size(); ++i) {
        shared_.semaphores[i].name = "s" + std::to_string(i);
    }
    EXPECT_THAT(misfits_of(segment_, shared_),
                ElementsAre(HasSubstr("shared.mutexes: 65 new, and room for 64"),
                            HasSubstr("room for 16: 2 too many")));
}

TEST_F(SharedObjectsTest, QueuesAndHistogramsComeOutOfTheReserve) {
    config::Queue mails;
    mails.name = "mails";
    mails.capacity = 8;
    shared_.queues = {mails};
    shared_.histograms = {"time"};
    EXPECT_THAT(misfits_of(segment_, shared_), IsEmpty());
    ASSERT_TRUE(declare_shared(segment_, shared_));
    ASSERT_TRUE(declare_shared(segment_, shared_)) << "once more is as good";
    ASSERT_THAT(segment_.queues(), SizeIs(1));
    EXPECT_EQ(segment_.queues()[0].shape.capacity, 8U);
    EXPECT_THAT(segment_.histograms(), ElementsAre("time"));
    mails.capacity = 9;
    shared_.queues = {mails};
    EXPECT_THAT(misfits_of(segment_, shared_),
                ElementsAre(HasSubstr("shared.queues.mails: it is there with another shape")));
    mails.name = "news";
    mails.capacity = 1'000;
    shared_.queues = {mails};
    EXPECT_THAT(
        misfits_of(segment_, shared_),
        ElementsAre(testing::MatchesRegex("queue news would take 3.*K, and of "
                                          "segment.reserve are left .*K: .*K too little.*")));
    EXPECT_FALSE(declare_shared(segment_, shared_));
    EXPECT_THAT(segment_.queues(), SizeIs(1));
}

TEST_F(SharedObjectsTest, ChannelsAndBlocksComeOutOfTheReserve) {
    config::Channel news;
    news.name = "news";
    news.to = "web";
    news.slots = 2;
    news.capacity = 4;
    shared_.channels = {news};
    shared_.blocks = {{1'024, 3}, {4'096, 2}};
    EXPECT_THAT(misfits_of(segment_, shared_), IsEmpty());
    ASSERT_TRUE(declare_shared(segment_, shared_));
    const std::uint64_t left = segment_.reserve_left();
    ASSERT_TRUE(declare_shared(segment_, shared_)) << "once more is as good";
    EXPECT_EQ(segment_.reserve_left(), left);
    ASSERT_THAT(segment_.channels(), SizeIs(1));
    EXPECT_EQ(segment_.channels()[0].pool, "web");
    EXPECT_EQ(segment_.blocks().blocks(), 5U);
    shared_.channels[0].to = "api";
    shared_.blocks = {{512, 1}, {1'024, 4}};
    EXPECT_THAT(misfits_of(segment_, shared_),
                ElementsAre(HasSubstr("shared.channels.news: it is there with another shape"),
                            HasSubstr("shared.blocks.1KiB: it is there with another shape")));
    shared_.channels = {};
    shared_.blocks = {{1'048'576, 1}};
    EXPECT_THAT(
        misfits_of(segment_, shared_),
        ElementsAre(testing::MatchesRegex("blocks of 1MiB would take 1.0M, and of "
                                          "segment.reserve are left .*K: .*K too little.*")));
    shared_.blocks = {{1, shm::kMaxBlocks}};
    EXPECT_THAT(misfits_of(segment_, shared_),
                testing::Contains(HasSubstr("not named any more: 5 too many")));
    EXPECT_FALSE(declare_shared(segment_, shared_));
    EXPECT_EQ(segment_.blocks().blocks(), 5U);
}

TEST_F(SharedObjectsTest, ANameThatMeansSomethingElseIsRefused) {
    register_as_worker("load");
    shared_.counters = {"load"};
    EXPECT_THAT(misfits_of(segment_, shared_),
                ElementsAre(HasSubstr("shared.counters: load: a worker has given this name")));
}

}  // namespace
}  // namespace topsman::supervisor
