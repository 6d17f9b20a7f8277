#pragma once

// Text to tree. yaml.cpp is the only file that knows yaml-cpp: it uses the library's parser as a
// stream of events, so that depth, size, aliases, anchors, tags, duplicate keys and the number of
// documents are our rules, and it lets no exception out.

#include "config/node.hpp"

#include <optional>
#include <string>
#include <vector>

namespace topsman::config {

struct ParsedYaml {
    std::optional<Node> root;  ///< missing when the text could not be read to its end
    std::vector<YamlProblem> problems;
};

[[nodiscard]] ParsedYaml parse_yaml(const std::string& text);

}  // namespace topsman::config
