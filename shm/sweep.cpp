#include "shm/sweep.hpp"

#include "shm/barrier.hpp"
#include "shm/parking.hpp"
#include "shm/semaphore.hpp"

namespace topsman::shm {
namespace {

constexpr std::uint32_t kGenerationMask = 0xff'ffff;

/// What rows, locks and idle sets say of the dead, taken back. Every step may be done twice.
void give_back(Segment& segment, Owner dead) noexcept {
    const auto kinds = segment.metric_names().kinds();
    const MetricCells metrics = segment.metrics();
    for (std::uint32_t row = 0; row < kinds.size(); ++row) {
        // In the master's lane are the levels that scripts have set: they do not die with it.
        if (kinds[row] == NameKind::Gauge && dead.lane != 0) {
            metrics.cell(dead.lane, row).store(0, std::memory_order_relaxed);
        }
    }
    for (LaneSet& idle : segment.idle_lanes()) {
        idle.erase(dead.lane);
    }
    for (NameTable* names : {&segment.metric_names(), &segment.mutex_names(), &segment.cell_names(),
                             &segment.object_names(), &segment.array_names()}) {
        names->sweep(dead);
    }
    // What has no name nobody has found, and so nobody waits for it or holds of it.
    const auto object_kinds = segment.object_names().kinds();
    for (std::size_t i = 0; i < segment.objects().size(); ++i) {
        if (object_kinds[i] != NameKind::None) {
            segment.objects()[i].parking.forget(dead.lane);
        }
    }
    const auto array_kinds = segment.array_names().kinds();
    for (std::size_t i = 0; i < segment.arrays().size(); ++i) {
        SharedArrayStorage& array = segment.arrays()[i];
        if (array_kinds[i] != NameKind::None) {
            array.forget(dead.lane);
        }
        if (array_kinds[i] == NameKind::Semaphore && dead.lane != 0) {
            Semaphore(array).sweep(dead);
        }
        if (array_kinds[i] == NameKind::Barrier && dead.lane != 0) {
            Barrier(array).sweep(dead);
        }
    }
    segment.blocks().sweep(dead);
    // The kernel has released the locks themselves; whoever comes next learns of the death.
    for (RobustMutex& mutex : segment.mutexes()) {
        mutex.forget(dead);
    }
    for (TxCellStorage& cell : segment.cells()) {
        cell.forget(dead);
    }
    for (std::size_t i = 0; i < segment.queues().size(); ++i) {
        (void)segment.queue(i).sweep(dead);
    }
    for (std::size_t i = 0; i < segment.channels().size(); ++i) {
        (void)segment.channel(i).sweep(dead);
    }
}

}  // namespace

Result<LaneGrant> grant_lane(Segment& segment, std::uint64_t worker, std::uint32_t slot,
                             std::uint32_t seat) noexcept {
    const std::span<Lane> lanes = segment.lanes();
    for (std::uint32_t i = 1; i < lanes.size(); ++i) {
        Lane& lane = lanes[i];
        std::uint64_t word = lane.word.load(std::memory_order_acquire);
        const LaneWord free = LaneWord::unpack(word);
        if (free.phase != LanePhase::Free) {
            continue;
        }
        // Before the commit point: nobody looks at the fields of a free lane.
        lane.worker.store(worker, std::memory_order_relaxed);
        lane.start_ticks.store(0, std::memory_order_relaxed);
        lane.slot.store(slot, std::memory_order_relaxed);
        lane.flags.store(0, std::memory_order_relaxed);
        lane.seat.store(seat, std::memory_order_relaxed);
        lane.heartbeat_ns.store(0, std::memory_order_relaxed);
        lane.requests.store(0, std::memory_order_relaxed);
        lane.in_flight.store(0, std::memory_order_relaxed);
        lane.pidfd_inode.store(0, std::memory_order_relaxed);
        lane.parked.store(0, std::memory_order_relaxed);
        segment.last_words()[i].clear();
        const std::uint32_t generation = (free.generation + 1) & kGenerationMask;
        const LaneWord starting{LanePhase::Starting, generation, segment.epoch()};
        if (lane.word.compare_exchange_strong(word, starting.pack(), std::memory_order_acq_rel)) {
            return LaneGrant{i, generation};
        }
    }
    return plain_error("all " + std::to_string(lanes.size() - 1) +
                           " lanes of the segment are in use (segment.lanes)",
                       std::errc::resource_unavailable_try_again);
}

void release_spare(Segment& segment, std::uint32_t lane_index, std::uint32_t slot) noexcept {
    if (lane_index == 0 || lane_index >= segment.lanes().size()) {
        return;
    }
    // One store names the slot and ends the wait: who dies right before it or after it leaves a
    // spare that waits or one that has a seat, nothing between.
    Lane& lane = segment.lanes()[lane_index];
    std::uint32_t held = kSeatHeld;
    const std::uint32_t seat = slot == kNoSlot ? UINT32_MAX : seat_of(slot);
    if (lane.seat.compare_exchange_strong(held, seat, std::memory_order_seq_cst)) {
        wake_everyone(segment.lanes().subspan(lane_index, 1));
    }
}

bool claim_lane(Lane& lane, std::uint32_t generation, std::uint32_t epoch,
                std::uint32_t pid) noexcept {
    std::uint64_t word = LaneWord{LanePhase::Starting, generation, epoch}.pack();
    const LaneWord started{LanePhase::Started, generation, pid};
    return lane.word.compare_exchange_strong(word, started.pack(), std::memory_order_acq_rel);
}

void sweep_lane(Segment& segment, std::uint32_t lane_index, std::uint32_t generation) noexcept {
    if (lane_index == 0 || lane_index >= segment.lanes().size()) {
        return;
    }
    Lane& lane = segment.lanes()[lane_index];
    LaneWord word = LaneWord::unpack(lane.word.load(std::memory_order_acquire));
    if (word.generation != generation || word.phase == LanePhase::Free) {
        return;
    }
    // DEAD first: a master that dies from here on leaves a lane that the next one sweeps again.
    word.phase = LanePhase::Dead;
    lane.word.store(word.pack(), std::memory_order_release);
    give_back(segment, Owner{lane_index, generation});
    // The dead may have taken a wake-up along, or died between a change and the wake-up for it.
    wake_everyone(segment.lanes());
    lane.in_flight.store(0, std::memory_order_relaxed);
    word.phase = LanePhase::Free;
    word.value = 0;
    lane.word.store(word.pack(), std::memory_order_release);
}

std::vector<LivingWorker> sweep_dead_lanes(
    Segment& segment,
    const std::function<bool(std::uint32_t pid, std::uint64_t start_ticks)>& is_alive) {
    std::vector<LivingWorker> living;
    const std::span<Lane> lanes = segment.lanes();
    for (std::uint32_t i = 1; i < lanes.size(); ++i) {
        Lane& lane = lanes[i];
        std::uint64_t packed = lane.word.load(std::memory_order_acquire);
        LaneWord word = LaneWord::unpack(packed);
        if (word.phase == LanePhase::Starting) {
            // A child that has not claimed it yet loses the race against this exchange and exits;
            // one that was faster is found STARTED.
            const LaneWord free{LanePhase::Free, word.generation, 0};
            if (lane.word.compare_exchange_strong(packed, free.pack(), std::memory_order_acq_rel)) {
                continue;
            }
            word = LaneWord::unpack(packed);
        }
        const std::uint64_t start_ticks = lane.start_ticks.load(std::memory_order_relaxed);
        if (word.phase == LanePhase::Started && is_alive(word.value, start_ticks)) {
            living.push_back(LivingWorker{i, word.generation, word.value, start_ticks,
                                          lane.worker.load(std::memory_order_relaxed)});
        } else if (word.phase == LanePhase::Started || word.phase == LanePhase::Dead) {
            sweep_lane(segment, i, word.generation);
        }
    }
    give_back(segment, Owner{});
    wake_everyone(lanes);
    return living;
}

std::vector<LivingWorker> find_living(
    const Segment& segment,
    const std::function<bool(std::uint32_t pid, std::uint64_t start_ticks)>& is_alive) {
    std::vector<LivingWorker> living = find_started(segment);
    std::erase_if(living, [&is_alive](const LivingWorker& worker) {
        return !is_alive(worker.pid, worker.start_ticks);
    });
    return living;
}

std::vector<LivingWorker> find_started(const Segment& segment) {
    std::vector<LivingWorker> started;
    const std::span<Lane> lanes = segment.lanes();
    for (std::uint32_t i = 1; i < lanes.size(); ++i) {
        const LaneWord word = LaneWord::unpack(lanes[i].word.load(std::memory_order_acquire));
        if (word.phase == LanePhase::Started) {
            started.push_back(LivingWorker{i, word.generation, word.value,
                                           lanes[i].start_ticks.load(std::memory_order_relaxed),
                                           lanes[i].worker.load(std::memory_order_relaxed)});
        }
    }
    return started;
}

}  // namespace topsman::shm
