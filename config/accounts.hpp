#pragma once

// Whether users and groups of a file exist. Names or numbers; an empty word means "not given".

#include <optional>
#include <string>

namespace topsman::config {

[[nodiscard]] std::optional<std::string> user_problem(const std::string& user);
[[nodiscard]] std::optional<std::string> group_problem(const std::string& group);

/// `user` or `user:group`.
[[nodiscard]] std::optional<std::string> owner_problem(const std::string& owner);

}  // namespace topsman::config
