#include "storm.hpp"

#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <chrono>
#include <csignal>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::torture {

Storm::Storm(shm::Segment& segment, StormPlan plan, std::uint64_t seed)
    : segment_(segment),
      plan_(std::move(plan)),
      random_(seed),
      kills_of_(segment.lanes().size(), 0) {
    CHECK(segment.lanes().size() == plan_.workers + 1);
}

Storm::~Storm() {
    for (const Worker& worker : running_) {
        (void)::kill(worker.pid, SIGKILL);
        (void)::waitpid(worker.pid, nullptr, 0);
    }
}

void Storm::run() {
    for (std::uint32_t i = 0; i < plan_.workers; ++i) {
        start();
    }
    while (!running_.empty() && kills_ < plan_.most_kills) {
        const Worker victim = running_[random_() % running_.size()];
        await_progress(victim, random_() % plan_.most_progress_between_kills);
        reap_finished();
        for (std::size_t i = 0; i < running_.size(); ++i) {
            if (running_[i].pid == victim.pid) {
                kill(i);
                break;
            }
        }
    }
    if (plan_.enough) {
        plan_.enough();
    }
    await_all();
}

void Storm::await_all() {
    for (const Worker& worker : running_) {
        int status = 0;
        CHECK(::waitpid(worker.pid, &status, 0) == worker.pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    running_.clear();
}

void Storm::start() {
    const shm::LaneGrant grant = shm::grant_lane(segment_, 1, 0).value();
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK(shm::claim_lane(segment_.lanes()[grant.lane], grant.generation, segment_.epoch(),
                              static_cast<std::uint32_t>(::getpid())));
        plan_.work(shm::Owner{grant.lane, grant.generation});
        ::_exit(0);
    }
    running_.push_back(Worker{pid, shm::Owner{grant.lane, grant.generation}});
}

void Storm::kill(std::size_t index) {
    const Worker victim = running_[index];
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
    (void)::kill(victim.pid, SIGKILL);
    int status = 0;
    CHECK(::waitpid(victim.pid, &status, 0) == victim.pid);
    if (!WIFSIGNALED(status)) {
        CHECK(WEXITSTATUS(status) == 0);  // it was faster
        return;
    }
    CHECK(WTERMSIG(status) == SIGKILL);
    ++kills_;
    ++kills_of_[victim.owner.lane];
    shm::sweep_lane(segment_, victim.owner.lane, victim.owner.generation);
    start();
}

void Storm::reap_finished() {
    std::erase_if(running_, [](const Worker& worker) {
        int status = 0;
        const pid_t pid = ::waitpid(worker.pid, &status, WNOHANG);
        CHECK(pid == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
        return pid != 0;
    });
}

void Storm::await_progress(const Worker& worker, std::uint64_t steps) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const std::uint64_t goal = plan_.progress(worker.owner.lane) + steps;
    siginfo_t info{};
    while (plan_.progress(worker.owner.lane) < goal) {
        CHECK(std::chrono::steady_clock::now() < deadline);  // it hangs
        // WNOWAIT: only a look, reaping is reap_finished's.
        CHECK(::waitid(P_PID, static_cast<id_t>(worker.pid), &info, WEXITED | WNOHANG | WNOWAIT) ==
              0);
        if (info.si_pid != 0) {
            return;
        }
        if (plan_.observe) {
            plan_.observe();
        }
        (void)::sched_yield();
    }
}

std::span<std::uint64_t> new_ledger(std::uint32_t lanes) {
    void* memory = ::mmap(nullptr, lanes * sizeof(std::uint64_t), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return {static_cast<std::uint64_t*>(memory), lanes};
}

}  // namespace topsman::torture
