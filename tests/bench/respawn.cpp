// From a worker's SIGKILL to its replacement, beside what the kernel alone takes for the same.
//
//   bench_respawn CLUSTER WORKERS KILLS STAMPS PROGRAM [ARG...]
//
// Kills the workers of a running cluster one after another, each when it has been ready for more
// than a second, because an earlier death is paced. After each kill, while the master has nothing
// to do, the same program is started and killed without a supervisor: both numbers are of one
// minute and one machine. STAMPS is the abstract name that the program sends its first act to, or
// "-". Prints one JSON object of arrays, in nanoseconds.

#include "tests/bench/bare_process.hpp"
#include "tests/bench/board.hpp"
#include "tests/bench/fork_watch.hpp"
#include "tests/bench/stamp.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace topsman::bench;
namespace json = boost::json;

constexpr std::int64_t kHealthyNs = 1'100'000'000;
constexpr std::int64_t kPatienceNs = 30'000'000'000;

struct Seat {
    std::int64_t slot;
    std::int64_t pid;
    std::int64_t ready_ns;
};

class Measurement {
  public:
    Measurement(const topsman::shm::Segment& segment, const std::string& stamps,
                std::vector<std::string> command)
        : events_(segment),
          forks_(segment.master_pid()),
          command_(std::move(command)),
          listener_(listen_on_loopback()) {
        if (stamps != "-") {
            stamps_.emplace(stamps);
        }
        for (const auto& worker : serving_workers(segment)) {
            seats_.push_back({worker.slot, worker.pid, worker.ready_monotonic_ns});
        }
        std::sort(seats_.begin(), seats_.end(),
                  [](const Seat& a, const Seat& b) { return a.slot < b.slot; });
    }

    void run(std::size_t kills) {
        for (std::size_t i = 0; i < kills; ++i) {
            start_and_kill_bare();
            replace(seats_[i % seats_.size()]);
        }
    }

    [[nodiscard]] const json::object& results() const { return results_; }

  private:
    void record(const char* what, std::int64_t ns) {
        results_.emplace(what, json::array()).first->value().as_array().emplace_back(ns);
    }

    /// When the process did its first act.
    std::optional<std::int64_t> first_act(std::int64_t pid) {
        while (stamps_) {
            wait_readable(stamps_->fd());
            const std::string bytes = stamps_->take();
            Stamp stamp{};
            if (bytes.size() != sizeof(stamp)) {
                die("a stamp of another size");
            }
            std::memcpy(&stamp, bytes.data(), sizeof(stamp));
            if (stamp.pid == pid) {
                return stamp.at_ns;
            }
        }
        return std::nullopt;
    }

    void start_and_kill_bare() {
        const DatagramSocket notify;
        BareProcess process(BareProcess::Options{command_, listener_.get(), notify.name(), true});
        wait_readable(notify.fd());
        record("bare_ready", now_ns() - process.forked_at_ns());
        record("bare_exec", process.exec_ns());
        if (const auto at = first_act(process.pid())) {
            record("bare_first_act", *at - process.forked_at_ns());
        }
        record("bare_death", process.kill_ns());
    }

    /// The next event of that name in the seat; when it was seen goes to `at`.
    WorkerEvent wait_for(const char* name, const Seat& seat, std::int64_t& at) {
        const std::int64_t deadline = now_ns() + kPatienceNs;
        while (const auto event = events_.next(deadline)) {
            at = now_ns();
            if (event->slot == seat.slot && event->name == name) {
                return *event;
            }
        }
        die(std::string("no ") + name + " within 30 s");
    }

    void wait_until_healthy(const Seat& seat) {
        while (now_ns() < seat.ready_ns + kHealthyNs) {
            (void)events_.next(seat.ready_ns + kHealthyNs);
        }
    }

    void replace(Seat& seat) {
        wait_until_healthy(seat);
        const topsman::UniqueFd pidfd(
            static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(seat.pid), 0)));
        const std::int64_t begin = now_ns();
        if (::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) != 0) {
            die("worker " + std::to_string(seat.pid) + " is not there");
        }
        std::int64_t at = 0;
        seat.pid = wait_for("worker.spawned", seat, at).pid;
        record("spawned", at - begin);
        // Where the kernel does not show its record: the event, which is later.
        record("pid", forks_.forked_at(seat.pid).value_or(at) - begin);
        if (const auto act = first_act(seat.pid)) {
            record("first_act", *act - begin);
        }
        (void)wait_for("worker.ready", seat, seat.ready_ns);
        record("ready", seat.ready_ns - begin);
    }

    EventFollower events_;
    ForkWatch forks_;
    std::vector<std::string> command_;
    topsman::UniqueFd listener_;
    std::optional<DatagramSocket> stamps_;
    std::vector<Seat> seats_;
    json::object results_;
};

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 5) {
        die("usage: bench_respawn CLUSTER WORKERS KILLS STAMPS PROGRAM [ARG...]");
    }
    const auto segment = wait_for_workers(words[0], std::stoul(words[1]));
    Measurement measurement(segment, words[3], {words.begin() + 4, words.end()});
    measurement.run(std::stoul(words[2]));
    std::puts(json::serialize(measurement.results()).c_str());
    return 0;
}
