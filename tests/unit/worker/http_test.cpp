// topsman-http as a worker sees itself started: by exec, with an inherited listener.

#include "shm/base/check.hpp"
#include "tests/unit/worker/herd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <csignal>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman {
namespace {

using test::Herd;
using test::Member;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// One connection to the server.
class Client {
  public:
    explicit Client(std::uint16_t port)
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        CHECK(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                        sizeof address) == 0);
    }

    void send(const std::string& text) const {
        (void)::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }

    /// One answer with its body; shorter when the server closed before.
    std::string receive() {
        while (!is_whole() && read_more()) {
        }
        const std::size_t size = std::min(read_.size(), whole_size());
        std::string answer = read_.substr(0, size);
        read_.erase(0, size);
        return answer;
    }

    std::string ask(const std::string& text) {
        send(text);
        return receive();
    }

    std::string get(const std::string& path) {
        return ask("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n");
    }

    /// The server has closed, and sent nothing before.
    bool is_closed() { return !read_more() && read_.empty(); }

  private:
    [[nodiscard]] std::size_t whole_size() const {
        const auto end = read_.find("\r\n\r\n");
        const auto field = read_.find("Content-Length: ");
        if (end == std::string::npos) {
            return std::string::npos;
        }
        return end + 4 + (field < end ? std::stoul(read_.substr(field + 16)) : 0);
    }

    [[nodiscard]] bool is_whole() const {
        return whole_size() != std::string::npos && read_.size() >= whole_size();
    }

    bool read_more() {
        pollfd wanted{socket_.get(), POLLIN, 0};
        const auto ms = std::chrono::milliseconds(test::kPatience).count();
        CHECK(::poll(&wanted, 1, static_cast<int>(ms)) == 1);
        char bytes[4096];
        const ssize_t size = ::recv(socket_.get(), bytes, sizeof bytes, 0);
        if (size <= 0) {
            return false;
        }
        read_.append(bytes, static_cast<std::size_t>(size));
        return true;
    }

    UniqueFd socket_;
    std::string read_;
};

class HttpTest : public ::testing::Test {
  protected:
    HttpTest() : listener_(test::listen_somewhere(port_)) {
        herd_.show_listener(0, "http", listener_.get());
    }

    ~HttpTest() override {
        for (Member& member : members_) {
            (void)::kill(member.pid, SIGKILL);
            (void)herd_.reap(member);
        }
    }

    void start(std::vector<std::string> options = {},
               std::map<std::string, std::string> environment = {}) {
        test::MemberSetup setup{{{"http", listener_.get()}}, true, true, std::move(environment)};
        members_.push_back(herd_.spawn(setup, [&] {
            std::vector<char*> arguments;
            options.insert(options.begin(), "topsman-http");
            for (std::string& option : options) {
                arguments.push_back(option.data());
            }
            arguments.push_back(nullptr);
            return ::execv(TOPSMAN_HTTP, arguments.data());
        }));
        EXPECT_EQ(Herd::next_message(members_.back()), "READY=1");
    }

    int stop() {
        EXPECT_EQ(::kill(members_.back().pid, SIGTERM), 0);
        const int status = herd_.reap(members_.back());
        members_.pop_back();
        return status;
    }

    Herd herd_;
    std::uint16_t port_ = 0;
    UniqueFd listener_;
    std::vector<Member> members_;
};

TEST_F(HttpTest, SaysWhoAnswers) {
    start();
    const std::string answer = Client(port_).get("/");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\n\r\nweb/0 pid " + std::to_string(members_[0].pid) + "\n"));
}

TEST_F(HttpTest, AnswersEveryPath) {
    start();
    Client client(port_);
    EXPECT_THAT(client.get("/healthz"), HasSubstr("\r\n\r\nok\n"));
    EXPECT_THAT(client.get("/fib?n=20"), HasSubstr("\r\n\r\n6765\n"));
    EXPECT_THAT(client.get("/fib?n=41"), StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(client.get("/fib"), StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(client.get("/sleep?ms=1"), HasSubstr("slept 1 ms"));
    EXPECT_THAT(client.get("/nothing"), StartsWith("HTTP/1.1 404 "));
    EXPECT_THAT(client.get("/orders"), HasSubstr("Allow: POST\r\n"));
    EXPECT_THAT(client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"),
                StartsWith("HTTP/1.1 405 "));
    EXPECT_THAT(client.get("/counters"), HasSubstr("\"http_requests\":8"));
}

TEST_F(HttpTest, AnswersHeadWithoutABody) {
    start();
    Client client(port_);
    client.send("HEAD /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    client.send("");
    const std::string answer = client.receive();
    EXPECT_THAT(answer, HasSubstr("Content-Length: 3\r\n"));
    EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpTest, AnswersWhatIsSentAheadInOrder) {
    start();
    Client client(port_);
    client.send(
        "GET /fib?n=10 HTTP/1.1\r\nHost: t\r\n\r\nGET /sleep?ms=20 HTTP/1.1\r\nHost: t\r\n\r\n"
        "GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_THAT(client.receive(), HasSubstr("\r\n\r\n55\n"));
    EXPECT_THAT(client.receive(), HasSubstr("slept 20 ms"));
    EXPECT_THAT(client.receive(), HasSubstr("\r\n\r\nok\n"));
}

TEST_F(HttpTest, CountsInTheSegment) {
    start();
    {
        Client client(port_);
        for (int i = 0; i < 5; ++i) {
            (void)client.get("/");
        }
        (void)client.get("/nothing");
        EXPECT_EQ(herd_.gauge("http_connections"), 1);
    }
    EXPECT_EQ(stop(), 0);
    EXPECT_EQ(herd_.counter("http_requests"), 6U);
    EXPECT_EQ(herd_.counter("http_errors"), 1U);
    EXPECT_GT(herd_.counter("http_bytes"), 6U * 80U);
    EXPECT_EQ(herd_.gauge("http_connections"), 0);
}

TEST_F(HttpTest, NeverSellsMoreThanThereIsWhateverIsKilled) {
    start({"--stock", "300"});
    int taken = 0;
    int answered = 0;
    while (answered < 400) {
        if (answered % 40 == 39) {
            EXPECT_EQ(::kill(members_.back().pid, SIGKILL), 0);
            (void)herd_.reap(members_.back());
            members_.pop_back();
            start({"--stock", "300"});
        }
        const std::string answer =
            Client(port_).ask("POST /orders HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
        ++answered;
        taken += answer.starts_with("HTTP/1.1 201 ") ? 1 : 0;
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 201 ") || answer.starts_with("HTTP/1.1 409 "))
            << answer;
    }
    EXPECT_EQ(taken, 300);
    EXPECT_EQ(herd_.counter("orders"), 300U);
}

TEST_F(HttpTest, RefusesWhatIsTooLargeOrMakesNoSense) {
    start();
    const std::string large(10'000, 'x');
    EXPECT_THAT(Client(port_).ask("GET / HTTP/1.1\r\nHost: t\r\nX: " + large + "\r\n\r\n"),
                StartsWith("HTTP/1.1 431 "));
    EXPECT_THAT(Client(port_).ask("POST /orders HTTP/1.1\r\nContent-Length: 70000\r\n\r\n"),
                StartsWith("HTTP/1.1 413 "));
    Client nonsense(port_);
    EXPECT_THAT(nonsense.ask("what is this\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
    EXPECT_TRUE(nonsense.is_closed());
}

TEST_F(HttpTest, TakesABodyAndLetsTheClientContinue) {
    start();
    Client client(port_);
    EXPECT_THAT(client.ask("POST /orders HTTP/1.1\r\nContent-Length: 60000\r\n"
                           "Expect: 100-continue\r\n\r\n"),
                StartsWith("HTTP/1.1 100 "));
    client.send(std::string(60'000, 'x'));
    EXPECT_THAT(client.receive(), StartsWith("HTTP/1.1 201 "));
    EXPECT_THAT(client.get("/healthz"), HasSubstr("ok"));
}

TEST_F(HttpTest, ClosesOnThoseWhoNeverFinishAsking) {
    start({"--header-timeout", "1ms"});
    Client half(port_);
    EXPECT_THAT(half.ask("GET / HTTP/1.1\r\n"), StartsWith("HTTP/1.1 408 "));
    EXPECT_TRUE(Client(port_).is_closed());
}

TEST_F(HttpTest, ClosesIdleConnections) {
    start({"--idle-timeout", "1ms"});
    Client client(port_);
    EXPECT_THAT(client.get("/healthz"), HasSubstr("ok"));
    EXPECT_TRUE(client.is_closed());
}

TEST_F(HttpTest, FinishesARequestThatItIsWorkingOn) {
    start();
    Client client(port_);
    client.send("GET /sleep?ms=300 HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_THAT(Client(port_).get("/healthz"), HasSubstr("ok"));  // It has read the one before.
    ASSERT_EQ(::kill(members_[0].pid, SIGTERM), 0);
    const std::string answer = client.receive();
    EXPECT_THAT(answer, HasSubstr("slept 300 ms"));
    EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
    EXPECT_EQ(herd_.reap(members_[0]), 0);
    members_.clear();
}

TEST_F(HttpTest, AnIdleConnectionMayStillAskOnceWhileItDrains) {
    start();
    Client client(port_);
    EXPECT_THAT(client.get("/"), ::testing::Not(HasSubstr("Connection: close")));
    ASSERT_EQ(::kill(members_[0].pid, SIGTERM), 0);
    EXPECT_EQ(Herd::next_message(members_[0]), "STOPPING=1");
    EXPECT_THAT(client.get("/"), HasSubstr("Connection: close\r\n"));
    EXPECT_TRUE(client.is_closed());
    EXPECT_EQ(herd_.reap(members_[0]), 0);
    members_.clear();
}

TEST_F(HttpTest, IdleConnectionsAreClosedWhenTheDrainTimeoutEnds) {
    start({"--drain-timeout", "1ms"});
    Client client(port_);
    EXPECT_THAT(client.get("/healthz"), HasSubstr("ok"));
    EXPECT_EQ(stop(), 0);
    EXPECT_TRUE(client.is_closed());
}

TEST_F(HttpTest, BeatsWhereThereIsAWatchdog) {
    start({}, {{"WATCHDOG_USEC", "30000"}});
    const auto& beat = herd_.segment().lanes()[members_[0].grant.lane].heartbeat_ns;
    const std::uint64_t first = beat.load();
    EXPECT_GT(first, 0U);
    EXPECT_THAT(Client(port_).get("/sleep?ms=60"), HasSubstr("slept"));
    EXPECT_GT(beat.load(), first);
}

int run(const std::vector<const char*>& arguments, std::string& output) {
    int ends[2];
    CHECK(::pipe(ends) == 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
        (void)::dup2(ends[1], 1);
        (void)::dup2(ends[1], 2);
        std::vector<char*> all;
        for (const char* argument : arguments) {
            all.push_back(const_cast<char*>(argument));
        }
        all.push_back(nullptr);
        (void)::execv(TOPSMAN_HTTP, all.data());
        ::_exit(127);
    }
    CHECK(::close(ends[1]) == 0);
    char bytes[4096];
    for (ssize_t size = 0; (size = ::read(ends[0], bytes, sizeof bytes)) > 0;) {
        output.append(bytes, static_cast<std::size_t>(size));
    }
    CHECK(::close(ends[0]) == 0);
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    return WEXITSTATUS(status);
}

TEST(HttpOptionsTest, HelpAndVersionAndMistakes) {
    for (const auto& [option, status, text] :
         std::vector<std::tuple<const char*, int, const char*>>{
             {"--help", 0, "--listen ADDRESS"},
             {"--version", 0, "topsman-http "},
             {"--lissen", 2, "--lissen"},
             {"--idle-timeout=ten", 2, "not like 250ms, 30s or 5m"},
             {"--listen=127.0.0.1", 1, "127.0.0.1: expected host:port"},
             {"--reuse-port", 1, "nothing to listen at"}}) {
        std::string output;
        EXPECT_EQ(run({"topsman-http", option}, output), status) << output;
        EXPECT_THAT(output, HasSubstr(text));
    }
}

}  // namespace
}  // namespace topsman
