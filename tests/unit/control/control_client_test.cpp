#include "supervisor/control/control_client.hpp"

#include "supervisor/control/control_socket.hpp"
#include "tests/unit/control/control_test_helper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <thread>

namespace topsman::control {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kLong{30'000};

/// A server that takes one connection, reads a little and answers what it is told.
class OneShot {
  public:
    OneShot(const std::string& path, std::string answer)
        : listener_(*listen_unix(path, 0600, "")), answer_(std::move(answer)) {
        (void)::fcntl(listener_.get(), F_SETFL, 0);
        thread_ = std::thread([this] {
            const UniqueFd client(::accept(listener_.get(), nullptr, nullptr));
            std::array<char, 65'536> request{};
            (void)::recv(client.get(), request.data(), request.size(), 0);
            (void)::send(client.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
        });
    }

    OneShot(const OneShot&) = delete;
    OneShot& operator=(const OneShot&) = delete;

    ~OneShot() { thread_.join(); }

  private:
    UniqueFd listener_;
    std::string answer_;
    std::thread thread_;
};

TEST(ControlClientTest, BringsTheRequestAndTheAnswer) {
    const TempDir dir;
    boost::asio::io_context io;
    const ControlServer::Options options{.path = dir.path() + "/s", .group = {}};
    const auto server =
        ControlServer::listen(io, options,
                              {.change =
                                   [](const Request& request, const Responder& responder) {
                                       responder({.result = "rolled_back",
                                                  .reason = "pool " + request.pool.value_or("?"),
                                                  .lines = {"one", "two"}});
                                   },
                               .status_json = {},
                               .events_json = {}});
    run_beside(io, [&] {
        const auto response =
            post(options.path, "/v1/scale", R"({"pool": "web", "workers": 2})", kLong);
        ASSERT_TRUE(response) << response.error().message;
        EXPECT_EQ(response->result, "rolled_back");
        EXPECT_EQ(response->reason, "pool web");
        EXPECT_EQ(response->lines, (std::vector<std::string>{"one", "two"}));
    });
}

TEST(ControlClientTest, NobodyThereIsAnErrorOfItsOwn) {
    const TempDir dir;
    const std::string path = dir.path() + "/s";
    EXPECT_EQ(post(path, "/v1/reload", "", kLong).error().code,
              std::errc::no_such_file_or_directory);
    (void)listen_unix(path, 0600, "");
    EXPECT_EQ(post(path, "/v1/reload", "", kLong).error().code, std::errc::connection_refused);
}

TEST(ControlClientTest, AHungMasterIsATimeOut) {
    const TempDir dir;
    const std::string path = dir.path() + "/s";
    const auto listener = listen_unix(path, 0600, "");
    EXPECT_EQ(post(path, "/v1/reload", "", 20ms).error().code, std::errc::timed_out);
}

TEST(ControlClientTest, AHungMasterWithAFullQueueIsATimeOutToo) {
    const TempDir dir;
    const std::string path = dir.path() + "/s";
    const auto listener = listen_unix(path, 0600, "");
    ASSERT_EQ(::listen(listener->get(), 0), 0);
    const RawClient only(path);
    EXPECT_EQ(post(path, "/v1/reload", "", 20ms).error().code, std::errc::timed_out);
}

TEST(ControlClientTest, SaysForHowLongItWaits) {
    const TempDir dir;
    const std::string path = dir.path() + "/s";
    const auto listener = listen_unix(path, 0600, "");
    std::vector<std::chrono::milliseconds> waited;
    EXPECT_FALSE(
        post(path, "/v1/reload", "", 350ms, [&](auto so_long) { waited.push_back(so_long); }));
    EXPECT_GE(waited.size(), 2U);
    EXPECT_TRUE(std::is_sorted(waited.begin(), waited.end()));
}

TEST(ControlClientTest, AMasterThatDiesBeforeItAnswersIsSaid) {
    const TempDir dir;
    const std::string path = dir.path() + "/s";
    const OneShot server(path, "");
    EXPECT_EQ(post(path, "/v1/stop", "{}", kLong).error().code, std::errc::connection_reset);
}

TEST(ControlClientTest, WhatIsNoAnswerIsSaid) {
    const std::string many(2'000'000, 'x');
    const std::string answers[] = {
        "no http at all\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: " + many,
    };
    for (const std::string& answer : answers) {
        const TempDir dir;
        const OneShot server(dir.path() + "/s", answer);
        const auto response = post(dir.path() + "/s", "/v1/stop", "{}", kLong);
        ASSERT_FALSE(response);
        EXPECT_EQ(response.error().code, std::errc::protocol_error) << response.error().message;
    }
}

TEST(ControlClientTest, AForbiddenSocketNamesItsOwnerAndMode) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root, who can become somebody else";
    }
    const TempDir dir;
    (void)::chmod(dir.path().c_str(), 0755);
    const std::string path = dir.path() + "/s";
    const auto listener = listen_unix(path, 0600, "");
    ASSERT_EQ(::seteuid(65'534), 0);
    const auto response = post(path, "/v1/reload", "", kLong);
    ASSERT_EQ(::seteuid(0), 0);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, std::errc::permission_denied);
    EXPECT_THAT(response.error().message, HasSubstr("root:root with mode 0600"));
}

}  // namespace
}  // namespace topsman::control
