#pragma once

// What the tests of config/ share: text in, problems out, and a folder that goes away.

#include "config/load.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace topsman::config {

inline Environment small_machine() {
    Environment environment;
    environment.cpus = 3;
    environment.variables = {{"HOME", "/root"}, {"EMPTY", ""}, {"PATH", "/usr/bin:/bin"}};
    return environment;
}

inline Loaded load(const std::string& text) {
    return load_text(text, "/srv/app/shop.yaml", small_machine());
}

/// All problems as an operator reads them, less the file's name.
inline std::vector<std::string> texts(const std::vector<Problem>& problems) {
    std::vector<std::string> lines;
    for (Problem problem : problems) {
        problem.file = "";
        lines.push_back(problem.text().substr(1));
    }
    return lines;
}

/// A pool `web` with these keys, one a line.
inline std::string pool(const std::string& keys) {
    return "pools:\n  web:\n    command: [sleep, inf]\n    " + keys + "\n";
}

class TempFolder {
  public:
    TempFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "topsman-XXXXXX").string();
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        path_ = pattern;
    }

    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    ~TempFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::string path(const std::string& name) const { return path_ + "/" + name; }

    std::string write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }

  private:
    std::string path_;
};

}  // namespace topsman::config
