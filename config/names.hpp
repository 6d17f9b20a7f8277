#pragma once

// The operator's words: which names are allowed, which known word an unknown one was meant to be,
// and how a word from a file is shown in a message.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::config {

inline constexpr const char* kNameRule = "a letter, then at most 31 letters, digits, - or _";

/// `[A-Za-z][A-Za-z0-9_-]{0,31}`
[[nodiscard]] bool is_name(std::string_view word);

/// `[A-Za-z_][A-Za-z0-9_]*`: the name of an environment variable.
[[nodiscard]] bool is_variable_name(std::string_view word);

/// The known word that is near enough to `word` to be what was meant; empty when there is none.
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> known);

/// `a`, `a and b`, `a, b and c`.
[[nodiscard]] std::string listed(std::span<const std::string> words,
                                 std::string_view last_joint = "and");

/// Text from a file as it may be shown on a terminal: control characters as \xNN, long text cut.
[[nodiscard]] std::string shown(std::string_view text);

}  // namespace topsman::config
