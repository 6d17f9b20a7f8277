#include "supervisor/leftovers.hpp"

#include "config/load.hpp"
#include "supervisor/core/worker.hpp"
#include "supervisor/kept_generations.hpp"
#include "supervisor/posix/act_as.hpp"
#include "supervisor/posix/lock_file.hpp"
#include "supervisor/take_over.hpp"

#include <unistd.h>

namespace topsman::supervisor {

namespace {

std::chrono::milliseconds patience_of(const std::string& mode) {
    using std::chrono::milliseconds;
    return mode == "now"    ? milliseconds(0)
           : mode == "fast" ? std::chrono::duration_cast<milliseconds>(core::kFastDrain)
                            : milliseconds::max();
}

void remove_sockets(const ClusterRecord& record, std::size_t lanes) {
    (void)::unlink(record.socket.c_str());
    for (std::size_t lane = 1; lane < lanes; ++lane) {
        (void)::unlink(notify_path(record.directory + "/" + record.cluster, lane).c_str());
    }
}

}  // namespace

void remove_cluster_files(const ClusterRecord& record) {
    (void)shm::Segment::remove(record.segment);
    (void)::unlink(generations_path(record.directory, record.cluster).c_str());
    remove_record(record.directory, record.cluster);
}

Result<void> end_leftovers(const ClusterRecord& record, const std::string& mode, const Say& say) {
    if (auto acts = posix::act_as(record.owner); !acts) {
        return acts;
    }
    const auto lock = posix::LockFile::acquire(record.directory + "/" + record.cluster + ".lock");
    if (!lock) {
        return lock.error();
    }
    if (record.segment != shm::segment_name(record.cluster, record.owner)) {
        return plain_error("the record names " + record.segment +
                           ", which is not the segment of a cluster of the record's owner (uid " +
                           std::to_string(record.owner) + ")");
    }
    if (const auto segment = shm::Segment::open_read_only(record.segment)) {
        const auto loaded = config::load_file(record.file, config::Environment::of_this_process());
        config::Config config = loaded.config.value_or(config::Config{});
        config.cluster = record.cluster;
        const auto is_alive = [&](std::uint32_t pid, std::uint64_t start_ticks) {
            return is_living_worker(pid, start_ticks, record.cluster);
        };
        const auto living = shm::find_living(*segment, is_alive);
        auto ended = end_workers(*segment, living, config, say, patience_of(mode));
        if (!ended) {
            return ended;
        }
        remove_sockets(record, segment->lanes().size());
    }
    remove_cluster_files(record);
    return {};
}

}  // namespace topsman::supervisor
