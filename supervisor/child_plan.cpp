#include "supervisor/child_plan.hpp"

#include "supervisor/posix/cpu_mask.hpp"
#include "supervisor/posix/environment.hpp"

namespace topsman::supervisor {

namespace {

constexpr int kFirstListener = 3;  // sd_listen_fds(3)

std::map<std::string, std::string> own_variables(const ChildPlan& plan) {
    std::map<std::string, std::string> own{
        {"TOPSMAN_CLUSTER", plan.cluster},
        {"TOPSMAN_POOL", plan.spec.pool.name},
        {"TOPSMAN_GENERATION", std::to_string(plan.generation.value)},
        {"TOPSMAN_WORKER", std::to_string(plan.worker.value)}};
    // Which slot a spare will have nobody knows yet: its lane will say so.
    if (plan.slot.index != kNoSlot) {
        own["TOPSMAN_SLOT"] = std::to_string(plan.slot.index);
    }
    return own;
}

}  // namespace

posix::ChildSetup set_up_child(const ChildPlan& plan) {
    const config::Exec& exec = plan.spec.pool.exec;
    posix::ChildSetup setup;
    posix::EnvironmentInputs inputs;
    for (const auto& [name, fd] : plan.listeners) {
        inputs.listeners.emplace_back(name,
                                      kFirstListener + static_cast<int>(setup.listeners.size()));
        setup.listeners.push_back(fd);
    }
    inputs.base = posix::own_environment();
    inputs.env_file = plan.spec.env_file;
    inputs.environment = exec.environment;
    inputs.identity = plan.spec.identity ? &*plan.spec.identity : nullptr;
    inputs.user = exec.user;
    inputs.notify_socket = plan.notify_socket;
    inputs.watchdog = plan.spec.pool.watchdog.timeout;
    inputs.own = own_variables(plan);
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
    setup.working_directory = exec.working_directory;
    setup.umask = exec.umask;
    setup.limits = plan.spec.limits;
    setup.nice = exec.nice;
    setup.cpu_mask = posix::cpu_mask(exec.cpu_affinity, plan.slot.index);
    if (exec.on_master_death == config::OnMasterDeath::Stop) {
        setup.death_signal = plan.spec.pool.stop_signal;
    }
    setup.stdout_fd = plan.stdout_fd;
    setup.lock_fd = plan.lock_fd;
    if (const auto& identity = plan.spec.identity) {
        setup.uid = identity->uid;
        setup.gid = identity->gid;
        setup.groups = identity->groups;
    }
    setup.lane_word = &plan.lane.word;
    setup.lane_expected =
        shm::LaneWord{shm::LanePhase::Starting, plan.lane_generation, plan.epoch}.pack();
    setup.lane_started = shm::LaneWord{shm::LanePhase::Started, plan.lane_generation, 0}.pack();
    return setup;
}

}  // namespace topsman::supervisor
