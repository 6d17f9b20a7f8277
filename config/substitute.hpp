#pragma once

// `${NAME}` and `${NAME:-default}` in the values of a tree, from the master's environment, so that
// one file serves several machines. Keys are never touched. `$${` is a plain `${`.

#include "config/node.hpp"

#include <map>
#include <string>
#include <vector>

namespace topsman::config {

/// `${LISTENER_FD:name}` stays as it is: the launcher alone knows that number.
inline constexpr const char* kListenerFd = "${LISTENER_FD:";

/// Returns the variables that are named and set.
std::map<std::string, std::string> substitute(Node& root,
                                              const std::map<std::string, std::string>& variables,
                                              std::vector<YamlProblem>& problems);

}  // namespace topsman::config
