#include "supervisor/leftovers.hpp"

#include "config/load.hpp"
#include "supervisor/kept_generations.hpp"
#include "supervisor/posix/lock_file.hpp"
#include "supervisor/take_over.hpp"

#include <unistd.h>

namespace topsman::supervisor {

namespace {

std::chrono::milliseconds patience_of(const std::string& mode) {
    using std::chrono::milliseconds;
    return mode == "now"    ? milliseconds(0)
           : mode == "fast" ? milliseconds(2'000)
                            : milliseconds::max();
}

void remove_sockets(const ClusterRecord& record, std::size_t lanes) {
    (void)::unlink(record.socket.c_str());
    for (std::size_t lane = 1; lane < lanes; ++lane) {
        const std::string notify =
            record.directory + "/" + record.cluster + ".notify." + std::to_string(lane);
        (void)::unlink(notify.c_str());
    }
}

}  // namespace

Result<void> end_leftovers(const ClusterRecord& record, const std::string& mode,
                           const control::Say& say) {
    const auto lock = posix::LockFile::acquire(record.directory + "/" + record.cluster + ".lock");
    if (!lock) {
        return lock.error();
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
        (void)shm::Segment::remove(record.segment);
    }
    (void)::unlink(generations_path(record.directory, record.cluster).c_str());
    remove_record(record.directory, record.cluster);
    return {};
}

}  // namespace topsman::supervisor
