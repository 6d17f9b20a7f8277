#include "supervisor/cluster_segment.hpp"

#include "supervisor/posix/launcher.hpp"
#include "supervisor/segment_plan.hpp"
#include "supervisor/take_over.hpp"

#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

std::string join(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

Say to(Journal& journal) {
    return [&journal](const std::string& sentence) { journal.info(sentence); };
}

auto of_cluster(const std::string& cluster, int segment_fd = -1) {
    return [cluster, segment_fd](std::uint32_t pid, std::uint64_t start_ticks) {
        return is_living_worker(pid, start_ticks, cluster, segment_fd);
    };
}

void find_living(ClusterSegment& ground, const std::string& cluster) {
    ground.living = shm::sweep_dead_lanes(ground.segment, of_cluster(cluster, ground.segment.fd()));
}

/// Beside a segment that cannot be kept nobody may be left: by --take-over they are ended, else
/// that is the answer.
Result<void> make_way(const shm::Segment& segment, const std::vector<shm::LivingWorker>& living,
                      const config::Config& config, const RunOptions& options,
                      const std::string& why, Journal& journal) {
    if (living.empty()) {
        return {};
    }
    if (options.take_over || options.unattended) {
        return end_workers(segment, living, config, to(journal));
    }
    return still_running(segment, living, config, why);
}

/// From the first worker on there are as many slots to send to as there will be; later the
/// scoreboard goes with what is wanted.
void open_channels(const shm::Segment& segment, const config::Config& config) {
    for (std::size_t i = 0; i < segment.channels().size(); ++i) {
        if (const config::Pool* pool = config.find_pool(segment.channels()[i].pool)) {
            segment.channel(i).set_slots(pool->workers);
        }
    }
}

/// One that cannot be kept, with other lanes for example, may still have living workers.
Result<void> put_aside(const std::string& name, const std::string& why,
                       const config::Config& config, const RunOptions& options, Journal& journal) {
    if (const auto old = shm::Segment::open_read_only(name)) {
        const auto living = shm::find_living(*old, of_cluster(config.cluster));
        if (auto free = make_way(*old, living, config, options, why, journal); !free) {
            return free;
        }
    }
    journal.warning("segment " + name + " of an earlier master cannot be kept: " + why +
                    "; it is put aside as " + name + ".stale");
    return shm::Segment::retire(name);
}

}  // namespace

shm::Segment::Options segment_options(const config::Config& config) {
    shm::Segment::Options options;
    options.name = shm::segment_name(config.cluster, ::geteuid());
    options.lanes = config.segment.lanes;
    options.mode = config.control.group.empty() ? 0600 : 0640;
    options.queues = queues_of(config);
    options.blocks = blocks_of(config);
    options.histograms = config.shared.histograms;
    options.channels = channels_of(config);
    options.reserve = config.segment.reserve;
    return options;
}

Result<ClusterSegment> make_segment(const config::Config& config, const RunOptions& run,
                                    Journal& journal) {
    const shm::Segment::Options options = segment_options(config);
    Result<shm::Segment> adopted = shm::Segment::adopt(options);
    if (!adopted) {
        const std::error_code why = adopted.error().code;
        if (why == std::errc::permission_denied) {
            return adopted.error();
        }
        if (why != std::errc::no_such_file_or_directory) {
            const auto aside =
                put_aside(options.name, adopted.error().message, config, run, journal);
            if (!aside) {
                return aside.error();
            }
        }
        Result<shm::Segment> made = shm::Segment::create(options);
        if (!made) {
            return made.error();
        }
        open_channels(*made, config);
        return ClusterSegment{std::move(*made), {}, {}};
    }
    // First who was started, then who lives: whoever died meanwhile is dealt with as a death.
    ClusterSegment ground{std::move(*adopted), {}, {}};
    ground.started = shm::find_started(ground.segment);
    find_living(ground, config.cluster);
    if (run.take_over) {
        if (auto ended = end_living(ground, config, journal); !ended) {
            return ended.error();
        }
    }
    // Made by a configuration that may have shared it with a group, or not.
    if (::fchmod(ground.segment.fd(), options.mode) != 0) {
        return system_error("segment " + options.name + ": chmod");
    }
    journal.info("segment " + options.name + " of an earlier master is kept, with its counters");
    for (const shm::LivingWorker& worker : ground.living) {
        // One whose master died between its lane and its pid has become known since.
        const bool is_known = std::any_of(
            ground.started.begin(), ground.started.end(),
            [&worker](const shm::LivingWorker& other) { return other.lane == worker.lane; });
        if (!is_known) {
            ground.started.push_back(worker);
        }
    }
    return ground;
}

Error still_running(const shm::Segment& segment, const std::vector<shm::LivingWorker>& living,
                    const config::Config& config, const std::string& why) {
    return plain_error("cluster " + config.cluster + ": the master is gone, but its workers " +
                           join(names_of(segment, living)) + " are still running, and " + why +
                           ": `topsman run --take-over` ends them first",
                       std::errc::device_or_resource_busy);
}

Result<void> end_living(ClusterSegment& ground, const config::Config& config, Journal& journal) {
    if (ground.living.empty()) {
        return {};
    }
    if (auto ended = end_workers(ground.segment, ground.living, config, to(journal)); !ended) {
        return ended;
    }
    find_living(ground, config.cluster);
    return {};
}

Result<void> share_with_group(const shm::Segment& segment, const std::string& group) {
    if (group.empty()) {
        return {};
    }
    const Result<posix::Identity> identity = posix::resolve_user("", group);
    if (!identity) {
        return Error{identity.error().code, "control.group: " + identity.error().message};
    }
    if (::fchown(segment.fd(), static_cast<uid_t>(-1), identity->gid) != 0) {
        return system_error("control.group: giving the segment to group " + group);
    }
    return {};
}

}  // namespace topsman::supervisor
