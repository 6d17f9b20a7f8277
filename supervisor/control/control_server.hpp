#pragma once

// The control socket: HTTP/1.1 with JSON over a unix socket. Requests become events of the master's
// loop like all else; this only speaks the protocol: bounded requests, bounded clients, time-outs,
// the peer's uid by SO_PEERCRED. Looking (status, events) is answered from the segment.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace topsman::control {

/// A request that changes something, parsed and checked for form.
struct Request {
    enum class Verb : std::uint8_t {
        Reload,
        Rollback,
        Restart,
        Drain,
        Scale,
        Stop,
        ResetFailed,
        Queue,
        Plan,
        Counter,
        Submit,
        Send,
        Upgrade
    };
    Verb verb;
    std::optional<std::string> pool;
    std::optional<std::uint32_t> slot;      ///< Restart, Drain; Send: for whom
    std::uint32_t workers = 0;              ///< Scale
    std::string mode = "graceful";          ///< Stop: graceful | fast | now; Queue: retry | drop
    std::optional<std::string> queue = {};  ///< Queue, Submit
    std::optional<std::uint64_t> job = {};  ///< Queue: a dead letter; none: all of them
    std::optional<std::string> name = {};   ///< Counter: of a counter or a gauge
    std::optional<std::int64_t> add = {};   ///< Counter: one of these two
    std::optional<std::int64_t> set = {};
    std::optional<std::string> channel = {};                 ///< Send
    bool to_all = false;                                     ///< Send: else to one
    std::string item = {};                                   ///< Submit, Send: byte for byte
    std::optional<std::string> key = {};                     ///< Submit: once
    bool wants_result = false;                               ///< Submit: answered when there is one
    std::uint32_t priority = 0;                              ///< Submit
    std::optional<std::chrono::milliseconds> deadline = {};  ///< Submit: from now on
    bool wait = true;  ///< false: answered as soon as it was taken on
    std::uint32_t peer_uid = 0;
    std::uint32_t peer_pid = 0;
    std::weak_ptr<const void> client = {};  ///< expired: nobody waits for an answer any more
    /// Upgrade: a duplicate of the client's connection, for who goes on in the master's place.
    std::shared_ptr<const UniqueFd> connection = {};
};

struct Response {
    std::string result;  ///< done | failed | rolled_back | timed_out; of a plan also: changes
    std::string reason;
    std::vector<std::string> lines;
    std::string details{};            ///< a JSON object, the member `details_key`; empty: none
    std::string details_key{"plan"};  ///< plan | counter | job | sent
};

/// Answers a request, at once or later, exactly once; harmless when the client has gone. When the
/// last copy goes away without a call the client is told that its request was dropped.
using Responder = std::function<void(const Response&)>;

/// To a client whose connection was inherited while it waited. Never blocks; closes it.
void answer_inherited(UniqueFd connection, const Response& response);

class ControlServer {
  public:
    struct Options {
        std::string path;
        std::uint32_t mode = 0600;
        std::string group;                                ///< name or number; "": the master's own
        std::size_t max_clients = 32;                     ///< more are answered 503
        std::chrono::milliseconds read_timeout{10'000};   ///< for a whole request; also idle
        std::chrono::milliseconds write_timeout{10'000};  ///< for a whole answer
    };

    struct Handlers {
        std::function<void(Request, Responder)> change;
        std::function<std::string()> status_json;                     ///< GET /v1/status
        std::function<std::string(std::uint64_t since)> events_json;  ///< GET /v1/events?since=N
    };

    /// Binds and listens. A socket that a dead master left is replaced (the caller holds the lock).
    /// The errors name the path and what to do.
    [[nodiscard]] static Result<std::unique_ptr<ControlServer>> listen(boost::asio::io_context& io,
                                                                       const Options& options,
                                                                       Handlers handlers);
    /// Goes on with a socket that was inherited, and with clients that have asked nothing yet.
    [[nodiscard]] static Result<std::unique_ptr<ControlServer>> resume(
        boost::asio::io_context& io, const Options& options, Handlers handlers, UniqueFd listening,
        std::vector<UniqueFd> clients);
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;
    ~ControlServer();  ///< closes all, unlinks the path

    /// Takes no new clients; answers under way are still written. Done when `closed` runs.
    void shut_down(std::function<void()> closed);

    /// The descriptors that resume() takes: the socket's, and those of clients that wait for
    /// nothing.
    [[nodiscard]] int listening() const;
    [[nodiscard]] std::vector<int> idle_clients() const;
    /// Some request is half read, or some answer half written.
    [[nodiscard]] bool is_amid_words() const;

    struct Impl;  ///< the .cpp's own

  private:
    explicit ControlServer(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace topsman::control
