#include "supervisor/take_over.hpp"

#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/child.hpp"
#include "supervisor/posix/process_info.hpp"

#include <algorithm>
#include <csignal>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

using SteadyClock = std::chrono::steady_clock;

struct Leaving {
    std::string name;
    UniqueFd pidfd;
    int stop_signal;
    std::chrono::nanoseconds patience;  ///< after the stop signal, until SIGKILL
    SteadyClock::time_point deadline = SteadyClock::time_point::max();
    bool killed = false;
};

/// A pool's name and its slot, from the scoreboard of the dead master; untrusted.
std::pair<std::string, std::uint32_t> seat_of(const shm::Segment& segment, std::uint32_t lane) {
    shm::WorkerRecord worker{};
    shm::PoolRecord pool{};
    if (segment.scoreboard().workers[lane].load(worker) && worker.pool < shm::kMaxPools &&
        segment.scoreboard().pools[worker.pool].load(pool)) {
        pool.name[shm::kNameBytes - 1] = '\0';
        return {pool.name, worker.slot};
    }
    return {"", 0};
}

/// The whole session group where the kernel can do that through a pidfd (Linux 6.9), else the
/// process alone. Not our child: its group's number may only be used through the pidfd.
void send(int pidfd, int number) {
    constexpr unsigned kProcessGroup = 1U << 2U;  // PIDFD_SIGNAL_PROCESS_GROUP
    if (::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr,
                  number == SIGKILL ? kProcessGroup : 0U) != 0) {
        (void)::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0U);
    }
    (void)::syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, nullptr, 0U);
}

/// Waits for the first of them to end or to run out of time; forgets those that have ended.
Result<void> wait_for_some(std::vector<Leaving>& leaving, const Say& say) {
    std::vector<pollfd> polled;
    SteadyClock::time_point earliest = SteadyClock::time_point::max();
    for (const Leaving& worker : leaving) {
        polled.push_back({worker.pidfd.get(), POLLIN, 0});
        earliest = std::min(earliest, worker.deadline);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(earliest - SteadyClock::now());
    if (::poll(polled.data(), polled.size(),
               static_cast<int>(std::max<std::int64_t>(0, left.count()))) < 0 &&
        errno != EINTR) {
        return system_error("take-over: poll");
    }
    for (std::size_t i = polled.size(); i-- > 0;) {
        Leaving& worker = leaving[i];
        if ((polled[i].revents & POLLIN) != 0) {
            say(worker.name + ": gone");
            leaving.erase(leaving.begin() + static_cast<std::ptrdiff_t>(i));
        } else if (SteadyClock::now() >= worker.deadline) {
            if (worker.killed) {
                return plain_error("take-over: " + worker.name +
                                   " does not end, not even by SIGKILL");
            }
            say(worker.name + ": did not stop in time, killing it");
            send(worker.pidfd.get(), SIGKILL);
            worker.killed = true;
            worker.deadline = SteadyClock::now() + std::chrono::seconds(10);
        }
    }
    return {};
}

bool has_ended(const UniqueFd& pidfd) {
    pollfd polled{pidfd.get(), POLLIN, 0};
    return ::poll(&polled, 1, 0) == 1;
}

/// A number in the segment proves nothing, as any worker may write there. A child that is not
/// executed yet has all that its master had.
bool is_proven(std::uint32_t pid, const std::string& cluster, int segment_fd) {
    const std::vector<std::string> variables{"TOPSMAN_CLUSTER=" + cluster,
                                             "TOPSMAN_PID=" + std::to_string(pid)};
    if (posix::was_executed_with(pid, variables)) {
        return true;
    }
    const auto files = posix::open_files(pid);
    return segment_fd >= 0 && files && posix::has_open(*files, segment_fd);
}

Error not_proven(const std::string& name, const config::Config& config) {
    return plain_error(name + ": nothing shows that it is a worker of cluster " + config.cluster +
                           ", so nobody was signalled: if it is one, end it by kill(1)",
                       std::errc::operation_not_permitted);
}

}  // namespace

bool is_living_worker(std::uint32_t pid, std::uint64_t start_ticks, const std::string& cluster,
                      int segment_fd) {
    const auto info = posix::process_info(pid);
    const auto ticks = start_ticks != 0 || !info ? start_ticks : info->start_ticks;
    if (!posix::Child::open(pid, ticks)) {
        return false;
    }
    return start_ticks != 0 || is_proven(pid, cluster, segment_fd);
}

std::vector<std::string> names_of(const shm::Segment& segment,
                                  const std::vector<shm::LivingWorker>& workers) {
    std::vector<std::string> names;
    for (const shm::LivingWorker& worker : workers) {
        const auto [pool, slot] = seat_of(segment, worker.lane);
        names.push_back((pool.empty() ? "a worker" : slot_name(pool, slot)) + " (pid " +
                        std::to_string(worker.pid) + ")");
    }
    return names;
}

Result<void> end_workers(const shm::Segment& segment, const std::vector<shm::LivingWorker>& workers,
                         const config::Config& config, const Say& say,
                         std::chrono::milliseconds at_most) {
    const std::vector<std::string> names = names_of(segment, workers);
    std::vector<Leaving> leaving;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const shm::LivingWorker& worker = workers[i];
        UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, worker.pid, 0U)));
        // First the handle, then the look: what is alive now under that name is what we hold.
        if (!pidfd || !is_living_worker(worker.pid, worker.start_ticks, config.cluster)) {
            continue;
        }
        if (!is_proven(worker.pid, config.cluster, segment.fd()) && !has_ended(pidfd)) {
            return not_proven(names[i], config);
        }
        const config::Pool* pool = config.find_pool(seat_of(segment, worker.lane).first);
        leaving.push_back(
            {.name = names[i],
             .pidfd = std::move(pidfd),
             .stop_signal = pool != nullptr ? pool->stop_signal : SIGTERM,
             .patience = std::min<std::chrono::nanoseconds>(
                 pool != nullptr ? pool->stop_timeout : config::Pool{}.stop_timeout, at_most)});
    }
    for (Leaving& worker : leaving) {
        say(worker.name + ": a dead master's, asked to leave");
        send(worker.pidfd.get(), worker.stop_signal);
        worker.deadline = SteadyClock::now() + worker.patience;
    }
    while (!leaving.empty()) {
        if (Result<void> waited = wait_for_some(leaving, say); !waited) {
            return waited;
        }
    }
    return {};
}

}  // namespace topsman::supervisor
