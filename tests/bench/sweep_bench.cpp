// How long the master sweeps after a worker that was killed with all jobs of a queue in its hands:
// each of them is ready again when the sweep has ended. Prints JSON: by the number of jobs, the
// median in microseconds.

#include "shm/base/check.hpp"
#include "shm/segment.hpp"
#include "shm/sweep.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace topsman::shm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array<std::uint32_t, 2> kCapacities{1'024, 65'536};
constexpr std::uint32_t kItemSize = 64;

Segment make_segment() {
    const std::string name =
        "topsman.bench." + std::to_string(::getuid()) + "." + std::to_string(::getpid());
    Segment::Options options{.name = name};
    for (const std::uint32_t capacity : kCapacities) {
        options.queues.push_back(
            {std::to_string(capacity), {.capacity = capacity, .item_size = kItemSize}});
    }
    Segment segment = Segment::create(options).value();
    (void)Segment::remove(name);
    return segment;
}

/// In a process of its own, which is killed while it has taken `count` jobs.
Owner die_with(Segment& segment, std::size_t queue_index, std::uint32_t count) {
    const auto grant = grant_lane(segment, 1, 0).value();
    const Owner owner{grant.lane, grant.generation};
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(claim_lane(segment.lanes()[owner.lane], owner.generation, segment.epoch(),
                         static_cast<std::uint32_t>(::getpid())));
        JobQueue queue = segment.queue(queue_index);
        queue.join(owner);
        for (std::uint32_t i = 0; i < count; ++i) {
            CHECK(queue.take(owner));
        }
        (void)::raise(SIGKILL);
    }
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return owner;
}

double sweep_us(Segment& segment, std::size_t queue_index, std::uint32_t count) {
    const auto grant = grant_lane(segment, 2, 0).value();
    const Owner me{grant.lane, grant.generation};
    JobQueue queue = segment.queue(queue_index);
    queue.join(me);
    const std::array<std::byte, kItemSize> item{};
    for (std::uint32_t i = 0; i < count; ++i) {
        CHECK(queue.submit(me, item));
    }
    const Owner dead = die_with(segment, queue_index, count);
    const auto began = Clock::now();
    sweep_lane(segment, dead.lane, dead.generation);
    const std::chrono::duration<double, std::micro> took = Clock::now() - began;
    std::uint32_t again = 0;
    while (const auto job = queue.take(me)) {
        again += queue.ack(*job) ? 1U : 0U;
    }
    CHECK(again == count);
    sweep_lane(segment, me.lane, me.generation);
    return took.count();
}

}  // namespace
}  // namespace topsman::shm

int main(int argc, char** argv) {
    using namespace topsman::shm;
    const std::size_t rounds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 51;
    Segment segment = make_segment();
    for (std::size_t i = 0; i < kCapacities.size(); ++i) {
        std::vector<double> times;
        for (std::size_t round = 0; round < rounds; ++round) {
            times.push_back(sweep_us(segment, i, kCapacities[i]));
        }
        std::sort(times.begin(), times.end());
        std::printf("%s\"%u\": %.1f", i == 0 ? "{" : ", ", kCapacities[i], times[rounds / 2]);
    }
    std::printf("}\n");
    return 0;
}
