#include "supervisor/control/queue_view.hpp"

#include "supervisor/control/status_json.hpp"
#include "supervisor/control/status_text.hpp"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>

#include <cstring>
#include <random>
#include <unistd.h>

namespace topsman::control {
namespace {

using shm::Owner;
using testing::HasSubstr;

constexpr Owner kMe{1, 1};
constexpr std::int64_t kNow = 100'000'000'000;

class QueueViewTest : public testing::Test {
  protected:
    QueueViewTest() { queue_.join(kMe); }

    ~QueueViewTest() override { (void)shm::Segment::remove(name_); }

    shm::JobId submit(const std::string& text, std::int64_t at) {
        return queue_
            .submit(kMe, std::as_bytes(std::span(text.data(), text.size())),
                    {.now_ns = static_cast<std::uint64_t>(at), .deadline_ns = deadline_})
            .value();
    }

    void take_and_nack() { (void)queue_.nack(queue_.take(kMe).value()); }

    [[nodiscard]] QueueLine line() const { return read_queues(segment_, kNow).at(0); }

    std::uint64_t deadline_ = 0;
    std::string name_ = "topsman.queue-view." + std::to_string(::getpid());
    shm::Segment segment_ =
        shm::Segment::create(
            {.name = name_,
             .lanes = 4,
             .queues = {{"jobs", {.capacity = 8, .item_size = 100, .max_attempts = 2}},
                        {"mails", {.capacity = 5, .item_size = 1, .max_attempts = 1}}}})
            .value();
    shm::JobQueue queue_ = segment_.queue(0);
};

TEST_F(QueueViewTest, SaysHowManyHowOldHowOften) {
    (void)submit("a", kNow - 3'000'000'000);
    (void)submit("b", kNow - 2'000'000'000);
    (void)submit("c", kNow - 1'000'000'000);
    take_and_nack();         // a: again
    (void)queue_.take(kMe);  // b: runs
    const QueueLine jobs = line();
    EXPECT_EQ(jobs.name, "jobs");
    EXPECT_EQ(jobs.ready, 2U);
    EXPECT_EQ(jobs.running, 1U);
    EXPECT_EQ(jobs.dead, 0U);
    EXPECT_EQ(jobs.again, 1U);
    EXPECT_EQ(jobs.most_attempts, 1U);
    EXPECT_DOUBLE_EQ(jobs.oldest_s, 3.0);
    EXPECT_EQ(read_queues(segment_, kNow).at(1).capacity, 5U);
}

TEST_F(QueueViewTest, SaysHowManyWaitForTheirTime) {
    (void)submit("a", kNow);
    (void)submit("b", kNow);
    EXPECT_EQ(queue_.nack(queue_.take(kMe).value(), ~std::uint64_t{0}), shm::NackResult::Later);
    const QueueLine jobs = line();
    EXPECT_EQ(jobs.ready, 1U);
    EXPECT_EQ(jobs.later, 1U);
    EXPECT_EQ(jobs.again, 1U);
    EXPECT_EQ(jobs.most_attempts, 1U);
    EXPECT_THAT(queues_text({jobs}, 0, false), HasSubstr("LATER"));
    EXPECT_EQ(boost::json::parse(queues_json({jobs})).at("jobs").at("later"), 1);
}

TEST_F(QueueViewTest, ListsDeadLettersAsTheyBegin) {
    const auto id = submit(std::string("cat\x1b[2J.jpg"), kNow - 5'000'000'000);
    take_and_nack();
    take_and_nack();
    const auto letters = read_dead_letters(segment_, "jobs", kNow, 10);
    ASSERT_TRUE(letters);
    ASSERT_EQ(letters->size(), 1U);
    EXPECT_EQ(letters->at(0).id, id);
    EXPECT_EQ(letters->at(0).text, "cat [2J.jpg");
    EXPECT_EQ(letters->at(0).attempts, 2U);
    EXPECT_DOUBLE_EQ(letters->at(0).age_s, 5.0);
    EXPECT_EQ(line().dead, 1U);
    EXPECT_TRUE(read_dead_letters(segment_, "jobs", kNow, 0)->empty());
    EXPECT_FALSE(read_dead_letters(segment_, "nope", kNow, 10));
}

TEST_F(QueueViewTest, SaysWhyTheyAreDead) {
    deadline_ = 1;  // long ago
    (void)submit("late", kNow);
    EXPECT_FALSE(queue_.take(kMe));
    deadline_ = 0;
    (void)submit("failing", kNow);
    take_and_nack();
    take_and_nack();
    const auto letters = read_dead_letters(segment_, "jobs", kNow, 10).value();
    ASSERT_EQ(letters.size(), 2U);
    EXPECT_TRUE(letters[0].is_late);
    EXPECT_EQ(letters[0].attempts, 0U);
    EXPECT_FALSE(letters[1].is_late);
}

TEST_F(QueueViewTest, TextAndJsonShowIt) {
    (void)submit("a", kNow - 3'000'000'000);
    const auto lines = read_queues(segment_, kNow);
    const std::string text = queues_text(lines, 0, false);
    EXPECT_THAT(text, HasSubstr("QUEUE"));
    EXPECT_THAT(text, HasSubstr("jobs"));
    const auto json = boost::json::parse(queues_json(lines));
    EXPECT_EQ(json.at("jobs").at("ready"), 1);
    EXPECT_EQ(json.at("jobs").at("oldest_s"), 3.0);
    EXPECT_EQ(json.at("mails").at("capacity"), 5);
    EXPECT_THAT(queues_text({}, 0, false), HasSubstr("no queues"));
}

TEST_F(QueueViewTest, HostileBytesAreNoDanger) {
    auto* bytes =
        reinterpret_cast<unsigned char*>(const_cast<shm::QueueControl*>(&queue_.control()));
    std::mt19937_64 random(1);
    for (int round = 0; round < 50; ++round) {
        for (std::size_t i = 0; i < shm::queue_bytes(queue_.shape()); ++i) {
            bytes[i] = static_cast<unsigned char>(random());
        }
        const QueueLine jobs = line();
        EXPECT_LE(jobs.ready + jobs.later + jobs.running + jobs.dead, 8U);
        const auto letters = read_dead_letters(segment_, "jobs", kNow, 10).value();
        for (const DeadLetterLine& letter : letters) {
            EXPECT_LE(letter.size, 100U);
            EXPECT_THAT(letter.text, testing::Not(HasSubstr("\x1b")));
        }
    }
}

}  // namespace
}  // namespace topsman::control
