#include "supervisor/core/restart_policy.hpp"

#include <cerrno>
#include <csignal>

namespace topsman::core {
namespace {

bool is_clean_signal(int signal) {
    return signal == SIGHUP || signal == SIGINT || signal == SIGTERM || signal == SIGPIPE;
}

// systemd calls these "resources" and tries again where it would not after a failed exec.
bool is_shortage(int error) {
    return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

}  // namespace

Death classify(const ExitReport& report, bool forced) {
    Death death;
    switch (report.kind) {
        case ExitReport::Kind::Exited:
            death.clean = report.value == 0;
            death.misconfigured = report.value == kExitConfiguration;
            break;
        case ExitReport::Kind::Signaled:
            death.clean = is_clean_signal(report.value);
            death.abnormal = !death.clean;
            break;
        case ExitReport::Kind::SpawnFailed:
            death.abnormal = is_shortage(report.value);
            break;
        case ExitReport::Kind::Unknown:
            death.abnormal = true;
            break;
    }
    if (forced) {
        death.clean = false;
        death.abnormal = true;
    }
    return death;
}

bool wants_restart(config::RestartPolicy policy, const Death& death) {
    switch (policy) {
        case config::RestartPolicy::Always:
            return true;
        case config::RestartPolicy::OnFailure:
            return !death.clean;
        case config::RestartPolicy::OnAbnormal:
            return death.abnormal;
        case config::RestartPolicy::No:
            break;
    }
    return false;
}

const char* name_of(config::RestartPolicy policy) {
    switch (policy) {
        case config::RestartPolicy::Always:
            return "always";
        case config::RestartPolicy::OnFailure:
            return "on-failure";
        case config::RestartPolicy::OnAbnormal:
            return "on-abnormal";
        case config::RestartPolicy::No:
            break;
    }
    return "no";
}

}  // namespace topsman::core
