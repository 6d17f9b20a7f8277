#pragma once

// What a worker finds in its environment: the master's own, less what was meant for the master;
// then env_file, then environment, then what topsman says. Pure.

#include "supervisor/posix/launcher.hpp"

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace topsman::posix {

/// A listener's name and the descriptor it becomes in the worker.
using ListenerFds = std::vector<std::pair<std::string, int>>;

struct EnvironmentInputs {
    std::vector<std::string_view> base;  ///< "NAME=value": the master's own_variables()
    std::map<std::string, std::string> env_file;
    std::map<std::string, std::string> environment;
    /// Another user: HOME, USER, LOGNAME and SHELL are set to its.
    const Identity* identity = nullptr;
    std::string user;  ///< as written; empty: the master's own user, whatever `identity` is
    ListenerFds listeners;
    std::string notify_socket;
    std::chrono::milliseconds watchdog{0};   ///< 0: off
    std::map<std::string, std::string> own;  ///< TOPSMAN_*
};

/// "NAME=value" lines, each name once, ready for ChildSetup, which adds the process id as
/// LISTEN_PID, WATCHDOG_PID and TOPSMAN_PID.
[[nodiscard]] std::vector<std::string> build_environment(const EnvironmentInputs& inputs);

/// This process's environment as it is now.
[[nodiscard]] std::vector<std::string> own_environment();
/// The same, as long as nobody changes it.
[[nodiscard]] std::vector<std::string_view> own_variables();

/// `${LISTENER_FD:name}` becomes the number of that listener's descriptor. Names of no listener are
/// left as they are: the configuration's check has refused them.
[[nodiscard]] std::vector<std::string> expand_command(const std::vector<std::string>& command,
                                                      const ListenerFds& listeners);

}  // namespace topsman::posix
