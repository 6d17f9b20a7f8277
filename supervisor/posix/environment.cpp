#include "supervisor/posix/environment.hpp"

#include <array>
#include <string_view>
#include <unistd.h>

namespace topsman::posix {
namespace {

using Variables = std::map<std::string, std::string>;

/// Meant for the master, by its own service manager or by another topsman above it.
bool is_the_masters(std::string_view name) {
    return name.starts_with("LISTEN_") || name.starts_with("WATCHDOG_") ||
           name.starts_with("TOPSMAN_") || name == "NOTIFY_SOCKET";
}

void put_user(Variables& variables, const Identity& user, const std::string& as_written) {
    const std::string& name = user.name.empty() ? as_written : user.name;
    const std::array entries{std::pair{"HOME", user.home}, std::pair{"USER", name},
                             std::pair{"LOGNAME", name}, std::pair{"SHELL", user.shell}};
    for (const auto& [variable, value] : entries) {
        // Where an account does not say, the master's own would be a lie.
        if (value.empty()) {
            variables.erase(variable);
        } else {
            variables[variable] = value;
        }
    }
}

std::string joined_names(const ListenerFds& listeners) {
    std::string names;
    for (const auto& [name, fd] : listeners) {
        names += (names.empty() ? "" : ":") + name;
    }
    return names;
}

}  // namespace

std::vector<std::string> own_environment() {
    std::vector<std::string> lines;
    for (char** line = ::environ; line != nullptr && *line != nullptr; ++line) {
        lines.emplace_back(*line);
    }
    return lines;
}

std::vector<std::string> build_environment(const EnvironmentInputs& inputs) {
    Variables variables;
    for (const std::string& line : inputs.base) {
        const std::size_t equals = line.find('=');
        if (equals != std::string::npos && equals != 0 &&
            !is_the_masters(std::string_view(line).substr(0, equals))) {
            variables[line.substr(0, equals)] = line.substr(equals + 1);
        }
    }
    if (inputs.identity != nullptr && !inputs.user.empty()) {
        put_user(variables, *inputs.identity, inputs.user);
    }
    for (const auto* layer : {&inputs.env_file, &inputs.environment, &inputs.own}) {
        for (const auto& [name, value] : *layer) {
            variables[name] = value;
        }
    }
    if (!inputs.listeners.empty()) {
        variables["LISTEN_FDS"] = std::to_string(inputs.listeners.size());
        variables["LISTEN_FDNAMES"] = joined_names(inputs.listeners);
    }
    if (!inputs.notify_socket.empty()) {
        variables["NOTIFY_SOCKET"] = inputs.notify_socket;
    }
    if (inputs.watchdog.count() > 0) {
        variables["WATCHDOG_USEC"] =
            std::to_string(std::chrono::microseconds(inputs.watchdog).count());
    }
    std::vector<std::string> lines;
    lines.reserve(variables.size());
    for (const auto& [name, value] : variables) {
        lines.push_back(name + "=" + value);
    }
    return lines;
}

std::vector<std::string> expand_command(const std::vector<std::string>& command,
                                        const ListenerFds& listeners) {
    std::vector<std::string> expanded = command;
    for (std::string& word : expanded) {
        for (const auto& [name, fd] : listeners) {
            const std::string variable = "${LISTENER_FD:" + name + "}";
            const std::string number = std::to_string(fd);
            for (std::size_t at = 0; (at = word.find(variable, at)) != std::string::npos;
                 at += number.size()) {
                word.replace(at, variable.size(), number);
            }
        }
    }
    return expanded;
}

}  // namespace topsman::posix
