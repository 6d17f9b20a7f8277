#include "supervisor/control/control_server.hpp"

#include "tests/unit/control/control_test_helper.hpp"

#include <boost/asio/post.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <future>
#include <sys/stat.h>
#include <sys/un.h>

namespace topsman::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace std::chrono_literals;

constexpr std::string_view kStatus = "GET /v1/status HTTP/1.1\r\nHost: topsman\r\n\r\n";
constexpr std::string_view kLastStatus =
    "GET /v1/status HTTP/1.1\r\nHost: topsman\r\nConnection: close\r\n\r\n";

std::string post_text(const std::string& path, const std::string& body) {
    return "POST " + path + " HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

class ControlServerTest : public ::testing::Test {
  protected:
    void listen() {
        auto made = ControlServer::listen(
            io_, options_,
            {.change =
                 [this](Request request, Responder responder) {
                     requests_.push_back(std::move(request));
                     if (answers_at_once_) {
                         responder(answer_);
                     } else {
                         responders_.push_back(std::move(responder));
                     }
                 },
             .status_json = [] { return std::string(R"({"cluster":"shop"})"); },
             .events_json = [](std::uint64_t since) { return "[" + std::to_string(since) + "]"; }});
        ASSERT_TRUE(made) << made.error().message;
        server_ = std::move(*made);
    }

    std::string ask(std::string_view text) {
        std::string answer;
        run_beside(io_, [&] {
            RawClient client(options_.path);
            client.send(text);
            answer = client.read_all();
        });
        return answer;
    }

    /// On the loop's thread: only there the server and what it gave us may be touched.
    void on_loop(std::function<void()> call) { boost::asio::post(io_, std::move(call)); }

    template <class F>
    auto on_loop_value(F call) {
        std::promise<decltype(call())> value;
        on_loop([&] { value.set_value(call()); });
        return value.get_future().get();
    }

    /// Waits, in the client's thread, until so many changes have come in.
    void wait_for_requests(std::size_t count) {
        while (on_loop_value([this] { return requests_.size(); }) < count) {
        }
    }

    TempDir dir_;
    boost::asio::io_context io_;
    ControlServer::Options options_{.path = dir_.path() + "/s", .group = {}};
    std::unique_ptr<ControlServer> server_;
    bool answers_at_once_ = true;
    Response answer_{.result = "done", .reason = {}, .lines = {"web: 4 -> 8"}};
    std::vector<Request> requests_;
    std::vector<Responder> responders_;
};

TEST_F(ControlServerTest, StatusAndEventsAreAnswered) {
    listen();
    EXPECT_THAT(ask(kLastStatus),
                AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("application/json"),
                      HasSubstr("\r\n\r\n{\"cluster\":\"shop\"}\n")));
    EXPECT_THAT(ask("GET /v1/events?since=17 HTTP/1.0\r\n\r\n"), HasSubstr("[17]"));
    EXPECT_THAT(ask("GET /v1/events?since=x HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST_F(ControlServerTest, AChangeIsPassedOnWithWhoAsked) {
    listen();
    EXPECT_THAT(ask(post_text("/v1/scale", R"({"pool": "web", "workers": 8})")),
                AllOf(StartsWith("HTTP/1.1 200"),
                      HasSubstr(R"({"result":"done","reason":"","lines":["web: 4 -> 8"]})")));
    ASSERT_EQ(requests_.size(), 1U);
    EXPECT_EQ(requests_[0].verb, Request::Verb::Scale);
    EXPECT_EQ(requests_[0].workers, 8U);
    EXPECT_EQ(requests_[0].peer_uid, ::geteuid());
    EXPECT_EQ(requests_[0].peer_pid, static_cast<std::uint32_t>(::getpid()));
}

TEST_F(ControlServerTest, AResultIsAStatusToo) {
    listen();
    answer_.result = "failed";
    EXPECT_THAT(ask(post_text("/v1/reload", "")), StartsWith("HTTP/1.1 409"));
    answer_.result = "timed_out";
    EXPECT_THAT(ask(post_text("/v1/reload", "")), StartsWith("HTTP/1.1 504"));
    answer_.result = "changes";
    EXPECT_THAT(ask(post_text("/v1/plan", "")), StartsWith("HTTP/1.1 200"));
}

TEST_F(ControlServerTest, OneConnectionTakesManyRequests) {
    listen();
    run_beside(io_, [&] {
        RawClient client(options_.path);
        for (int i = 0; i < 3; ++i) {
            client.send(kStatus);
            EXPECT_THAT(client.read_until("shop\"}\n"), StartsWith("HTTP/1.1 200"));
        }
        client.send(std::string(kStatus) + std::string(kLastStatus));
        const std::string both = client.read_all();
        EXPECT_NE(both.find("shop"), both.rfind("shop")) << "pipelined: " << both;
    });
}

TEST_F(ControlServerTest, WhatIsWrongIsAnsweredWithASentence) {
    options_.read_timeout = 5s;
    listen();

    struct Case {
        std::string text;
        const char* status;
        const char* says;
    };

    const std::string long_header(9'000, 'x');
    const Case cases[] = {
        {"GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n", "404",
         "GET /v1/status /v1/events and POST /v1/reload /v1/rollback"},
        {"GET /v1/reload HTTP/1.1\r\nConnection: close\r\n\r\n", "405", "POST"},
        {"POST /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n", "405", "GET"},
        {"DELETE /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n", "405", "GET"},
        {post_text("/v1/scale", "{"), "400", "JSON"},
        {post_text("/v1/scale", R"({"pool": 3, "workers": 1})"), "400", "pool"},
        {"hello\r\n\r\n", "400", "HTTP"},
        {"GET /v1/status HTTP/9.9\r\n\r\n", "400", "HTTP"},
        {std::string("\0\1\2\3\r\n\r\n", 8), "400", "HTTP"},
        {"GET /v1/status HTTP/1.1\r\nX: " + long_header + "\r\n\r\n", "431", "8 KiB"},
        {"POST /v1/reload HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "413", "64 KiB"},
        {post_text("/v1/reload", std::string(70'000, ' ')), "413", "64 KiB"},
        {"POST /v1/reload HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400", "HTTP"},
    };
    for (const Case& c : cases) {
        EXPECT_THAT(ask(c.text), AllOf(StartsWith(std::string("HTTP/1.1 ") + c.status),
                                       HasSubstr("\"reason\":\""), HasSubstr(c.says)))
            << c.text.substr(0, 60);
    }
    EXPECT_TRUE(requests_.empty());
    EXPECT_THAT(ask(kLastStatus), StartsWith("HTTP/1.1 200")) << "it still serves";
}

TEST_F(ControlServerTest, A405SaysWhatIsAllowed) {
    listen();
    EXPECT_THAT(ask("GET /v1/stop HTTP/1.0\r\n\r\n"), HasSubstr("Allow: POST\r\n"));
}

TEST_F(ControlServerTest, ASlowClientIsSentAway) {
    options_.read_timeout = 20ms;
    listen();
    run_beside(io_, [&] {
        RawClient half(options_.path);
        half.send("GET /v1/sta");
        RawClient silent(options_.path);
        EXPECT_EQ(half.read_all(), "");
        EXPECT_EQ(silent.read_all(), "");
    });
}

TEST_F(ControlServerTest, TooManyClientsAreToldSo) {
    options_.max_clients = 2;
    listen();
    run_beside(io_, [&] {
        RawClient first(options_.path);
        RawClient second(options_.path);
        RawClient third(options_.path);
        third.send(kStatus);
        EXPECT_THAT(third.read_all(), AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("too many")));
        first.send(kLastStatus);
        EXPECT_THAT(first.read_all(), StartsWith("HTTP/1.1 200"));
        RawClient fourth(options_.path);
        fourth.send(kLastStatus);
        EXPECT_THAT(fourth.read_all(), StartsWith("HTTP/1.1 200")) << "there is room again";
    });
}

TEST_F(ControlServerTest, FarTooManyClientsWaitInTheKernelsQueue) {
    options_.max_clients = 1;
    listen();
    run_beside(io_, [&] {
        std::vector<std::unique_ptr<RawClient>> idle;
        idle.reserve(9);
        for (int i = 0; i < 9; ++i) {
            idle.push_back(std::make_unique<RawClient>(options_.path));
        }
        RawClient late(options_.path);
        late.send(kLastStatus);
        idle[3]->close();
        EXPECT_THAT(late.read_all(), StartsWith("HTTP/1.1 503"));
    });
}

TEST_F(ControlServerTest, AnAnswerMayComeLate) {
    answers_at_once_ = false;
    options_.read_timeout = 20ms;
    listen();
    std::string answer;
    run_beside(io_, [&] {
        RawClient client(options_.path);
        client.send(post_text("/v1/reload", ""));
        client.shut_down_sending();
        wait_for_requests(1);
        // A second client is sent away by its time-out: the first has outlived it.
        RawClient idle(options_.path);
        EXPECT_EQ(idle.read_all(), "");
        on_loop([this] {
            ASSERT_EQ(responders_.size(), 1U);
            responders_[0](answer_);
            responders_[0]({.result = "failed", .reason = "twice", .lines = {}});
        });
        answer = client.read_all();
    });
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("twice"))));
}

TEST_F(ControlServerTest, AnAnswerToAnOldRequestIsNotTakenForTheNext) {
    answers_at_once_ = false;
    listen();
    run_beside(io_, [&] {
        RawClient client(options_.path);
        client.send("POST /v1/reload HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
        wait_for_requests(1);
        on_loop([this] { responders_[0]({.result = "done", .reason = "one", .lines = {}}); });
        EXPECT_THAT(client.read_until("one"), HasSubstr("one"));
        client.send(post_text("/v1/reload", ""));
        wait_for_requests(2);
        on_loop([this] {
            responders_[0]({.result = "done", .reason = "one again", .lines = {}});
            responders_[1]({.result = "done", .reason = "two", .lines = {}});
        });
        EXPECT_THAT(client.read_all(), AllOf(HasSubstr("two"), Not(HasSubstr("again"))));
    });
}

TEST_F(ControlServerTest, AClientThatLeavesMakesRoom) {
    answers_at_once_ = false;
    options_.max_clients = 1;
    listen();
    run_beside(io_, [&] {
        RawClient first(options_.path);
        first.send(post_text("/v1/reload", ""));
        wait_for_requests(1);
        first.close();
        std::string answer;
        do {
            RawClient second(options_.path);
            second.send(kLastStatus);
            answer = second.read_all();
        } while (answer.find(" 503 ") != std::string::npos);
        EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
        on_loop([this] { responders_[0](answer_); });
    });
}

TEST_F(ControlServerTest, ARequestThatIsDroppedIsAnsweredAllTheSame) {
    answers_at_once_ = false;
    listen();
    run_beside(io_, [&] {
        RawClient client(options_.path);
        client.send(post_text("/v1/reload", ""));
        wait_for_requests(1);
        on_loop([this] { responders_.clear(); });
        EXPECT_THAT(client.read_all(), AllOf(StartsWith("HTTP/1.1 409"), HasSubstr("dropped")));
    });
}

TEST_F(ControlServerTest, ShuttingDownWaitsForTheAnswersUnderWay) {
    answers_at_once_ = false;
    listen();
    bool is_closed = false;
    run_beside(io_, [&] {
        RawClient idle(options_.path);
        RawClient waiting(options_.path);
        waiting.send("POST /v1/stop HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
        wait_for_requests(1);
        on_loop([&] { server_->shut_down([&] { is_closed = true; }); });
        EXPECT_EQ(idle.read_all(), "");
        on_loop([&] {
            EXPECT_FALSE(is_closed);
            responders_[0](answer_);
        });
        EXPECT_THAT(waiting.read_all(), AllOf(HasSubstr("done"), HasSubstr("Connection: close")));
        while (!on_loop_value([&] { return is_closed; })) {
        }
    });
    EXPECT_TRUE(is_closed);
}

TEST_F(ControlServerTest, ShuttingDownWithoutClientsIsDoneAtOnce) {
    listen();
    bool is_closed = false;
    server_->shut_down([&] { is_closed = true; });
    EXPECT_FALSE(is_closed) << "never from within the call";
    io_.run_for(30s);
    EXPECT_TRUE(is_closed);
}

TEST_F(ControlServerTest, ItsEndRemovesItsOwnSocketOnly) {
    listen();

    struct stat file {};

    EXPECT_EQ(::lstat(options_.path.c_str(), &file), 0);
    auto first = std::move(server_);
    listen();
    first.reset();
    EXPECT_EQ(::lstat(options_.path.c_str(), &file), 0) << "the successor's is still there";
    server_.reset();
    EXPECT_NE(::lstat(options_.path.c_str(), &file), 0);
}

TEST_F(ControlServerTest, NothingOfItIsInheritedByAWorker) {
    answers_at_once_ = false;
    listen();
    run_beside(io_, [&] {
        RawClient client(options_.path);
        client.send(post_text("/v1/reload", ""));
        wait_for_requests(1);
        int checked = 0;
        on_loop_value([&] {
            for (int fd = 3; fd < 100; ++fd) {
                sockaddr_un address{};
                socklen_t size = sizeof address;
                if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
                    address.sun_family == AF_UNIX && options_.path == address.sun_path) {
                    ++checked;
                    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
                }
            }
            return true;
        });
        EXPECT_GE(checked, 2) << "the listener and the connection";
    });
}

}  // namespace
}  // namespace topsman::control
