#include "supervisor/core/words.hpp"

#include <chrono>
#include <cstring>

namespace topsman::core {

std::string in_words(Duration duration) {
    using std::chrono::milliseconds;
    const auto whole = std::chrono::duration_cast<milliseconds>(duration);
    const std::int64_t ms = whole.count();
    if (ms <= 0) {
        return "0s";
    }
    if (ms < 1000) {
        return std::to_string(ms) + "ms";
    }
    if (ms < 60'000) {
        const std::int64_t tenths = (ms % 1000) / 100;
        const std::string fraction = tenths == 0 ? "" : "." + std::to_string(tenths);
        return std::to_string(ms / 1000) + fraction + "s";
    }
    const std::int64_t seconds = ms / 1000;
    const std::int64_t hours = seconds / 3600;
    const std::int64_t minutes = seconds % 3600 / 60;
    std::string text = hours > 0 ? std::to_string(hours) + "h" : "";
    text += minutes > 0 ? std::to_string(minutes) + "m" : "";
    text += seconds % 60 > 0 ? std::to_string(seconds % 60) + "s" : "";
    return text;
}

std::string in_words(Generation generation) {
    return "generation " + std::to_string(generation.value);
}

std::string signal_name(int number) {
    const char* name = ::sigabbrev_np(number);
    return name == nullptr ? "signal " + std::to_string(number) : "SIG" + std::string(name);
}

std::string in_words(const ExitReport& report) {
    switch (report.kind) {
        case ExitReport::Kind::Exited:
            return "exited with code " + std::to_string(report.value);
        case ExitReport::Kind::Signaled:
            return "killed by " + signal_name(report.value) +
                   (report.core_dumped ? " (core dumped)" : "");
        case ExitReport::Kind::SpawnFailed:
            return "could not be started: " + (report.detail.empty()
                                                   ? "error " + std::to_string(report.value)
                                                   : report.detail);
        case ExitReport::Kind::Unknown:
            break;
    }
    return "ended, nobody knows how";
}

std::string death_in_words(const ExitReport& report, const std::string& cause) {
    return cause.empty() ? in_words(report) : cause + " (" + in_words(report) + ")";
}

std::string limit_in_words(const config::StartLimit& limit) {
    return counted(limit.burst, "failure") + " within " + in_words(limit.interval);
}

std::string counted(std::uint64_t number, const std::string& noun) {
    return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

}  // namespace topsman::core
