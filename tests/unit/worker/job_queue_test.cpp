// The job queue as workers use it: over processes, deaths, draining and forks.

#include "topsman/job_queue.hpp"

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace topsman {
namespace {

using test::Herd;
using test::Member;
using test::Signal;
using namespace std::chrono_literals;

JobQueue jobs() {
    return Worker::attach().value().queue("jobs").value();
}

TEST(WorkersJobQueueTest, WhatOneSubmitsAnotherTakes) {
    Herd herd;
    Member producer = herd.spawn({}, [] {
        JobQueue queue = jobs();
        for (const char* item : {"one", "two", "three"}) {
            (void)queue.submit(item).value();
        }
        return 0;
    });
    EXPECT_EQ(herd.reap(producer), 0);
    Member consumer = herd.spawn({}, [] {
        JobQueue queue = jobs();
        for (const char* item : {"one", "two", "three"}) {
            auto job = queue.take().value();
            if (!job || job->text() != item || job->attempt() != 1 || !job->ack()) {
                return 1;
            }
        }
        return queue.try_take().value() ? 2 : 0;
    });
    EXPECT_EQ(herd.reap(consumer), 0);
}

TEST(WorkersJobQueueTest, TheJobOfADeadWorkerGoesToOneThatWaits) {
    Herd herd;
    const Signal has_taken;
    Member victim = herd.spawn({}, [&] {
        JobQueue queue = jobs();
        (void)queue.submit("it").value();
        const auto job = queue.take().value();
        has_taken.give();
        for (;;) {
            (void)::pause();
        }
        return job ? 0 : 1;
    });
    has_taken.wait();
    Member heir = herd.spawn({}, [] {
        auto job = jobs().take().value();
        return job && job->text() == "it" && job->attempt() == 2 && job->ack() ? 0 : 1;
    });
    ASSERT_EQ(::kill(victim.pid, SIGKILL), 0);
    (void)herd.reap(victim);
    EXPECT_EQ(herd.reap(heir), 0);
}

TEST(WorkersJobQueueTest, WhoWaitsForRoomGetsItFromAnAck) {
    Herd herd;
    const Signal is_full;
    Member producer = herd.spawn({}, [&] {
        JobQueue queue = jobs();
        for (int i = 0; i < 8; ++i) {
            (void)queue.try_submit("x").value();
        }
        const auto refused = queue.try_submit("x");
        if (refused || refused.error().code != std::errc::no_buffer_space ||
            queue.submit_until("x", std::chrono::steady_clock::now()).error().code !=
                std::errc::timed_out) {
            return 1;
        }
        is_full.give();
        return queue.submit("x") ? 0 : 2;
    });
    is_full.wait();
    Member consumer = herd.spawn({}, [] { return jobs().take().value()->ack() ? 0 : 1; });
    EXPECT_EQ(herd.reap(consumer), 0);
    EXPECT_EQ(herd.reap(producer), 0);
}

TEST(WorkersJobQueueTest, ManyAreSubmittedAtOnceAsFarAsThereIsRoom) {
    Herd herd;
    const Signal is_full;
    Member producer = herd.spawn({}, [&] {
        JobQueue queue = jobs();
        const std::vector<std::string_view> items{"1", "2", "3", "4", "5"};
        const std::string too_long(33, 'x');
        if (queue.try_submit_all(items).value() != 5 || queue.try_submit_all(items).value() != 3 ||
            queue.try_submit_all(items).value() != 0) {
            return 1;
        }
        const auto refused = queue.submit_all(std::vector<std::string_view>{"6", too_long});
        if (refused || refused.error().code != std::errc::message_size) {
            return 2;
        }
        is_full.give();  // the rest as a consumer makes room
        return queue.submit_all(items).value() == 5 ? 0 : 3;
    });
    is_full.wait();
    Member consumer = herd.spawn({}, [] {
        JobQueue queue = jobs();
        for (const char* item : {"1", "2", "3", "4", "5", "1", "2", "3", "1", "2", "3", "4", "5"}) {
            auto job = queue.take().value();
            if (!job || job->text() != item || !job->ack()) {
                return 1;
            }
        }
        return queue.try_take().value() ? 2 : 0;
    });
    EXPECT_EQ(herd.reap(producer), 0);
    EXPECT_EQ(herd.reap(consumer), 0);
}

TEST(WorkersJobQueueTest, DrainingEndsTheWaiting) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        worker.ready();
        return worker.queue("jobs").value().take().value() ? 1 : 0;
    });
    (void)Herd::next_message(member);
    ASSERT_EQ(::kill(member.pid, SIGTERM), 0);
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobQueueTest, AJobThatIsLetGoIsNackedAndADeadLetterInTheEnd) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        JobQueue queue = jobs();
        (void)queue.submit("it").value();
        (void)queue.take().value();  // let go
        auto job = queue.take().value();
        if (!job || job->attempt() != 2 || !job->nack()) {
            return 1;
        }
        // Ended is ended; and taken twice without an ack it is not handed out again.
        return job->ack() || job->nack() || queue.try_take().value() ? 2 : 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobQueueTest, AJobThatIsPutOffComesToWhoSleepsForIt) {
    Herd herd;
    Member member = herd.spawn({}, [&] {
        JobQueue queue = jobs();
        (void)queue.submit("it").value();
        (void)queue.take().value()->nack(1h).value();
        if (queue.try_take().value()) {
            return 1;
        }
        (void)queue.submit("that").value();
        if (!queue.take().value()->nack(3ms)) {
            return 2;
        }
        auto job = queue.take().value();
        return job && job->text() == "that" && job->attempt() == 2 && job->ack() ? 0 : 3;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobQueueTest, AJobIsTakenBeforeItsDeadlineOrNotAtAll) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        JobQueue queue = jobs();
        const auto now = std::chrono::steady_clock::now();
        (void)queue.submit("late", {.deadline = now}).value();
        (void)queue.try_submit("late", {.deadline = {}}).value();
        (void)queue.submit_until("in time", now + 1h, {.deadline = now + 1h}).value();
        auto job = queue.take().value();
        return job && job->text() == "in time" && job->ack() && !queue.try_take().value() ? 0 : 1;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobQueueTest, ErrorsSayWhatToWrite) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        const auto missing = worker.queue("mails");
        const auto long_item = jobs().submit(std::string(33, 'x'));
        const bool is_told =
            !missing &&
            missing.error().message ==
                "queue mails: the cluster's file has none of that name: write shared: { queues: { "
                "mails: {} } }" &&
            !long_item &&
            long_item.error().message ==
                "queue jobs: an item has at most 32 bytes, this one has 33";
        return is_told ? 0 : 1;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobQueueTest, AForkedChildIsDetached) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        JobQueue queue = jobs();
        (void)queue.submit("it").value();
        auto job = queue.take().value();
        const pid_t child = ::fork();
        if (child == 0) {
            const auto not_connected = std::errc::not_connected;
            ::_exit(queue.submit("x").error().code == not_connected &&
                            queue.take().error().code == not_connected &&
                            job->ack().error().code == not_connected
                        ? 0
                        : 1);
        }
        int status = 1;
        return ::waitpid(child, &status, 0) == child && status == 0 && job->ack() ? 0 : 1;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobQueueTest, OfAKeyThereIsOneJobForAllWorkers) {
    Herd herd({{"jobs", {.capacity = 2, .item_size = 8, .max_attempts = 2, .has_keys = true}}});
    Member first = herd.spawn({}, [] {
        JobQueue queue = Worker::attach().value().queue("jobs").value();
        return queue.submit_once("cat.jpg", "1").value().is_new ? 0 : 1;
    });
    ASSERT_EQ(herd.reap(first), 0);
    Member second = herd.spawn({}, [] {
        JobQueue queue = Worker::attach().value().queue("jobs").value();
        const SubmittedOnce again = queue.submit_once("cat.jpg", "2").value();
        if (again.is_new || queue.try_submit_once("cat.jpg", "3").value().id != again.id) {
            return 1;
        }
        auto job = queue.take().value();
        if (job->id() != again.id || job->text() != "1" ||
            queue.submit_once("cat.jpg", "4").value().is_new) {
            return 2;
        }
        return job->ack() && queue.submit_once("cat.jpg", "5").value().is_new ? 0 : 3;
    });
    EXPECT_EQ(herd.reap(second), 0);
    Member third = herd.spawn({}, [] {
        JobQueue queue = Worker::attach().value().queue("jobs").value();
        if (!queue.size().dedup || !queue.submit("no key")) {
            return 1;
        }
        const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
        const bool is_full =
            queue.try_submit_once("dog.jpg", "6").error().code == std::errc::no_buffer_space &&
            queue.submit_once_until("dog.jpg", "6", soon).error().code == std::errc::timed_out;
        return is_full && !queue.submit_once("cat.jpg", "7").value().is_new ? 0 : 2;
    });
    EXPECT_EQ(herd.reap(third), 0);
}

TEST(WorkersJobQueueTest, WhatIsNoKeyIsRefusedWithASentence) {
    Herd herd;
    Member member = herd.spawn({.has_segment = false}, [] {
        Worker worker = Worker::attach().value();
        JobQueue queue = worker.queue("mine", {.dedup = true}).value();
        JobQueue plain = worker.queue("plain").value();
        const auto long_key = queue.submit_once(std::string(65, 'x'), "job");
        const auto no_key = queue.submit_once("", "job");
        const auto no_keys = plain.submit_once("key", "job");
        if (long_key.error().message !=
                "queue mine: a key has at most 64 bytes, this one has 65: hash it" ||
            long_key.error().code != std::errc::message_size) {
            return 1;
        }
        if (no_key.error().message != "queue mine: a key has 1 to 64 bytes, this one is empty" ||
            no_keys.error().message != "queue plain: jobs have no keys here: write dedup: true" ||
            no_keys.error().code != std::errc::operation_not_supported) {
            return 2;
        }
        const bool is_there = queue.submit_once(std::string(64, 'x'), "job").value().is_new;
        return is_there && !queue.submit_once(std::string(64, 'x'), "job").value().is_new ? 0 : 3;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobQueueTest, WithoutASupervisorItWorksForOneProcess) {
    Herd herd;
    Member member = herd.spawn({.has_segment = false}, [] {
        Worker worker = Worker::attach().value();
        if (worker.queue("mine", {.capacity = 0})) {
            return 1;
        }
        JobQueue queue = worker.queue("mine", {.capacity = 2, .item_size = 3}).value();
        const bool fits = queue.try_submit("abc") && queue.try_submit("") && !queue.try_submit("");
        JobQueue same = worker.queue("mine").value();
        const auto refused = same.try_submit("", {.priority = 1});
        if (refused || refused.error().message !=
                           "queue mine: there is no priority 1, its priorities end at 0") {
            return 3;
        }
        JobQueue urgent = worker.queue("urgent", {.priorities = 2}).value();
        const bool is_in = urgent.submit("later") && urgent.submit("first", {.priority = 1});
        if (!is_in || urgent.take().value()->text() != "first") {
            return 4;
        }
        auto job = same.take().value();
        return fits && same.size().capacity == 2 && job && job->text() == "abc" && job->ack() ? 0
                                                                                              : 2;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerJobQueueTest, WhatAReloadAddsIsFoundByWhoLivesAlready) {
    Herd herd;
    const Signal asked;
    const Signal added;
    Member member = herd.spawn({}, [&] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.queue("mails").error().code == std::errc::no_such_file_or_directory);
        CHILD_EXPECT(!worker.histogram("late") && !worker.channel("late"));
        asked.give();
        added.wait();
        JobQueue mails = worker.queue("mails").value();
        CHILD_EXPECT(mails.submit("to all") && mails.size().item_size == 8);
        worker.histogram("late").value().record(std::uint64_t{3});
        CHILD_EXPECT(worker.channel("late").value().send(To::slot(0), "to one").has_value());
        return 0;
    });
    asked.wait();
    ASSERT_TRUE(herd.segment().add_queue({"mails", {.capacity = 3, .item_size = 8}}));
    ASSERT_TRUE(herd.segment().add_histogram("late"));
    ASSERT_TRUE(herd.segment().add_channel({"late", "web", {1, 3, 16}}));
    herd.segment().channel(herd.segment().channels().size() - 1).set_slots(1);
    added.give();
    EXPECT_EQ(herd.reap(member), 0);
    EXPECT_EQ(herd.segment().histogram(2).merged().count(), 1U);
    EXPECT_TRUE(herd.segment().queue(1).take({1, 1}));
    EXPECT_EQ(herd.segment().channel(herd.segment().channels().size() - 1).unread(0), 1U);
}

}  // namespace
}  // namespace topsman
