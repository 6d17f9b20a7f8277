#include "operation.hpp"

#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace topsman::torture {
namespace {

constexpr std::size_t kScratchBytes = std::size_t{64} * 1'024;

void start(Segment& segment, Owner owner, std::uint32_t pid) {
    const auto grant = shm::grant_lane(segment, pid, 0).value();
    CHECK(grant.lane == owner.lane && grant.generation == owner.generation);
    CHECK(shm::claim_lane(segment.lanes()[grant.lane], grant.generation, segment.epoch(), pid));
}

}  // namespace

Arena Arena::make() {
    static int number = 0;
    const std::string name = "topsman.torture." + std::to_string(::getuid()) + "." +
                             std::to_string(::getpid()) + "." + std::to_string(number++);
    Segment segment =
        Segment::create(
            {.name = name,
             .lanes = kLanes,
             .queues = {{"jobs", kQueue}, {"once", kKeyedQueue}, {"asked", kAskedQueue}},
             .blocks = {{{64, 4}, {200, 1}}},
             .histograms = {"time"},
             .channels = {{"news", "web", kChannel}, {"ticks", "web", kForgetfulChannel}},
             .reserve = 16'384})
            .value();
    (void)Segment::remove(name);
    start(segment, kVictim, kVictimPid);
    start(segment, kPeer, kPeerPid);
    void* scratch =
        ::mmap(nullptr, kScratchBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(scratch != MAP_FAILED);
    return Arena{std::move(segment), {static_cast<std::byte*>(scratch), kScratchBytes}};
}

void Arena::copy_from(const Arena& other) const {
    std::memcpy(const_cast<void*>(segment.address()), other.segment.address(), segment.size());
    std::memcpy(scratch.data(), other.scratch.data(), scratch.size());
}

void Operation::sweep(Arena& arena) {
    shm::sweep_lane(arena.segment, kVictim.lane, kVictim.generation);
}

void sweep_as_new_master(Arena& arena) {
    (void)shm::sweep_dead_lanes(
        arena.segment, [](std::uint32_t pid, std::uint64_t /*start*/) { return pid == kPeerPid; });
}

}  // namespace topsman::torture
