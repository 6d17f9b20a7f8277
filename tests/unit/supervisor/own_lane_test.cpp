// What the master does in its own lane for scripts that have none.

#include "supervisor/own_lane.hpp"

#include "shm/inbox_reader.hpp"
#include "shm/sweep.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

namespace topsman::supervisor {
namespace {

using control::Request;
using control::Response;

class OwnLaneTest : public testing::Test {
  protected:
    OwnLaneTest() {
        (void)shm::Segment::remove(name());
        orders_ = add("orders", shm::NameKind::Counter);
        load_ = add("load", shm::NameKind::Gauge);
    }

    ~OwnLaneTest() override { (void)shm::Segment::remove(name()); }

    static std::string name() { return "topsman.own_lane." + std::to_string(::getpid()); }

    static shm::Segment make() {
        (void)shm::Segment::remove(name());
        return shm::Segment::create(
                   {.name = name(),
                    .lanes = 4,
                    .queues = {{"mails", {}},
                               {"thumbnails", {.capacity = 2, .item_size = 8, .priorities = 2}},
                               {"once", {.capacity = 2, .item_size = 8, .has_keys = true}},
                               {"questions", {.capacity = 2, .max_attempts = 1, .result_size = 8}}},
                    .channels = {{"news", "web", {.slots = 3, .capacity = 2, .message_size = 8}}}})
            .value();
    }

    std::uint32_t add(const char* metric, shm::NameKind kind) {
        return segment_.metric_names().find_or_add(metric, kind, 0, {}, nullptr).value();
    }

    Response change(const char* metric, std::optional<std::int64_t> more,
                    std::optional<std::int64_t> set = {}) {
        Request request{.verb = Request::Verb::Counter, .pool = {}, .slot = {}};
        request.name = metric;
        request.add = more;
        request.set = set;
        return change_metric(segment_, request);
    }

    Response submit(const char* queue, const std::string& item, std::uint32_t priority = 0,
                    std::optional<std::chrono::milliseconds> deadline = {},
                    std::optional<std::string> key = {}) {
        Request request{.verb = Request::Verb::Submit, .pool = {}, .slot = {}};
        request.queue = queue;
        request.item = item;
        request.priority = priority;
        request.deadline = deadline;
        request.key = std::move(key);
        return submit_job(segment_, request);
    }

    Result<AskedJob> ask(const char* queue, const std::string& item) {
        Request request{.verb = Request::Verb::Submit, .pool = {}, .slot = {}};
        request.queue = queue;
        request.item = item;
        request.wants_result = true;
        return ask_job(segment_, request);
    }

    /// Of the queue of questions.
    void execute(const std::string& result) {
        shm::JobQueue queue = segment_.queue(3);
        const auto job = queue.take({1, 1});
        ASSERT_TRUE(job);
        EXPECT_TRUE(queue.ack(job->number, job->word, std::as_bytes(std::span(result))));
    }

    Response send(const char* channel, const std::string& message,
                  std::optional<std::uint32_t> slot = {}, bool to_all = false) {
        Request request{.verb = Request::Verb::Send, .pool = {}, .slot = slot};
        request.channel = channel;
        request.item = message;
        request.to_all = to_all;
        return send_message(segment_, request, turn_++);
    }

    /// The messages of a slot, each in brackets.
    std::string received(std::uint32_t slot) {
        shm::InboxReader reader(segment_.channel(0), slot, {1, 1});
        std::string text;
        while (const auto message = reader.receive()) {
            text += '[' +
                    std::string(reinterpret_cast<const char*>(message->bytes.data()),
                                message->bytes.size()) +
                    ']';
            reader.done(message->position);
        }
        return text;
    }

    std::string take() {
        shm::JobQueue queue = segment_.queue(1);
        const auto job = queue.take({1, 1});
        if (!job) {
            return "nothing";
        }
        std::string text(reinterpret_cast<const char*>(job->item.data()), job->item.size());
        EXPECT_TRUE(queue.ack(*job));
        return text;
    }

    shm::Segment segment_ = make();
    std::uint32_t orders_ = 0;
    std::uint32_t load_ = 0;
    std::uint32_t turn_ = 0;
};

TEST_F(OwnLaneTest, ACounterIsAddedToInLaneZeroAndItsSumIsTheAnswer) {
    segment_.metrics().cell(3, orders_).store(40);
    const Response response = change("orders", 2);
    EXPECT_EQ(response.result, "done");
    EXPECT_EQ(response.reason, "42");
    EXPECT_EQ(response.details, R"({"name":"orders","value":42})");
    EXPECT_EQ(segment_.metrics().cell(0, orders_).load(), 2U);
    EXPECT_EQ(segment_.metrics().cell(3, orders_).load(), 40U);
    segment_.metrics().cell(3, orders_).store(~std::uint64_t{0} - 2);
    EXPECT_EQ(change("orders", 0).reason, "18446744073709551615") << "a sum is unsigned";
}

TEST_F(OwnLaneTest, ACounterOnlyGrows) {
    EXPECT_EQ(change("orders", -1).reason, "orders is a counter: it only grows");
    EXPECT_EQ(change("orders", {}, 1).result, "failed");
    EXPECT_EQ(segment_.metrics().cell(0, orders_).load(), 0U);
}

TEST_F(OwnLaneTest, AGaugeGoesUpAndDownAndOutlivesTheMaster) {
    segment_.metrics().cell(2, load_).store(10);
    EXPECT_EQ(change("load", {}, 5).reason, "15");
    EXPECT_EQ(change("load", -7).reason, "8");
    EXPECT_EQ(change("load", -10).details, R"({"name":"load","value":-2})");
    (void)shm::sweep_dead_lanes(segment_, [](auto, auto) { return true; });
    EXPECT_EQ(change("load", 0).reason, "-2");
}

TEST_F(OwnLaneTest, ANameThatIsNotThereIsNotMade) {
    EXPECT_EQ(change("ordres", 1).reason,
              "there is no counter or gauge ordres; did you mean orders?");
    EXPECT_EQ(change("x", 1).reason, "there is no counter or gauge x; there is orders and load");
    EXPECT_EQ(segment_.metric_names().entries().size(), 2U);
}

TEST_F(OwnLaneTest, AJobIsSubmittedByteForByteAndItsNumberIsTheAnswer) {
    const std::string job("a\0\n", 3);
    const Response response = submit("thumbnails", job);
    ASSERT_EQ(response.result, "done") << response.reason;
    EXPECT_EQ(response.details, R"({"queue":"thumbnails","job":")" + response.reason + R"("})");
    EXPECT_EQ(submit("thumbnails", "urgent", 1).result, "done");
    EXPECT_EQ(take(), "urgent");
    EXPECT_EQ(take(), job);
}

TEST_F(OwnLaneTest, AJobThatIsTooLateIsNotHandedOut) {
    EXPECT_EQ(submit("thumbnails", "late", 0, std::chrono::milliseconds(0)).result, "done");
    EXPECT_EQ(submit("thumbnails", "good", 0, std::chrono::hours(1)).result, "done");
    EXPECT_EQ(take(), "good");
    EXPECT_EQ(take(), "nothing");
}

TEST_F(OwnLaneTest, AJobWithAKeyIsSubmittedOnce) {
    const Response first = submit("once", "a", 0, {}, "key");
    ASSERT_EQ(first.result, "done") << first.reason;
    EXPECT_EQ(first.details, R"({"queue":"once","job":")" + first.reason + R"(","new":true})");
    const Response second = submit("once", "b", 0, {}, "key");
    EXPECT_EQ(second.result, "done");
    EXPECT_EQ(second.reason, first.reason);
    EXPECT_EQ(second.details, R"({"queue":"once","job":")" + first.reason + R"(","new":false})");
    EXPECT_EQ(submit("once", "c").result, "done");
    EXPECT_EQ(submit("once", "d", 0, {}, "another").reason, "queue once is full, with 2 jobs");
    EXPECT_EQ(submit("mails", "x", 0, {}, "key").reason,
              "queue mails knows no keys: write dedup: true (shared.queues.mails.dedup)");
}

TEST_F(OwnLaneTest, TheResultOfAJobIsTheAnswer) {
    const auto cat = ask("questions", "cat");
    const auto raw = ask("questions", "raw");
    ASSERT_TRUE(cat && raw);
    EXPECT_EQ(ask("questions", "x").error().message, "queue questions is full, with 2 jobs");
    EXPECT_FALSE(answer_of(segment_, *cat));
    execute("me\"ow");
    execute("\xff\x01");
    const auto answer = answer_of(segment_, *cat);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->result, "done");
    EXPECT_EQ(answer->details_key, "job");
    EXPECT_EQ(answer->details, R"({"queue":"questions","job":")" + std::to_string(cat->id) +
                                   R"(","answer":"me\"ow"})");
    EXPECT_EQ(
        answer_of(segment_, *raw)->details,
        R"({"queue":"questions","job":")" + std::to_string(raw->id) + R"(","answer_hex":"ff01"})");
    EXPECT_TRUE(ask("questions", "a") && ask("questions", "b")) << "what was answered has no place";
}

TEST_F(OwnLaneTest, AJobThatFailedIsAnAnswerToo) {
    shm::JobQueue queue = segment_.queue(3);
    const auto job = ask("questions", "cat");
    ASSERT_TRUE(job);
    (void)queue.nack(queue.take({1, 1}).value());
    const auto answer = answer_of(segment_, *job);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->result, "failed");
    EXPECT_EQ(answer->reason, "queue questions: job " + std::to_string(job->id) +
                                  " was tried 1 times in vain and is a dead letter: see topsman "
                                  "queues questions");
    const auto given_up = ask("questions", "dog");
    ASSERT_TRUE(given_up);
    withdraw(segment_, *given_up);
    execute("x");
    EXPECT_TRUE(ask("questions", "a"));
    EXPECT_EQ(ask("mails", "x").error().message,
              "queue mails knows no results: write result_size: 256 (shared.queues.mails."
              "result_size)");
}

TEST_F(OwnLaneTest, WhatCannotBeSubmittedIsRefusedWithASentence) {
    EXPECT_EQ(submit("thumbnials", "x").reason,
              "there is no queue thumbnials; did you mean thumbnails?");
    EXPECT_EQ(submit("zzz", "x").reason,
              "there is no queue zzz; there is mails, thumbnails, once and questions");
    EXPECT_EQ(submit("thumbnails", "123456789").reason,
              "the job has 9 bytes; queue thumbnails takes at most 8 "
              "(shared.queues.thumbnails.item_size)");
    EXPECT_EQ(submit("thumbnails", "x", 2).reason,
              "priority 2: queue thumbnails has 0 to 1 (shared.queues.thumbnails.priorities)");
    EXPECT_EQ(submit("mails", "x", 1).reason,
              "priority 1: queue mails has no priorities (shared.queues.mails.priorities)");
    EXPECT_EQ(take(), "nothing");
    EXPECT_EQ(submit("thumbnails", "1").result, "done");
    EXPECT_EQ(submit("thumbnails", "2").result, "done");
    EXPECT_EQ(submit("thumbnails", "3").reason, "queue thumbnails is full, with 2 jobs");
}

TEST_F(OwnLaneTest, AMessageIsSentByteForByteAndTheAnswerSaysToWhom) {
    segment_.channel(0).set_slots(3);
    const std::string message("a\0\n", 3);
    const Response response = send("news", message, 1);
    ASSERT_EQ(response.result, "done") << response.reason;
    EXPECT_EQ(response.lines, std::vector<std::string>{"web/1"});
    EXPECT_EQ(response.details, R"({"channel":"news","to":["web/1"]})");
    EXPECT_EQ(send("news", "", {}, true).lines,
              (std::vector<std::string>{"web/0", "web/1", "web/2"}));
    EXPECT_EQ(received(0), "[]");
    EXPECT_EQ(received(1), "[" + message + "][]");
}

TEST_F(OwnLaneTest, AMessageForAnyGoesToEachInTurn) {
    segment_.channel(0).set_slots(2);
    EXPECT_EQ(send("news", "1").lines, std::vector<std::string>{"web/0"});
    EXPECT_EQ(send("news", "2").lines, std::vector<std::string>{"web/1"});
    EXPECT_EQ(send("news", "3").lines, std::vector<std::string>{"web/0"});
    EXPECT_EQ(send("news", "4").lines, std::vector<std::string>{"web/1"});
    EXPECT_EQ(send("news", "5").reason,
              "channel news: not sent to web/0 and web/1: full, with 2 messages");
    EXPECT_EQ(received(0), "[1][3]");
}

TEST_F(OwnLaneTest, WhatCannotBeSentIsRefusedWithASentence) {
    EXPECT_EQ(send("news", "x").reason, "channel news: pool web has no workers now");
    segment_.channel(0).set_slots(2);
    EXPECT_EQ(send("nwes", "x").reason, "there is no channel nwes; did you mean news?");
    EXPECT_EQ(send("news", "123456789").reason,
              "the message has 9 bytes; channel news takes at most 8 "
              "(shared.channels.news.message_size)");
    EXPECT_EQ(send("news", "x", 2).reason,
              "channel news: there is no web/2 to send to; there are web/0 to web/1");
    EXPECT_EQ(send("news", "x", 3).reason,
              "channel news: there is no web/3 to send to; there are web/0 to web/1 "
              "(shared.channels.news.slots: 3)");
    EXPECT_EQ(received(0) + received(1), "");
}

TEST_F(OwnLaneTest, OfAMessageForAllItIsSaidWhoGotIt) {
    segment_.channel(0).set_slots(2);
    EXPECT_EQ(send("news", "1", 1).result, "done");
    EXPECT_EQ(send("news", "2", 1).result, "done");
    const Response response = send("news", "x", {}, true);
    EXPECT_EQ(response.result, "failed");
    EXPECT_EQ(response.lines, std::vector<std::string>{"web/0"});
    EXPECT_EQ(response.reason, "channel news: not sent to web/1: full, with 2 messages");
    EXPECT_EQ(received(0) + received(1), "[x][1][2]");
}

TEST_F(OwnLaneTest, WithoutQueuesItIsSaidWhereTheyAreNamed) {
    (void)shm::Segment::remove(name());
    segment_ = shm::Segment::create({.name = name(), .lanes = 4}).value();
    EXPECT_EQ(submit("thumbnails", "x").reason,
              "there is no queue thumbnails; name it in the file, below shared.queues");
    EXPECT_EQ(change("orders", 1).reason,
              "there is no counter or gauge orders; name it in the file, below shared.counters");
}

}  // namespace
}  // namespace topsman::supervisor
