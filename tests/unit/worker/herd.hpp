#pragma once

// A master for tests of the SDK: makes a segment, grants lanes, forks children that find themselves
// in the environment that a supervisor makes, reaps them, and sweeps what they left.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "shm/segment.hpp"
#include "shm/sweep.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace topsman::test {

/// How long anything in these tests may take before it has failed.
inline constexpr std::chrono::seconds kPatience{30};

struct Member {
    pid_t pid = -1;
    shm::LaneGrant grant;
    UniqueFd wake;    ///< our end of its wake descriptor
    UniqueFd notify;  ///< bound socket on which it says READY=1 and so on
};

struct MemberSetup {
    std::vector<std::pair<std::string, int>> listeners = {};
    bool has_segment = true;
    bool has_lane_pid = true;  ///< false: TOPSMAN_PID and LISTEN_PID name another process
    std::map<std::string, std::string> environment = {};  ///< added at last
    bool is_spare = false;                                ///< until release_spare()
};

class Herd {
  public:
    explicit Herd(std::vector<shm::NamedQueue> queues =
                      {{"jobs", {.capacity = 8, .item_size = 32, .max_attempts = 2}}},
                  const shm::BlockClasses& blocks = {{{4'096, 8}}},
                  std::vector<shm::NamedChannel> channels = {
                      {"news", "web", {4, 8, 32}},
                      {"ticks", "web", {1, 8, 32, shm::Delivery::AtMostOnce}},
                      {"own", "web", {1, 8, 32}}});
    Herd(const Herd&) = delete;
    Herd& operator=(const Herd&) = delete;
    ~Herd();

    /// Forks; the child runs `body` and exits with what it returns.
    Member spawn(const MemberSetup& setup, const std::function<int()>& body);

    /// Waits for its end, sweeps its lane, returns the status of waitpid(2).
    int reap(Member& member);

    /// The next datagram that the member sent.
    static std::string next_message(const Member& member);

    [[nodiscard]] shm::Segment& segment() { return segment_; }

    [[nodiscard]] std::uint64_t counter(const std::string& name) const;
    [[nodiscard]] std::int64_t gauge(const std::string& name) const;

    /// Puts a listener on the scoreboard, as the master does.
    void show_listener(std::uint32_t index, const std::string& name, int socket,
                       bool is_shared = true);

  private:
    void become_member(const Member& member, const MemberSetup& setup);

    std::string name_;
    std::string folder_;
    shm::Segment segment_;
    int next_ = 0;
};

/// A pipe between a test and its child: one says "now", the other waits for it.
class Signal {
  public:
    Signal();
    void give() const;
    void wait() const;  ///< at most kPatience, then the process fails

  private:
    UniqueFd read_;
    UniqueFd write_;
};

/// Listens at 127.0.0.1 and a port of the kernel's choice.
UniqueFd listen_somewhere(std::uint16_t& port);

}  // namespace topsman::test

/// In a child: says what did not hold, and ends the child with status 1.
#define CHILD_EXPECT(condition)                                                               \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            (void)std::fprintf(stderr, "%s:%d: in a child: not so: %s\n", __FILE__, __LINE__, \
                               #condition);                                                   \
            return 1;                                                                         \
        }                                                                                     \
    } while (false)
