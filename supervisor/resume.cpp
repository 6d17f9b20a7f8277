#include "supervisor/resume.hpp"

#include "supervisor/cluster_segment.hpp"
#include "supervisor/fd_store.hpp"
#include "supervisor/listener_handover.hpp"
#include "supervisor/master.hpp"
#include "supervisor/posix/sealed_text.hpp"
#include "supervisor/start.hpp"
#include "supervisor/upgrade_stage.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <sys/prctl.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

/// The way out while nothing has been taken over.
[[noreturn]] void give_up(const posix::Passed& passed, const std::string& why) {
    if (passed.failed.empty()) {
        posix::fall_back(why);
    }
    std::fprintf(stderr, "topsman: after a failed upgrade (%s): %s\n", passed.failed.c_str(),
                 why.c_str());
    std::_Exit(EXIT_FAILURE);  // nothing of the workers is unlinked: the next master adopts them
}

/// The descriptors that were inherited are the old image's until we have taken over; we work with
/// duplicates. Returns the old ones.
Result<std::vector<int>> duplicate_all(Handover& handover) {
    std::map<int, int> copies;
    std::vector<int> inherited;
    Result<void> done;
    for_each_descriptor(handover, [&](int& fd) {
        if (const auto known = copies.find(fd); known != copies.end()) {
            fd = known->second;
            return;
        }
        const Result<int> copy = posix::duplicate(fd);
        if (!copy) {
            done = copy.error();
            return;
        }
        inherited.push_back(fd);
        copies[fd] = *copy;
        fd = *copy;
    });
    if (!done) {
        return done.error();
    }
    return inherited;
}

Result<Foundation> lay_again(ReadHandover read, UniqueFd signals) {
    const Handover& handover = read.handover;
    const core::Version& version = read.kept.legacy.current;
    const config::Config config = version.config;
    auto segment = shm::Segment::adopt(segment_options(config));
    if (!segment) {
        return segment.error();
    }
    std::optional<std::chrono::microseconds> watchdog;
    if (handover.manager_watchdog_us > 0) {
        watchdog = std::chrono::microseconds(handover.manager_watchdog_us);
    }
    return Foundation{
        .config = config,
        .specs = {},
        .file = read.kept.file,
        .news = {},
        .kept = std::move(read.kept),
        .generations_path = generations_path(handover.directory, config.cluster),
        .config_file = handover.config_file,
        .directory = handover.directory,
        .program = handover.program,
        .segment = std::move(*segment),
        .listeners = resumed_listeners(handover, std::move(read.owners)),
        .stored = stored_names(handover.stored),
        .manager = posix::ServiceManager::at(handover.manager, watchdog),
        .signals = std::move(signals),
        .path_prefix = handover.directory + "/" + config.cluster,
        .control_path = handover.control_path,
        .lock_fd = handover.lock,
        .adoption = {},
        .handover = handover,
    };
}

}  // namespace

Result<ReadHandover> examine_handover(int state) {
    const Result<std::string> text = posix::read_sealed_text(state);
    if (!text) {
        return text.error();
    }
    auto handover = parse_handover(*text);
    if (!handover) {
        return handover.error();
    }
    auto kept = parse_generations(handover->generations);
    if (!kept) {
        return plain_error("the configuration in force: " + kept.error().message);
    }
    if (kept->legacy.base) {
        return plain_error("handed-over state: a reload is under way in it");
    }
    if (auto fits = shm::Segment::examine(segment_options(kept->legacy.current.config)); !fits) {
        return fits.error();
    }
    auto owners = posix::resolve_owners(listeners_of(kept->legacy.current.config, &*kept));
    if (!owners) {
        return owners.error();
    }
    return ReadHandover{std::move(*handover), std::move(*kept), std::move(*owners)};
}

int resume_master(const posix::Passed& passed, char** words) {
    if (passed.failed.empty()) {
        posix::arm_fall_back(words, passed);
    } else {
        (void)::prctl(PR_SET_NAME, "topsman");  // execveat(2) calls it by a descriptor's number
    }
    reached(UpgradeStage::Begun);
    Result<ReadHandover> read = examine_handover(passed.state);
    if (!read) {
        give_up(passed, read.error().message);
    }
    reached(UpgradeStage::Read);
    Handover& handover = read->handover;
    const Result<std::vector<int>> inherited = duplicate_all(handover);
    if (!inherited) {
        give_up(passed, inherited.error().message);
    }
    Result<UniqueFd> signals = posix::open_signal_fd();
    if (!signals) {
        give_up(passed, signals.error().message);
    }
    const UniqueFd lock(handover.lock);
    Journal journal(read->kept.legacy.current.config.log);
    Result<Foundation> foundation = lay_again(std::move(*read), std::move(*signals));
    if (!foundation) {
        give_up(passed, foundation.error().message);
    }
    reached(UpgradeStage::Opened);
    const ClusterRecord record = own_record(*foundation);
    Master master(std::move(*foundation), journal);
    if (Result<void> opened = master.open(); !opened) {
        give_up(passed, opened.error().message);
    }
    reached(UpgradeStage::Made);
    master.resume(passed.failed, [&] {
        reached(UpgradeStage::Ready);
        posix::disarm_fall_back();
        for (const int fd : *inherited) {
            (void)::close(fd);
        }
        (void)::close(passed.state);
        (void)::close(passed.old_image);
        posix::block_only_listened();
    });
    return run_to_end(master, record, journal);
}

}  // namespace topsman::supervisor
