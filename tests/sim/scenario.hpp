#pragma once

// What an operator does, in plain words, and what he waits for: one file that the simulated world
// and the real one act out alike (tests/differential/README.md has the words).

#include "shm/base/result.hpp"

#include <map>
#include <string>
#include <vector>

namespace topsman::sim {

struct Deed {
    std::string text;  ///< the whole line
    std::vector<std::string> words;
};

struct Scenario {
    std::map<std::string, std::string> files;  ///< YAML, by the name that `reload` has for it
    std::vector<Deed> deeds;
};

[[nodiscard]] Result<Scenario> read_scenario(const std::string& path);

}  // namespace topsman::sim
