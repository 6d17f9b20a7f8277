#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

namespace topsman::http {

struct Options {
    std::string listen;  ///< only without a supervisor
    bool reuse_port = false;
    std::int64_t stock = 1'000'000;
    std::chrono::milliseconds header_timeout{10'000};  ///< from a request's first byte to its last
    std::chrono::milliseconds idle_timeout{75'000};    ///< between two requests of a connection
    std::chrono::milliseconds drain_timeout{29'000};   ///< less than the usual stop_timeout, 30s
};

/// The options, or the status to exit with after --help, --version or a usage error.
[[nodiscard]] std::variant<Options, int> parse_options(int argc, const char* const* argv);

/// "250ms", "30s", "5m".
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(const std::string& text);

}  // namespace topsman::http
