// topsman.h as its callers see it, in a process without a supervisor. That it is C is what the
// example proves; that it works in a cluster, tests/integration/test_c.py.

#include "topsman.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

int repaired(void* context) {
    ++*static_cast<int*>(context);
    return 1;
}

int never_repaired(void* /*context*/) {
    return 0;
}

topsman_worker* worker() {
    topsman_worker* attached = nullptr;
    EXPECT_EQ(topsman_attach(TOPSMAN_STOP_SIGNAL, &attached), 0) << topsman_last_error();
    return attached;
}

topsman_queue* queue(const char* name) {
    topsman_queue* opened = nullptr;
    EXPECT_EQ(topsman_queue_open(worker(), name, &opened), 0) << topsman_last_error();
    return opened;
}

int submit(topsman_queue* to, const std::string& item) {
    return topsman_queue_submit(to, item.data(), item.size(), nullptr, 0, nullptr);
}

/// Takes and acks; "" when there is none.
std::string take(topsman_queue* from) {
    topsman_job* job = nullptr;
    if (topsman_queue_take(from, 0, &job) != 1) {
        return "";
    }
    std::size_t size = 0;
    const auto* item = static_cast<const char*>(topsman_job_item(job, &size));
    std::string text(item, size);
    EXPECT_EQ(topsman_job_ack(job), 0);
    return text;
}

topsman_channel* channel(const char* name) {
    topsman_channel* opened = nullptr;
    EXPECT_EQ(topsman_channel_open(worker(), name, &opened), 0) << topsman_last_error();
    return opened;
}

int send(topsman_channel* through, const std::string& message, std::int32_t to = 0) {
    return topsman_channel_send(through, to, message.data(), message.size(), 0);
}

std::string text_of(const topsman_message* message) {
    std::size_t size = 0;
    const auto* data = static_cast<const char*>(topsman_message_data(message, &size));
    return {data, size};
}

/// Receives and acks; "" when there is none.
std::string receive(topsman_channel* from) {
    topsman_message* message = nullptr;
    if (topsman_channel_receive(from, 0, &message) != 1) {
        return "";
    }
    std::string text = text_of(message);
    EXPECT_EQ(topsman_message_ack(message), 0);
    return text;
}

bool is_readable(int fd, int ms) {
    pollfd wanted{fd, POLLIN, 0};
    return ::poll(&wanted, 1, ms) == 1;
}

/// The exit code of a child that runs `body`.
template <class Body>
int in_child(Body&& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::_exit(body());
    }
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(CInterfaceTest, TheLibraryIsAtLeastAsNewAsTheHeader) {
    EXPECT_GE(topsman_version(), TOPSMAN_API_VERSION);
    EXPECT_EQ(topsman_version_text()[0] - '0', TOPSMAN_API_MAJOR);
}

TEST(CInterfaceTest, ThereIsOneWorkerInAProcess) {
    EXPECT_EQ(worker(), worker());
    EXPECT_STREQ(topsman_name(worker()), "alone");
    EXPECT_EQ(topsman_is_supervised(worker()), 0);
    EXPECT_EQ(topsman_ready(worker()), 0);
    EXPECT_EQ(topsman_status(worker(), "well"), 0);
    EXPECT_EQ(topsman_watchdog_ns(worker()), 0);
    EXPECT_EQ(topsman_extend_timeout(worker(), 1), 0);
    EXPECT_EQ(topsman_extend_timeout(worker(), -1), -EINVAL);
    topsman_beat(worker());
    topsman_last_words(worker(), "none");
}

TEST(CInterfaceTest, AnErrorIsANumberAndASentenceOfTheThread) {
    EXPECT_EQ(topsman_listener(worker(), "http"), -ENOENT);
    const std::string sentence = topsman_last_error();
    EXPECT_NE(sentence.find("http"), std::string::npos) << sentence;
    std::thread([] { EXPECT_STREQ(topsman_last_error(), ""); }).join();
    EXPECT_EQ(topsman_last_error(), sentence);
    EXPECT_STREQ(topsman_strerror(-ENOBUFS), "No buffer space available");
    EXPECT_STREQ(topsman_strerror(-123'456), "unknown error");
}

TEST(CInterfaceTest, NullIsRefusedEverywhere) {
    topsman_counter* counter = nullptr;
    topsman_queue* jobs = queue("null");
    topsman_job* job = nullptr;
    EXPECT_EQ(topsman_attach(0, nullptr), -EINVAL);
    EXPECT_EQ(topsman_ready(nullptr), -EINVAL);
    EXPECT_EQ(topsman_counter_open(nullptr, "x", &counter), -EINVAL);
    EXPECT_EQ(topsman_counter_open(worker(), nullptr, &counter), -EINVAL);
    EXPECT_EQ(topsman_counter_open(worker(), "x", nullptr), -EINVAL);
    EXPECT_EQ(topsman_mutex_open(worker(), "x", nullptr, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(topsman_mutex_lock(nullptr, 0), -EINVAL);
    EXPECT_EQ(topsman_queue_submit(jobs, nullptr, 1, nullptr, 0, nullptr), -EINVAL);
    EXPECT_EQ(topsman_queue_take(nullptr, 0, &job), -EINVAL);
    EXPECT_EQ(topsman_job_ack(nullptr), -EINVAL);
    topsman_message* message = nullptr;
    EXPECT_EQ(topsman_channel_open(worker(), "x", nullptr), -EINVAL);
    EXPECT_EQ(topsman_channel_send(nullptr, 0, "x", 1, 0), -EINVAL);
    EXPECT_EQ(topsman_channel_send(channel("null"), 0, nullptr, 1, 0), -EINVAL);
    EXPECT_EQ(topsman_channel_receive(channel("null"), 0, nullptr), -EINVAL);
    EXPECT_EQ(topsman_channel_receive(nullptr, 0, &message), -EINVAL);
    EXPECT_EQ(topsman_channel_slots(nullptr), -EINVAL);
    EXPECT_EQ(topsman_channel_event_fd(nullptr), -EINVAL);
    EXPECT_EQ(topsman_channel_receive_all(channel("null"), 8, 0, nullptr), -EINVAL);
    EXPECT_EQ(topsman_messages_ack(nullptr), -EINVAL);
    EXPECT_EQ(topsman_messages_data(nullptr, 0, nullptr), nullptr);
    topsman_messages_put_back(nullptr);
    EXPECT_EQ(topsman_message_ack(nullptr), -EINVAL);
    EXPECT_EQ(topsman_message_data(nullptr, nullptr), nullptr);
    topsman_message_put_back(nullptr);
    EXPECT_EQ(topsman_job_nack(nullptr, 0), -EINVAL);
    EXPECT_STREQ(topsman_last_error(), "topsman_job_nack: an argument that must not be NULL is");
    topsman_counter_add(nullptr, 1);
    topsman_gauge_set(nullptr, 1);
    topsman_mutex_unlock(nullptr);
    topsman_begin_drain(nullptr);
    EXPECT_EQ(topsman_rate_allow(nullptr, 1), 0);
    EXPECT_EQ(topsman_job_item(nullptr, nullptr), nullptr);
}

TEST(CInterfaceTest, CountersCount) {
    topsman_counter* counter = nullptr;
    topsman_counter* again = nullptr;
    ASSERT_EQ(topsman_counter_open(worker(), "orders", &counter), 0);
    ASSERT_EQ(topsman_counter_open(worker(), "orders", &again), 0);
    EXPECT_EQ(counter, again);
    std::uint64_t before = 0;
    std::uint64_t after = 0;
    ASSERT_EQ(topsman_counter_total(worker(), "orders", &before), 0);
    topsman_counter_add(counter, 3);
    topsman_counter_add_from_threads(again, 4);
    ASSERT_EQ(topsman_counter_total(worker(), "orders", &after), 0);
    EXPECT_EQ(after - before, 7U);
    EXPECT_EQ(topsman_counter_total(worker(), "none", &after), -ENOENT);
    topsman_gauge* gauge = nullptr;
    EXPECT_EQ(topsman_gauge_open(worker(), "orders", &gauge), -EINVAL);
    EXPECT_NE(std::strstr(topsman_last_error(), "taken by a counter"), nullptr);
    EXPECT_EQ(topsman_counter_open(worker(), "no name", &counter), -EINVAL);
}

TEST(CInterfaceTest, AMutexIsHeldByOneThread) {
    topsman_mutex* mutex = nullptr;
    int repairs = 0;
    ASSERT_EQ(topsman_mutex_open(worker(), "stock", repaired, &repairs, &mutex), 0);
    topsman_mutex* same = nullptr;
    topsman_mutex* other = nullptr;
    ASSERT_EQ(topsman_mutex_open(worker(), "stock", repaired, &repairs, &same), 0);
    ASSERT_EQ(topsman_mutex_open(worker(), "stock", never_repaired, nullptr, &other), 0);
    EXPECT_EQ(mutex, same);
    EXPECT_NE(mutex, other);
    ASSERT_EQ(topsman_mutex_lock(mutex, TOPSMAN_FOREVER), 0);
    EXPECT_EQ(topsman_mutex_lock(mutex, TOPSMAN_FOREVER), -EDEADLK);
    std::thread([other] {
        EXPECT_EQ(topsman_mutex_lock(other, 0), -EBUSY);
        EXPECT_EQ(topsman_mutex_lock(other, 1'000'000), -ETIMEDOUT);
    }).join();
    topsman_mutex_unlock(mutex);
    EXPECT_EQ(topsman_mutex_lock(other, 0), 0);
    topsman_mutex_unlock(other);
    EXPECT_EQ(repairs, 0);
}

TEST(CInterfaceTest, ARepairThatFailsPoisonsTheMutex) {
    for (const bool can_be_repaired : {true, false}) {
        const char* name = can_be_repaired ? "mended" : "broken";
        topsman_mutex* mutex = nullptr;
        int repairs = 0;
        ASSERT_EQ(topsman_mutex_open(worker(), name, can_be_repaired ? repaired : never_repaired,
                                     &repairs, &mutex),
                  0);
        // A thread that ends with the lock in its hands, as a process that dies.
        std::thread([mutex] { EXPECT_EQ(topsman_mutex_lock(mutex, 0), 0); }).join();
        EXPECT_EQ(topsman_mutex_lock(mutex, 0), can_be_repaired ? 0 : -ENOTRECOVERABLE)
            << topsman_last_error();
        EXPECT_EQ(repairs, can_be_repaired ? 1 : 0);
        if (can_be_repaired) {
            topsman_mutex_unlock(mutex);
        }
    }
}

TEST(CInterfaceTest, ARateIsLimited) {
    topsman_rate_limiter* api = nullptr;
    ASSERT_EQ(topsman_rate_limiter_open(worker(), "api", 3'600'000'000'000, 2, &api), 0);
    EXPECT_EQ(topsman_rate_delay_ns(api, 1), 0);
    EXPECT_EQ(topsman_rate_allow(api, 2), 1);
    EXPECT_EQ(topsman_rate_allow(api, 1), 0);
    EXPECT_GT(topsman_rate_delay_ns(api, 1), 1'000'000'000);
    EXPECT_EQ(topsman_rate_delay_ns(api, 3), INT64_MAX);
    EXPECT_EQ(topsman_rate_limiter_open(worker(), "undeclared", 0, 0, &api), -EINVAL)
        << topsman_last_error();
    EXPECT_EQ(topsman_rate_limiter_open(worker(), "too-fast", 1, 1, &api), -EINVAL);
}

TEST(CInterfaceTest, JobsAreTakenAndEnded) {
    topsman_queue* jobs = queue("jobs");
    EXPECT_EQ(take(jobs), "");
    std::uint64_t id = 0;
    ASSERT_EQ(topsman_queue_submit(jobs, "a\0b", 3, nullptr, TOPSMAN_FOREVER, &id), 0);
    topsman_job* job = nullptr;
    ASSERT_EQ(topsman_queue_take(jobs, TOPSMAN_FOREVER, &job), 1);
    EXPECT_EQ(topsman_job_id(job), id);
    EXPECT_EQ(topsman_job_attempt(job), 1U);
    EXPECT_EQ(topsman_job_nack(job, 0), 0);
    ASSERT_EQ(topsman_queue_take(jobs, 1'000'000'000, &job), 1);
    EXPECT_EQ(topsman_job_attempt(job), 2U);
    EXPECT_EQ(topsman_job_ack(job), 0);
    EXPECT_EQ(topsman_queue_take(jobs, 1, &job), 0);
    EXPECT_EQ(job, nullptr);
    EXPECT_EQ(submit(jobs, ""), 0);
    EXPECT_EQ(take(jobs), "");
}

TEST(CInterfaceTest, OptionsOfAnOlderProgramAreUnderstood) {
    topsman_queue* jobs = queue("options");
    topsman_job_options options = TOPSMAN_JOB_OPTIONS_INIT;
    options.deadline_ns = 1;
    ASSERT_EQ(topsman_queue_submit(jobs, "late", 4, &options, 0, nullptr), 0);
    options.deadline_ns = INT64_MAX;
    ASSERT_EQ(topsman_queue_submit(jobs, "good", 4, &options, 0, nullptr), 0);
    EXPECT_EQ(take(jobs), "good");
    options.priority = 9;
    EXPECT_EQ(topsman_queue_submit(jobs, "x", 1, &options, 0, nullptr), -EINVAL);
    // One that was compiled before there were priorities.
    options.struct_size = offsetof(topsman_job_options, priority);
    EXPECT_EQ(topsman_queue_submit(jobs, "old", 3, &options, 0, nullptr), 0);
    EXPECT_EQ(take(jobs), "old");
    // And one that knows more than this library.
    options.priority = 0;
    options.struct_size = sizeof options + 64;
    EXPECT_EQ(topsman_queue_submit(jobs, "new", 3, &options, 0, nullptr), 0);
    EXPECT_EQ(take(jobs), "new");
}

TEST(CInterfaceTest, AKeyIsForAQueueThatKnowsKeys) {
    topsman_queue* jobs = queue("keys");
    topsman_job_options options = TOPSMAN_JOB_OPTIONS_INIT;
    options.key = "cat";
    options.key_size = 3;
    EXPECT_EQ(topsman_queue_submit(jobs, "x", 1, &options, 0, nullptr), -EOPNOTSUPP);
    EXPECT_NE(std::strstr(topsman_last_error(), "dedup: true"), nullptr) << topsman_last_error();
    options.key = nullptr;
    EXPECT_EQ(topsman_queue_submit(jobs, "x", 1, &options, 0, nullptr), -EINVAL);
    EXPECT_EQ(take(jobs), "");
    // One that was compiled before there were keys.
    options.struct_size = offsetof(topsman_job_options, key);
    EXPECT_EQ(topsman_queue_submit(jobs, "old", 3, &options, 0, nullptr), 0);
    EXPECT_EQ(take(jobs), "old");
}

TEST(CInterfaceTest, TheResultOfAJobCanBeWaitedFor) {
    topsman_queue* jobs = queue("questions");
    topsman_result* result = nullptr;
    topsman_job* job = nullptr;
    std::size_t size = 1;
    ASSERT_EQ(topsman_queue_ask(jobs, "cat", 3, nullptr, 0, &result), 0) << topsman_last_error();
    EXPECT_EQ(topsman_result_wait(result, 0), -ETIMEDOUT);
    EXPECT_EQ(topsman_result_data(result, &size), nullptr);
    EXPECT_EQ(size, 0U);
    ASSERT_EQ(topsman_queue_take(jobs, 0, &job), 1);
    EXPECT_EQ(topsman_job_id(job), topsman_result_id(result));
    EXPECT_EQ(topsman_job_ack_with(job, "meow", 4), 0);
    EXPECT_EQ(topsman_result_wait(result, TOPSMAN_FOREVER), 0);
    EXPECT_EQ(topsman_result_wait(result, 0), 0) << "it stays there";
    const void* data = topsman_result_data(result, &size);
    EXPECT_EQ(std::string(static_cast<const char*>(data), size), "meow");
    EXPECT_EQ(topsman_result_drop(result), 0);

    topsman_job_options options = TOPSMAN_JOB_OPTIONS_INIT;
    options.key = "cat";
    options.key_size = 3;
    EXPECT_EQ(topsman_queue_ask(jobs, "x", 1, &options, 0, &result), -EOPNOTSUPP);
    EXPECT_EQ(result, nullptr);
    options.key_size = 0;
    options.deadline_ns = 1;
    ASSERT_EQ(topsman_queue_ask(jobs, "late", 4, &options, 0, &result), 0);
    EXPECT_EQ(take(jobs), "");
    EXPECT_EQ(topsman_result_wait(result, TOPSMAN_FOREVER), -ETIME);
    EXPECT_EQ(topsman_result_drop(result), 0);
    EXPECT_EQ(topsman_queue_ask(jobs, "x", 1, nullptr, 0, nullptr), -EINVAL);
    EXPECT_EQ(topsman_result_wait(nullptr, 0), -EINVAL);
    EXPECT_EQ(topsman_result_drop(nullptr), -EINVAL);
    EXPECT_EQ(topsman_result_data(nullptr, nullptr), nullptr);
    EXPECT_EQ(topsman_job_ack_with(nullptr, "x", 1), -EINVAL);
}

TEST(CInterfaceTest, AQueueThatIsFullSaysSo) {
    topsman_queue* jobs = queue("full");
    EXPECT_EQ(submit(jobs, std::string(257, 'x')), -EMSGSIZE);
    for (int i = 0; i < 1'024; ++i) {
        ASSERT_EQ(submit(jobs, "job"), 0);
    }
    EXPECT_EQ(submit(jobs, "job"), -ENOBUFS);
    EXPECT_EQ(topsman_queue_submit(jobs, "job", 3, nullptr, 1, nullptr), -ETIMEDOUT);
}

TEST(CInterfaceTest, MessagesAreReceivedInTheirOrderUntilTheyAreAcknowledged) {
    topsman_channel* news = channel("news");
    EXPECT_EQ(topsman_channel_slots(news), 1);
    EXPECT_EQ(receive(news), "");
    EXPECT_EQ(send(news, std::string("a\0b", 3)), 1);
    EXPECT_EQ(topsman_channel_send(news, TOPSMAN_TO_ANY, "second", 6, TOPSMAN_FOREVER), 1);
    topsman_message* message = nullptr;
    ASSERT_EQ(topsman_channel_receive(news, TOPSMAN_FOREVER, &message), 1);
    EXPECT_EQ(text_of(message), std::string("a\0b", 3));
    topsman_message_put_back(message);
    ASSERT_EQ(topsman_channel_receive(news, 1'000'000'000, &message), 1);
    EXPECT_EQ(text_of(message), std::string("a\0b", 3)) << "it was put back";
    EXPECT_EQ(topsman_message_ack(message), 0);
    EXPECT_EQ(receive(news), "second");
    EXPECT_EQ(topsman_channel_receive(news, 1, &message), 0);
    EXPECT_EQ(message, nullptr);
}

TEST(CInterfaceTest, ARowOfMessagesIsAcknowledgedTogether) {
    topsman_channel* news = channel("rows");
    topsman_messages* row = nullptr;
    EXPECT_EQ(topsman_channel_receive_all(news, 8, 0, &row), 0);
    EXPECT_EQ(row, nullptr);
    EXPECT_EQ(topsman_channel_receive_all(news, 0, 0, &row), -EINVAL);
    EXPECT_NE(std::strstr(topsman_last_error(), "at least 1"), nullptr) << topsman_last_error();
    const std::vector<std::string> sent = {std::string("a\0b", 3), "", "third", "fourth"};
    for (const std::string& message : sent) {
        ASSERT_EQ(send(news, message), 1);
    }
    const auto expect_row = [&](std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            std::size_t size = 99;
            const auto* data = static_cast<const char*>(topsman_messages_data(row, i, &size));
            EXPECT_EQ(std::string(data, size), sent[i]);
        }
        std::size_t size = 99;
        EXPECT_EQ(topsman_messages_data(row, count, &size), nullptr);
        EXPECT_EQ(size, 0U);
    };
    ASSERT_EQ(topsman_channel_receive_all(news, SIZE_MAX, TOPSMAN_FOREVER, &row), 4);
    expect_row(4);
    topsman_messages_put_back(row);
    ASSERT_EQ(topsman_channel_receive_all(news, 3, 1'000'000'000, &row), 3);
    expect_row(3);
    EXPECT_EQ(topsman_messages_ack(row), 0);
    EXPECT_EQ(receive(news), "fourth");
    EXPECT_EQ(topsman_channel_receive_all(news, 8, 1, &row), 0);
}

TEST(CInterfaceTest, WhoCannotBeReachedIsSaid) {
    topsman_channel* news = channel("unreachable");
    EXPECT_EQ(send(news, "x", TOPSMAN_TO_ALL), 0) << "the sender is not among all";
    EXPECT_EQ(send(news, "x", 1), -ENXIO);
    EXPECT_NE(std::strstr(topsman_last_error(), "slot 1"), nullptr) << topsman_last_error();
    EXPECT_EQ(send(news, "x", -3), -EINVAL);
    EXPECT_NE(std::strstr(topsman_last_error(), "-3"), nullptr) << topsman_last_error();
    EXPECT_EQ(receive(news), "") << "nothing was sent by any of these";
}

TEST(CInterfaceTest, AnInboxThatIsFullSaysSo) {
    topsman_channel* news = channel("full");
    EXPECT_EQ(send(news, std::string(257, 'x')), -EMSGSIZE);
    for (int i = 0; i < 128; ++i) {
        ASSERT_EQ(send(news, "message"), 1);
    }
    EXPECT_EQ(send(news, "message"), -ENOBUFS);
    EXPECT_EQ(topsman_channel_send(news, 0, "message", 7, 1), -ETIMEDOUT);
}

TEST(CInterfaceTest, ADescriptorSaysWhenThereIsAMessage) {
    topsman_channel* news = channel("poll");
    const int fd = topsman_channel_event_fd(news);
    ASSERT_GE(fd, 0) << topsman_last_error();
    EXPECT_EQ(topsman_channel_event_fd(news), fd);
    EXPECT_FALSE(is_readable(fd, 0));
    ASSERT_EQ(send(news, "come"), 1);
    EXPECT_TRUE(is_readable(fd, 30'000));
    EXPECT_EQ(receive(news), "come");
    EXPECT_EQ(receive(news), "");
    EXPECT_FALSE(is_readable(fd, 0)) << "until there is one again";
}

/// 0: when it drains nobody waits, neither for a job nor a message nor for room.
int drain() {
    if (topsman_draining(worker()) != 0) {
        return 1;
    }
    topsman_begin_drain(worker());
    topsman_job* job = nullptr;
    topsman_queue* jobs = queue("drained");
    if (topsman_draining(worker()) != 1 || topsman_drain_fd(worker()) < 0 ||
        topsman_queue_take(jobs, TOPSMAN_FOREVER, &job) != 0) {
        return 2;
    }
    while (submit(jobs, "job") == 0) {
    }
    if (topsman_queue_submit(jobs, "job", 3, nullptr, TOPSMAN_FOREVER, nullptr) != -ECANCELED) {
        return 3;
    }
    topsman_channel* news = channel("drained");
    while (send(news, "message") == 1) {
    }
    topsman_message* message = nullptr;
    if (topsman_channel_receive(news, TOPSMAN_FOREVER, &message) != 0) {
        return 4;
    }
    const int full = topsman_channel_send(news, 0, "message", 7, TOPSMAN_FOREVER);
    return full == -ECANCELED ? 0 : 5;
}

// In a process of its own: draining has no end.
TEST(CInterfaceTest, OnceItDrainsNobodyWaits) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(::_exit(drain()), testing::ExitedWithCode(0), "");
}

TEST(CInterfaceTest, AForkedChildIsDetached) {
    topsman_counter* counter = nullptr;
    ASSERT_EQ(topsman_counter_open(worker(), "forked", &counter), 0);
    topsman_queue* jobs = queue("forked");
    topsman_channel* news = channel("forked");
    ASSERT_EQ(send(news, "mine"), 1);
    topsman_message* message = nullptr;
    ASSERT_EQ(topsman_channel_receive(news, 0, &message), 1);
    EXPECT_EQ(in_child([&] {
                  topsman_message* another = nullptr;
                  return send(news, "his") == -ENOTCONN &&
                                 topsman_channel_receive(news, 0, &another) == -ENOTCONN &&
                                 topsman_message_ack(message) == -ENOTCONN
                             ? 0
                             : 1;
              }),
              0);
    EXPECT_EQ(topsman_message_ack(message), 0);
    EXPECT_EQ(in_child([&] {
                  topsman_counter_add(counter, 1);
                  topsman_queue* opened = nullptr;
                  const bool is_refused = submit(jobs, "job") == -ENOTCONN &&
                                          topsman_queue_open(worker(), "x", &opened) == -ENOTCONN;
                  return is_refused ? 0 : 1;
              }),
              0);
    std::uint64_t total = 1;
    EXPECT_EQ(topsman_counter_total(worker(), "forked", &total), 0);
    EXPECT_EQ(total, 0U);
}

}  // namespace
