// Following the configuration in force, and keeping what the next master has to know of it.

#include "shm/parking.hpp"
#include "supervisor/master.hpp"
#include "supervisor/shared_objects.hpp"

namespace topsman::supervisor {

// Another configuration is in force: by a reload, or because a reload has undone itself.
void Master::follow_config() {
    const config::Config& config = core_.config();
    journal_.configure(config.log);
    for (const std::string& complaint : base_.listeners.put_in_force(config.listeners)) {
        journal_.error(complaint);
    }
    publisher_.publish_listeners(base_.listeners.all());
    if (config.watch != config_watch_.has_value()) {
        watch_config(config.watch);
    }
    follow_shared();
    tell_note();
}

// Before anybody is started who asks for it. That there is room was seen when the file was read.
void Master::follow_shared() {
    if (core_.config().shared == shared_) {
        return;
    }
    shared_ = core_.config().shared;
    if (const auto declared = declare_shared(base_.segment, shared_); !declared) {
        journal_.warning(declared.error().message + ": a worker was faster");
    }
    // There may be more permits than there were for those who wait.
    shm::wake_everyone(base_.segment.lanes());
}

// What runs is not what the file said when it was read last: a reload was rolled back.
bool Master::differs_from_file() const {
    const config::Config& runs = core_.config();
    return runs.pools != file_config_.pools || runs.listeners != file_config_.listeners ||
           runs.log != file_config_.log || runs.watch != file_config_.watch ||
           runs.shared != file_config_.shared;
}

void Master::tell_note() {
    std::string note = config_watch_ ? "watching " + base_.config.file : "";
    if (differs_from_file()) {
        note += (note.empty() ? "" : "; ") +
                std::string("the file differs from what runs, which is ") + "generation " +
                std::to_string(core_.snapshot().generation.value);
    }
    if (!refused_.empty()) {
        note += (note.empty() ? "" : "; ") + ("the file was refused: " + refused_);
    }
    publisher_.set_note(note);
}

void Master::forget_old_specs() {
    std::set<core::Generation> used = core_.generations_in_use();
    for (const core::PoolView& pool : snapshot_.pools) {
        used.insert(pool.generation);
    }
    if (specs_.keep_only(used)) {
        keep_generations();
    }
}

void Master::keep_generations() {
    if (core_.snapshot().phase != core::Phase::Running) {
        return;  // what is put aside for the end is not what was decided
    }
    const Result<void> kept =
        write_generations(base_.generations_path, core_.legacy(), specs_.all(), file_config_);
    const std::string trouble = kept ? "" : kept.error().message;
    if (!kept && trouble != keeping_failed_) {
        journal_.warning(trouble + ": should the master die, the next one knows only the file");
    }
    keeping_failed_ = trouble;
}

}  // namespace topsman::supervisor
