#include "supervisor/child_plan.hpp"

#include "supervisor/posix/cpu_mask.hpp"
#include "supervisor/posix/environment.hpp"

#include <csignal>

namespace topsman::supervisor {

namespace {

constexpr int kFirstListener = 3;  // sd_listen_fds(3)

/// What a worker's variables are made of, and those of whoever is to know which worker is meant.
posix::EnvironmentInputs inputs_for(const Spec& spec, const WorkerName& name) {
    posix::EnvironmentInputs inputs;
    inputs.base = posix::own_variables();
    inputs.env_file = spec.env_file;
    inputs.environment = spec.pool.exec.environment;
    inputs.identity = spec.identity ? &*spec.identity : nullptr;
    inputs.user = spec.pool.exec.user;
    inputs.own = {{"TOPSMAN_CLUSTER", name.cluster},
                  {"TOPSMAN_POOL", spec.pool.name},
                  {"TOPSMAN_GENERATION", std::to_string(name.generation.value)},
                  {"TOPSMAN_WORKER", std::to_string(name.worker.value)}};
    // Which slot a spare will have nobody knows yet: its lane will say so.
    if (name.slot.index != kNoSlot) {
        inputs.own["TOPSMAN_SLOT"] = std::to_string(name.slot.index);
    }
    return inputs;
}

/// As who, where and under which limits all of a pool's programs run.
void set_up_process(posix::ChildSetup& setup, const Spec& spec, core::SlotId slot, int lock_fd) {
    const config::Exec& exec = spec.pool.exec;
    setup.working_directory = exec.working_directory;
    setup.umask = exec.umask;
    setup.limits = spec.limits;
    setup.nice = exec.nice;
    setup.cpu_mask = posix::cpu_mask(exec.cpu_affinity, slot.index);
    setup.lock_fd = lock_fd;
    if (const auto& identity = spec.identity) {
        setup.uid = identity->uid;
        setup.gid = identity->gid;
        setup.groups = identity->groups;
    }
}

}  // namespace

posix::ChildSetup set_up_child(const ChildPlan& plan) {
    const config::Exec& exec = plan.spec.pool.exec;
    posix::ChildSetup setup;
    posix::EnvironmentInputs inputs = inputs_for(plan.spec, plan.name);
    for (const auto& [name, fd] : plan.listeners) {
        inputs.listeners.emplace_back(name,
                                      kFirstListener + static_cast<int>(setup.listeners.size()));
        setup.listeners.push_back(fd);
    }
    inputs.notify_socket = plan.notify_socket;
    inputs.watchdog = plan.spec.pool.watchdog.timeout;
    if (exec.segment == config::SegmentUse::Inherit) {
        int next = kFirstListener + static_cast<int>(setup.listeners.size());
        setup.segment_fd = plan.segment_fd;
        inputs.own["TOPSMAN_SEGMENT_FD"] = std::to_string(next++);
        setup.wake_fd = plan.wake_fd;
        inputs.own["TOPSMAN_WAKE_FD"] = std::to_string(next);
        inputs.own["TOPSMAN_LANE"] =
            std::to_string(plan.lane_number) + ":" + std::to_string(plan.lane_generation);
    }
    setup.environment = posix::build_environment(inputs);
    setup.command = posix::expand_command(exec.command, inputs.listeners);
    set_up_process(setup, plan.spec, plan.name.slot, plan.lock_fd);
    if (exec.on_master_death == config::OnMasterDeath::Stop) {
        setup.death_signal = plan.spec.pool.stop_signal;
    }
    setup.stdout_fd = plan.stdout_fd;
    setup.lane_word = &plan.lane.word;
    setup.lane_expected =
        shm::LaneWord{shm::LanePhase::Starting, plan.lane_generation, plan.epoch}.pack();
    setup.lane_started = shm::LaneWord{shm::LanePhase::Started, plan.lane_generation, 0}.pack();
    return setup;
}

posix::ChildSetup set_up_probe(const Spec& spec, const WorkerName& name, std::uint32_t pid,
                               int lock_fd) {
    posix::ChildSetup setup;
    setup.environment = posix::build_environment(inputs_for(spec, name));
    setup.about = pid;
    setup.command = spec.pool.ready.command;
    set_up_process(setup, spec, name.slot, lock_fd);
    setup.death_signal = SIGKILL;
    return setup;
}

}  // namespace topsman::supervisor
