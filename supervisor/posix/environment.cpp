#include "supervisor/posix/environment.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace topsman::posix {
namespace {

/// "NAME=value" lines, each name once. Some dozens of lines are looked through faster than a map of
/// them is made.
class Lines {
  public:
    void put(std::string_view name, std::string_view value) {
        std::string line;
        line.reserve(name.size() + 1 + value.size());
        line.append(name).append("=").append(value);
        if (const auto there = find(name); there != lines_.end()) {
            *there = std::move(line);
        } else {
            lines_.push_back(std::move(line));
        }
    }

    void erase(std::string_view name) {
        if (const auto there = find(name); there != lines_.end()) {
            lines_.erase(there);
        }
    }

    [[nodiscard]] std::vector<std::string> take() { return std::move(lines_); }

  private:
    std::vector<std::string>::iterator find(std::string_view name) {
        return std::find_if(lines_.begin(), lines_.end(), [name](const std::string& line) {
            return line.size() > name.size() && line[name.size()] == '=' && line.starts_with(name);
        });
    }

    std::vector<std::string> lines_;
};

/// Meant for the master, by its own service manager or by another topsman above it.
bool is_the_masters(std::string_view name) {
    return name.starts_with("LISTEN_") || name.starts_with("WATCHDOG_") ||
           name.starts_with("TOPSMAN_") || name == "NOTIFY_SOCKET";
}

void put_user(Lines& lines, const Identity& user, const std::string& as_written) {
    const std::string& name = user.name.empty() ? as_written : user.name;
    const std::array entries{std::pair{"HOME", user.home}, std::pair{"USER", name},
                             std::pair{"LOGNAME", name}, std::pair{"SHELL", user.shell}};
    for (const auto& [variable, value] : entries) {
        // Where an account does not say, the master's own would be a lie.
        if (value.empty()) {
            lines.erase(variable);
        } else {
            lines.put(variable, value);
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
    const auto lines = own_variables();
    return {lines.begin(), lines.end()};
}

std::vector<std::string_view> own_variables() {
    std::vector<std::string_view> lines;
    for (char** line = ::environ; line != nullptr && *line != nullptr; ++line) {
        lines.emplace_back(*line);
    }
    return lines;
}

std::vector<std::string> build_environment(const EnvironmentInputs& inputs) {
    Lines lines;
    for (const std::string_view line : inputs.base) {
        const std::size_t equals = line.find('=');
        if (equals != std::string_view::npos && equals != 0 &&
            !is_the_masters(line.substr(0, equals))) {
            lines.put(line.substr(0, equals), line.substr(equals + 1));
        }
    }
    if (inputs.identity != nullptr && !inputs.user.empty()) {
        put_user(lines, *inputs.identity, inputs.user);
    }
    for (const auto* layer : {&inputs.env_file, &inputs.environment, &inputs.own}) {
        for (const auto& [name, value] : *layer) {
            lines.put(name, value);
        }
    }
    if (!inputs.listeners.empty()) {
        lines.put("LISTEN_FDS", std::to_string(inputs.listeners.size()));
        lines.put("LISTEN_FDNAMES", joined_names(inputs.listeners));
    }
    if (!inputs.notify_socket.empty()) {
        lines.put("NOTIFY_SOCKET", inputs.notify_socket);
    }
    if (inputs.watchdog.count() > 0) {
        lines.put("WATCHDOG_USEC",
                  std::to_string(std::chrono::microseconds(inputs.watchdog).count()));
    }
    return lines.take();
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
