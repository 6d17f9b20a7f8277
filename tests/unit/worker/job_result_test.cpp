// Who submits a job may wait for its result: workers of one cluster.

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::Herd;
using test::kPatience;
using test::Member;

std::vector<shm::NamedQueue> questions() {
    return {{"questions", {.capacity = 2, .item_size = 16, .max_attempts = 2, .result_size = 16}},
            {"plain", {.capacity = 2, .item_size = 16}}};
}

JobQueue queue_of_mine(const char* name = "questions") {
    return Worker::attach().value().queue(name).value();
}

/// Answers until it is told to stop by a job.
int answer_all() {
    JobQueue queue = queue_of_mine();
    while (auto job = queue.take().value()) {
        const std::string text(job->text());
        if (text == "kill") {
            (void)::kill(::getpid(), SIGKILL);
        }
        if (text == "fail") {
            (void)job->nack();
        } else if (!job->ack("re: " + text) || text == "stop") {
            return text == "stop" ? 0 : 1;
        }
    }
    return 2;
}

TEST(WorkersJobResultTest, TheResultComesToWhoHasAsked) {
    Herd herd(questions());
    Member answering = herd.spawn({}, answer_all);
    Member asking = herd.spawn({}, [] {
        JobQueue queue = queue_of_mine();
        JobResult cat = queue.ask("cat").value();
        JobResult dog = queue.ask("dog").value();
        if (dog.get().value() != "re: dog" || cat.get().value() != "re: cat") {
            return 1;
        }
        if (cat.get().error().code != std::errc::operation_not_permitted) {
            return 2;
        }
        JobResult fails = queue.ask("fail").value();
        const auto failed = fails.get_until(steady_clock::now() + kPatience);
        if (failed.error().code != std::errc::io_error ||
            failed.error().message != "queue questions: job " + std::to_string(fails.id()) +
                                          " was tried 2 times in vain and is a dead letter: see "
                                          "topsman queues questions") {
            return 3;
        }
        // The dead letter has one of the two places.
        return queue.ask("stop").value().get().value() == "re: stop" ? 0 : 4;
    });
    EXPECT_EQ(herd.reap(asking), 0);
    EXPECT_EQ(herd.reap(answering), 0);
}

TEST(WorkersJobResultTest, WhoWaitsGoesOnWaitingWhenAnotherDiesOverTheJob) {
    Herd herd(questions());
    Member victim = herd.spawn({}, answer_all);
    Member asking = herd.spawn({}, [] {
        JobResult asked = queue_of_mine().ask("kill").value();
        return asked.get_until(steady_clock::now() + kPatience).error().code == std::errc::io_error
                   ? 0
                   : 1;
    });
    EXPECT_EQ(herd.reap(victim), SIGKILL);
    Member second = herd.spawn({}, answer_all);
    EXPECT_EQ(herd.reap(second), SIGKILL);
    EXPECT_EQ(herd.reap(asking), 0);
}

TEST(WorkersJobResultTest, ADeadAskersQuestionsHaveNoPlace) {
    Herd herd(questions());
    Member asking = herd.spawn({}, [] {
        JobQueue queue = queue_of_mine();
        JobResult first = queue.ask("one").value();
        JobResult second = queue.ask("two").value();
        (void)queue.take().value()->ack("unread");
        (void)::kill(::getpid(), SIGKILL);
        return 1;
    });
    EXPECT_EQ(herd.reap(asking), SIGKILL);
    Member next = herd.spawn({}, [] {
        JobQueue queue = queue_of_mine();
        if (!queue.try_submit("a") || queue.try_submit("b")) {
            return 1;  // the second one still waits
        }
        if (!queue.take().value()->ack("for nobody") || !queue.take().value()->ack()) {
            return 2;
        }
        return queue.try_submit("c") && queue.try_submit("d") ? 0 : 3;
    });
    EXPECT_EQ(herd.reap(next), 0);
}

TEST(WorkersJobResultTest, AResultThatIsNotWantedAnyMoreHasNoPlace) {
    Herd herd(questions());
    Member member = herd.spawn({}, [] {
        JobQueue queue = queue_of_mine();
        {
            JobResult asked = queue.ask("cat").value();
            const auto soon = steady_clock::now() + milliseconds(1);
            if (asked.get_until(soon).error().code != std::errc::timed_out ||
                asked.get_until({}).error().code != std::errc::timed_out) {
                return 1;
            }
            JobResult moved = std::move(asked);
            asked = queue.ask("dog").value();
            if (queue.try_ask("cow").error().code != std::errc::no_buffer_space) {
                return 2;
            }
            std::swap(moved, asked);
        }
        for (int i = 0; i < 2; ++i) {
            (void)queue.take().value()->ack("not read");
        }
        return queue.try_ask("e") && queue.try_ask("f") ? 0 : 3;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobResultTest, WhatHasNoResultsSaysSo) {
    Herd herd(questions());
    Member member = herd.spawn({}, [] {
        JobQueue plain = queue_of_mine("plain");
        const auto refused = plain.ask("x");
        if (refused.error().code != std::errc::operation_not_supported ||
            refused.error().message !=
                "queue plain: jobs have no results here: write result_size: 256") {
            return 1;
        }
        (void)plain.submit("x").value();
        auto job = plain.take().value();
        if (job->ack("y").error().code != std::errc::operation_not_supported || !job->ack()) {
            return 2;
        }
        JobQueue queue = queue_of_mine();
        JobResult asked = queue.ask("x").value();
        job = queue.take().value();
        const auto too_long = job->ack(std::string(17, 'y'));
        if (too_long.error().message !=
                "queue questions: a result has at most 16 bytes, this one has 17" ||
            too_long.error().code != std::errc::message_size || !job->ack("fits")) {
            return 3;
        }
        return queue.size().result_size == 16 && asked.get().value() == "fits" ? 0 : 4;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobResultTest, AJobsOwnDeadlineAnswersToo) {
    Herd herd(questions());
    Member member = herd.spawn({}, [] {
        JobQueue queue = queue_of_mine();
        JobOptions options;
        options.deadline = steady_clock::now() - milliseconds(1);
        JobResult asked = queue.ask("late", options).value();
        if (queue.try_take().value()) {
            return 1;
        }
        const auto late = asked.get();
        return late.error().code == std::errc::stream_timeout &&
                       late.error().message.ends_with(" was not taken before its deadline")
                   ? 0
                   : 2;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobResultTest, WithoutASupervisorItWorksForOneProcess) {
    Herd herd;
    Member member = herd.spawn({.has_segment = false}, [] {
        JobQueue queue =
            Worker::attach().value().queue("mine", {.capacity = 1, .result_size = 3}).value();
        JobResult asked = queue.ask("abc").value();
        (void)queue.take().value()->ack("def");
        return asked.get().value() == "def" && queue.try_submit("x") ? 0 : 1;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkersJobResultTest, AForkedChildLeavesItsParentsQuestionAlone) {
    Herd herd(questions());
    Member member = herd.spawn({}, [] {
        JobQueue queue = queue_of_mine();
        std::optional<JobResult> asked = queue.ask("x").value();
        const pid_t child = ::fork();
        if (child == 0) {
            const bool is_refused = asked->get().error().code == std::errc::not_connected;
            asked.reset();
            ::_exit(is_refused ? 0 : 1);
        }
        int status = -1;
        if (::waitpid(child, &status, 0) != child || status != 0) {
            return 1;
        }
        (void)queue.take().value()->ack("y");
        return asked->get().value() == "y" ? 0 : 2;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

}  // namespace
}  // namespace topsman
