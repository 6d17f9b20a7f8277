#pragma once

// What the operator reads about workers and times. Plain functions from values to text.

#include "supervisor/core/types.hpp"

#include <string>

namespace topsman::core {

/// "400ms", "5s", "2m30s", "1h": as the configuration file would say it.
[[nodiscard]] std::string in_words(Duration duration);

/// "exited with code 3", "killed by SIGSEGV (core dumped)", "could not be started: ...".
[[nodiscard]] std::string in_words(const ExitReport& report);

/// The same with the reason for which we ended it: "not ready within 30s (killed by SIGABRT)".
[[nodiscard]] std::string death_in_words(const ExitReport& report, const std::string& cause);

/// "generation 3".
[[nodiscard]] std::string in_words(Generation generation);

/// "SIGTERM"; "signal 77" where there is no name.
[[nodiscard]] std::string signal_name(int number);

/// "5 failures within 10s".
[[nodiscard]] std::string limit_in_words(const config::StartLimit& limit);

/// Why what a reload was about has come to nothing.
inline constexpr const char* kOvertaken = "overtaken by a newer reload";

/// "1 worker", "4 workers".
[[nodiscard]] std::string counted(std::uint64_t number, const std::string& noun);

}  // namespace topsman::core
