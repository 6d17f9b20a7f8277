#pragma once

// What is looked at before yaml-cpp sees a byte: size, encoding, control characters, tabs in the
// indentation, and how deep brackets nest. yaml-cpp accepts some of these silently, and queues up
// to 300 bytes for each open bracket.

#include "config/node.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace topsman::config {

/// The first reason to refuse this text, if there is one.
[[nodiscard]] std::optional<YamlProblem> refuse_text(std::string_view text);

/// The same text with line feeds only.
[[nodiscard]] std::string without_carriage_returns(std::string_view text);

}  // namespace topsman::config
