#pragma once

// The project's own sources, as text, for the tests that read them.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace topsman {

struct SourceFile {
    std::string path;  ///< below the root, "shm/base/result.hpp"
    std::string text;

    [[nodiscard]] bool is_below(std::string_view folder) const {
        return path.starts_with(folder) && path.size() > folder.size() &&
               path[folder.size()] == '/';
    }
};

/// All files below `folder` whose name ends in one of `suffixes`, sorted by path.
inline std::vector<SourceFile> read_sources(const std::string& folder,
                                            const std::vector<std::string>& suffixes) {
    namespace fs = std::filesystem;
    const fs::path root = TOPSMAN_SOURCE_DIR;
    std::vector<SourceFile> files;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        const std::string name = entry.path().filename().string();
        const bool wanted = std::any_of(suffixes.begin(), suffixes.end(),
                                        [&](const auto& end) { return name.ends_with(end); });
        if (!entry.is_regular_file() || !wanted) {
            continue;
        }
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        files.push_back({fs::relative(entry.path(), root).generic_string(), text.str()});
    }
    std::sort(files.begin(), files.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return files;
}

/// The lines of a text, without their ends.
inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    return lines;
}

}  // namespace topsman
