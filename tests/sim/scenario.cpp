#include "tests/sim/scenario.hpp"

#include <fstream>
#include <sstream>
#include <string_view>

namespace topsman::sim {
namespace {

constexpr std::string_view kSection = "--- ";
constexpr std::string_view kDeeds = "deeds";

std::vector<std::string> words_of(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) {
        words.push_back(word);
    }
    return words;
}

}  // namespace

Result<Scenario> read_scenario(const std::string& path) {
    std::ifstream in(path);
    if (!in) {
        return plain_error(path + ": it cannot be read");
    }
    Scenario scenario;
    std::string section;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with(kSection)) {
            section = line.substr(kSection.size());
        } else if (section == kDeeds) {
            const bool says_nothing = line.empty() || line.front() == '#';
            if (!says_nothing) {
                scenario.deeds.push_back({line, words_of(line)});
            }
        } else if (!section.empty()) {
            scenario.files[section] += line + "\n";
        }
    }
    if (!scenario.files.contains("cluster") || scenario.deeds.empty()) {
        return plain_error(path + ": a scenario has the sections cluster and deeds");
    }
    return scenario;
}

}  // namespace topsman::sim
