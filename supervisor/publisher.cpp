#include "supervisor/publisher.hpp"

#include "supervisor/board_words.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/version.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

std::int64_t monotonic_ns(std::optional<core::TimePoint> at) {
    return at ? std::chrono::nanoseconds(at->time_since_epoch()).count() : 0;
}

/// Stores only what differs from what is there: readers' caches stay warm.
template <class Record>
void store_if_changed(shm::TwoCopy<Record>& cell, const Record& record) {
    Record before{};
    if (!cell.load(before) || !std::ranges::equal(std::as_bytes(std::span{&before, 1}),
                                                  std::as_bytes(std::span{&record, 1}))) {
        cell.store(record);
    }
}

/// A record whose padding is zero too, so that comparing bytes compares values.
template <class Record>
Record blank() {
    Record record;
    std::memset(static_cast<void*>(&record), 0, sizeof record);
    return record;
}

}  // namespace

Publisher::Publisher(shm::Segment& segment, const std::string& cluster,
                     const std::string& config_file)
    : segment_(segment), master_(blank<shm::MasterRecord>()) {
    const auto pid = static_cast<std::uint32_t>(::getpid());
    master_.pid = pid;
    const auto info = posix::process_info(pid);
    master_.start_ticks = info ? info->start_ticks : 0;
    master_.started_monotonic_ns = monotonic_ns(core::Clock::now());
    shm::put_text(master_.cluster, cluster);
    shm::put_text(master_.version, kVersion);
    shm::put_text(master_.config_file, config_file);
    segment_.set_master(pid, master_.start_ticks);
    // What an adopted segment shows is a dead master's. It stays until the first publish() says
    // otherwise: should we die before, the next master needs it.
    shm::MasterRecord before{};
    if (segment_.scoreboard().master.load(before)) {
        // Executed anew it is the same process, and as old.
        if (before.pid == pid && before.start_ticks == master_.start_ticks) {
            master_.started_monotonic_ns = before.started_monotonic_ns;
        }
        master_.config_generation = before.config_generation;
        master_.pools = before.pools;
        master_.slots = before.slots;
        master_.listeners = before.listeners;
    }
    for (std::uint32_t lane = 0; lane < segment_.lanes().size(); ++lane) {
        lanes_shown_.insert(lane);
    }
    store_if_changed(segment_.scoreboard().master, master_);
}

void Publisher::resume_exits(const std::vector<LeftExit>& exits, const core::Snapshot& snapshot) {
    for (const LeftExit& exit : exits) {
        for (const core::PoolView& pool : snapshot.pools) {
            if (pool.name == exit.pool) {
                last_exits_[{pool.pool, exit.slot}] = {exit.words, exit.realtime_ns};
            }
        }
    }
}

std::vector<LeftExit> Publisher::exits(const core::Snapshot& snapshot) const {
    std::vector<LeftExit> exits;
    for (const auto& [slot, exit] : last_exits_) {
        for (const core::PoolView& pool : snapshot.pools) {
            if (pool.pool == slot.pool) {
                exits.push_back({pool.name, slot.index, exit.words, exit.realtime_ns});
            }
        }
    }
    return exits;
}

void Publisher::set_note(const std::string& note) {
    shm::put_text(master_.note, note);
}

void Publisher::publish_listeners(const std::vector<posix::BoundListener>& listeners) {
    std::vector<shm::ListenerRecord> records(shm::kMaxListeners, blank<shm::ListenerRecord>());
    master_.listeners = 0;
    for (const posix::BoundListener& listener : listeners) {
        shm::ListenerRecord& record = records.at(listener.row);
        shm::put_text(record.name, listener.spec.name);
        shm::put_text(record.address, listener.address);
        record.accept = listener.spec.accept == config::Accept::ReusePort ? 1 : 0;
        record.backlog = listener.spec.backlog;
        record.inode = listener.inode;
        record.sockets = static_cast<std::uint32_t>(listener.sockets.size());
        record.nudges = listener.nudges;
        record.leaving = listener.in_force ? 0 : 1;
        master_.listeners = std::max(master_.listeners, listener.row + 1);
    }
    for (std::uint32_t row = 0; row < shm::kMaxListeners; ++row) {
        store_if_changed(segment_.scoreboard().listeners[row], records[row]);
    }
}

void Publisher::publish(const core::Snapshot& snapshot, const config::Config& config,
                        const WorkerTable& workers) {
    publish_pools(snapshot);
    publish_workers(snapshot, config, workers);
    publish_master(snapshot);  // last: it says how many records count
}

void Publisher::publish_pools(const core::Snapshot& snapshot) {
    pool_index_.clear();
    slot_index_.clear();
    std::uint32_t pool_index = 0;
    std::uint32_t slot_index = 0;
    for (const core::PoolView& pool : snapshot.pools) {
        if (pool_index == shm::kMaxPools || slot_index + pool.slots.size() > shm::kMaxSlots) {
            break;  // the last in the row are those that a reload removed and whose workers leave
        }
        auto record = blank<shm::PoolRecord>();
        shm::put_text(record.name, pool.name);
        record.wanted = pool.wanted;
        record.ready = pool.ready;
        record.breaker = breaker_to_board(pool);
        record.generation = pool.generation.value;
        const std::size_t colon = std::min(pool.rollout.find(':'), pool.rollout.size());
        shm::put_text(record.rollout, pool.rollout.substr(0, colon));
        shm::put_text(record.note, pool.rollout.substr(std::min(colon + 2, pool.rollout.size())));
        record.fingerprint = fingerprint_of_(pool);
        record.configured = pool.configured;
        record.spares = pool.spares;
        record.failures = pool.failures;
        record.not_before_monotonic_ns = monotonic_ns(pool.not_before);
        store_if_changed(segment_.scoreboard().pools[pool_index], record);
        for (const core::SlotView& slot : pool.slots) {
            auto line = blank<shm::SlotRecord>();
            line.phase = to_board(slot.phase);
            line.pool = pool_index;
            line.slot = slot.slot.index;
            line.failures = slot.failures;
            line.restarts = slot.restarts;
            line.not_before_monotonic_ns = monotonic_ns(slot.not_before);
            if (const auto exit = last_exits_.find(slot.slot); exit != last_exits_.end()) {
                line.last_exit_realtime_ns = exit->second.realtime_ns;
                shm::put_text(line.last_exit, exit->second.words);
            }
            slot_index_[slot.slot] = slot_index;
            store_if_changed(segment_.scoreboard().slots[slot_index], line);
            ++slot_index;
        }
        pool_index_[pool.pool] = pool_index++;
    }
    publish_channels(snapshot);
    master_.pools = pool_index;
    master_.slots = slot_index;
    // What nobody is shown any more: its pool was removed. One that comes back has other slots.
    if (last_exits_.size() > slot_index_.size()) {
        std::erase_if(last_exits_,
                      [this](const auto& exit) { return slot_index_.count(exit.first) == 0; });
    }
}

/// How many slots there are to send to: those that shall be filled.
void Publisher::publish_channels(const core::Snapshot& snapshot) {
    for (std::size_t i = 0; i < segment_.channels().size(); ++i) {
        const shm::Channel channel = segment_.channel(i);
        const auto pool = std::find_if(snapshot.pools.begin(), snapshot.pools.end(),
                                       [name = segment_.channels()[i].pool](
                                           const core::PoolView& one) { return one.name == name; });
        const std::uint32_t slots =
            pool == snapshot.pools.end() ? 0 : std::min(pool->wanted, channel.shape().slots);
        if (channel.slots() != slots) {
            channel.set_slots(slots);
        }
    }
}

void Publisher::publish_workers(const core::Snapshot& snapshot, const config::Config& config,
                                const WorkerTable& workers) {
    std::set<std::uint32_t> lanes;
    for (const core::WorkerView& view : snapshot.workers) {
        const WorkerFacts* facts = workers.find(view.worker);
        const auto pool = pool_index_.find(view.slot.pool);
        if (facts == nullptr || facts->lane == 0 || pool == pool_index_.end()) {
            continue;
        }
        auto record = blank<shm::WorkerRecord>();
        record.worker = view.worker.value;
        record.lane_generation = facts->lane_generation;
        record.pool = pool->second;
        record.slot = view.slot.index;
        record.role = to_board(view.role);
        const bool is_parked =
            view.spare == core::SpareStage::Parked && view.state == core::WorkerState::Serving;
        record.state = is_parked ? shm::WorkerState::Parked : to_board(view.state);
        record.pid = facts->pid;
        record.start_ticks = facts->start_ticks;
        record.generation = view.generation.value;
        record.output_full = facts->output_full ? 1 : 0;
        record.spawned_monotonic_ns = monotonic_ns(view.spawned_at);
        record.ready_monotonic_ns = monotonic_ns(view.ready_at);
        record.last_beat_monotonic_ns = monotonic_ns(view.last_beat);
        if (const config::Pool* policy = config.find_pool(snapshot.pools[pool->second].name)) {
            record.watchdog_timeout_ns = std::chrono::nanoseconds(policy->watchdog.timeout).count();
        }
        shm::put_text(record.status, facts->status);
        shm::put_text(record.pool_name, snapshot.pools[pool->second].name);
        record.fingerprint = facts->fingerprint;
        record.pidfd_inode = facts->pidfd_inode;
        record.output_inode = facts->output_inode;
        record.wake_fd = facts->wake_fd;
        store_if_changed(segment_.scoreboard().workers[facts->lane], record);
        lanes.insert(facts->lane);
    }
    for (const std::uint32_t lane : lanes_shown_) {
        if (lanes.count(lane) == 0) {
            store_if_changed(segment_.scoreboard().workers[lane], blank<shm::WorkerRecord>());
        }
    }
    lanes_shown_ = std::move(lanes);
}

shm::WorkerRecord Publisher::record_of(const core::Spawn& spawn, const std::string& pool,
                                       std::uint64_t fingerprint) const {
    auto record = blank<shm::WorkerRecord>();
    record.worker = spawn.worker.value;
    if (const auto index = pool_index_.find(spawn.slot.pool); index != pool_index_.end()) {
        record.pool = index->second;
    }
    record.slot = spawn.slot.index;
    record.role = spawn.slot.index == kNoSlot ? shm::WorkerRole::Spare : shm::WorkerRole::None;
    record.state = shm::WorkerState::Starting;
    record.generation = spawn.generation.value;
    record.spawned_monotonic_ns = monotonic_ns(core::Clock::now());
    shm::put_text(record.pool_name, pool);
    record.fingerprint = fingerprint;
    return record;
}

void Publisher::set_fingerprints(FingerprintOf fingerprint_of) {
    fingerprint_of_ = std::move(fingerprint_of);
}

void Publisher::publish_master(const core::Snapshot& snapshot) {
    master_.state = snapshot.phase == core::Phase::Running ? shm::MasterState::Running
                                                           : shm::MasterState::Stopping;
    master_.config_generation = snapshot.generation.value;
    store_if_changed(segment_.scoreboard().master, master_);
}

void Publisher::publish_stopped() {
    master_.state = shm::MasterState::Stopped;
    store_if_changed(segment_.scoreboard().master, master_);
}

void Publisher::record_exit(core::SlotId slot, const std::string& words) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    last_exits_[slot] = {words, std::chrono::nanoseconds(now).count()};
}

std::optional<std::uint32_t> Publisher::scoreboard_slot(core::SlotId slot) const {
    const auto found = slot_index_.find(slot);
    return found == slot_index_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace topsman::supervisor
