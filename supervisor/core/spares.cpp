// Spares: workers beyond those that have a seat, warmed up until they are ready and then parked.
// One of them takes the seat of a worker that died, where otherwise another one would be started:
// so whatever holds a start back (backoff, the pool's own pace, the breaker, a drained slot) holds
// it back, too, and a program that crashes again and again uses up no more spares than it would
// starts.

#include "supervisor/core/backoff.hpp"
#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {
namespace {

// Nobody waits for the next spare: however it died, so much time is there.
constexpr Duration kShortestPause = std::chrono::seconds(1);

/// It is parked, or serves because it could not be.
bool is_settled(const Worker& spare) {
    return spare.state == WorkerState::Serving &&
           (spare.spare == SpareStage::Parked || spare.spare == SpareStage::Kept);
}

}  // namespace

Worker* SupervisorCore::State::find_warming(WorkerId id) {
    Worker* const worker = find(id);
    const bool is_one = worker != nullptr && worker->spare == SpareStage::Warming &&
                        worker->state == WorkerState::Serving;
    return is_one ? worker : nullptr;
}

void SupervisorCore::State::on(const Parked& event) {
    if (Worker* const spare = find_warming(event.worker)) {
        spare->spare = SpareStage::Parked;
        pool_of(*spare).spare_failures = 0;
        announce(Notice::SpareParked, *spare);
    }
}

void SupervisorCore::State::on(const NotParked& event) {
    if (Worker* const spare = find_warming(event.worker)) {
        spare->spare = SpareStage::Kept;
        pool_of(*spare).spare_failures = 0;
        announce(Notice::SpareKept, *spare, event.why);
    }
}

/// False: there is none that is ready; another worker has to be started.
bool SupervisorCore::State::seat_spare(Pool& pool, Slot& slot) {
    const auto next = next_spare(pool, workers, slot.generation());
    if (!next) {
        return false;
    }
    Worker& worker = workers.at(*next);
    worker.spare = SpareStage::None;
    worker.slot = slot.id();
    // It serves from here on: what it was before proves nothing of how long it will.
    worker.ready_at = now;
    worker.since = now;
    slot.occupy(worker.id);
    // Ready in this very step: nobody is to park it after it was released.
    std::erase_if(*out, [&worker](const Action& action) {
        const auto* park = std::get_if<Park>(&action);
        return park != nullptr && park->worker == worker.id;
    });
    out->emplace_back(Release{worker.id, slot.id()});
    announce(Notice::SpareSeated, worker);
    take_seat(worker);
    return true;
}

/// Those that there are run what is to be replaced.
void SupervisorCore::State::renew_spares(Pool& pool) {
    ++pool.spare_batch;
    pool.spare_failures = 0;
    pool.spare_not_before = TimePoint{};
}

std::vector<WorkerId> SupervisorCore::State::spares_of(const Pool& pool) const {
    std::vector<WorkerId> ids;
    for (const auto& [id, worker] : workers) {
        if (worker.slot.pool == pool.id && worker.spare != SpareStage::None) {
            ids.push_back(id);
        }
    }
    return ids;
}

std::uint32_t SupervisorCore::State::spares_wanted(const Pool& pool) const {
    return pool.removed || is_given_up(pool) || lasting_size(pool) == 0 ? 0 : pool.spec.spares;
}

// Not beside workers that somebody waits for, and not before the program has shown that it can
// serve at all. While another generation is rolled out nobody knows what the next spare should be.
bool SupervisorCore::State::may_start_spare(const Pool& pool) const {
    const Census census = count(pool, workers);
    const auto is_awaited = [this](const Slot& slot) {
        const auto current = slot.current();
        return slot.phase() == SlotPhase::Vacant ||
               (current && workers.at(*current).state == WorkerState::Starting);
    };
    return census.serving > 0 && !pool.rollout && pool.spare_not_before <= now && has_free_lane() &&
           census.leaving < pool.slots.size() + pool.max_surge() + pool.spec.spares &&
           std::none_of(pool.slots.begin(), pool.slots.end(), is_awaited);
}

void SupervisorCore::State::start_spare(Pool& pool) {
    Worker worker;
    worker.id = WorkerId{++last_worker};
    worker.slot = SlotId{pool.id, kNoSlot};
    worker.generation = pool.stable;
    worker.spare = SpareStage::Warming;
    worker.spare_batch = pool.spare_batch;
    worker.cannot_tell = pool.unseen == worker.generation;
    worker.recycle_jitter = jitter.next();
    worker.spawned_at = now;
    worker.since = now;
    workers.emplace(worker.id, worker);
    out->emplace_back(Spawn{worker.id, worker.slot, worker.generation});
}

std::optional<TimePoint> SupervisorCore::State::renewal_time(const Worker& spare) const {
    const Duration lifetime = clock_duration(pool_of(spare).spec.spare_lifetime);
    return is_settled(spare) && lifetime > Duration::zero()
               ? std::optional(*spare.ready_at + lifetime)
               : std::nullopt;
}

// As many as are wanted, none that is outdated. One that is old goes when another is there for it.
void SupervisorCore::State::keep_spares(Pool& pool) {
    const std::uint32_t wanted = spares_wanted(pool);
    std::size_t living = 0;
    std::size_t aged = 0;
    std::vector<WorkerId> settled;
    std::vector<WorkerId> starting;
    for (const WorkerId id : spares_of(pool)) {
        Worker& spare = workers.at(id);
        const bool is_other = !pool.rollout && spare.generation != pool.stable;
        if (spare.state <= WorkerState::Serving &&
            (wanted == 0 || is_other || !pool.is_of_use(spare))) {
            send_away(spare, "as a spare of what is not wanted any more");
            continue;
        }
        ++living;
        const auto renewal = renewal_time(spare);
        aged += renewal && *renewal <= now ? 1U : 0U;
        if (is_settled(spare)) {
            settled.push_back(id);
        } else if (spare.state <= WorkerState::Serving) {
            starting.push_back(id);
        }
    }
    for (std::size_t i = 0; i + wanted < settled.size(); ++i, --living) {
        Worker& oldest = workers.at(settled[i]);
        const auto renewal = renewal_time(oldest);
        aged -= renewal && *renewal <= now ? 1U : 0U;
        send_away(oldest, "another spare is there for it");
    }
    const std::size_t allowed = wanted + std::min<std::size_t>(aged, 1);
    for (; living > allowed && !starting.empty(); --living, starting.pop_back()) {
        send_away(workers.at(starting.back()), "one spare too many");
    }
    for (; living < allowed && may_start_spare(pool); ++living) {
        start_spare(pool);
    }
}

/// When one is started or renewed, as far as that is a matter of time.
std::optional<TimePoint> SupervisorCore::State::spare_time(const Pool& pool) const {
    const std::uint32_t wanted = spares_wanted(pool);
    if (wanted == 0) {
        return std::nullopt;
    }
    const std::vector<WorkerId> spares = spares_of(pool);
    std::optional<TimePoint> next;
    bool is_one_due = spares.size() < wanted;
    for (const WorkerId id : spares) {
        const auto renewal = renewal_time(workers.at(id));
        if (renewal && *renewal <= now) {
            is_one_due = is_one_due || spares.size() == wanted;
        } else if (renewal && (!next || *renewal < *next)) {
            next = renewal;
        }
    }
    if (is_one_due && pool.spare_not_before > now && (!next || pool.spare_not_before < *next)) {
        next = pool.spare_not_before;
    }
    return next;
}

std::string SupervisorCore::State::bury_spare(Pool& pool) {
    ++pool.spare_failures;
    const Duration pause = std::max(
        kShortestPause, backoff_delay(pool.spec.backoff, pool.spare_failures + 1, jitter.next()));
    pool.spare_not_before = now + pause;
    return "another spare in " + in_words(pause);
}

}  // namespace topsman::core
