#pragma once

// The way from a file to a Config: read (bounded), parse (yaml.cpp, the only user of yaml-cpp),
// validate. All problems are reported at once, each with its place and what to write instead.

#include "config/model.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace topsman::config {

/// One thing that is wrong, or odd, in a file.
struct Problem {
    std::string file;
    int line = 0;          ///< from 1; 0 when the place is the whole file
    int column = 0;        ///< from 1
    std::string path;      ///< "pools.web.restart"; empty for the whole file
    std::string sentence;  ///< what is wrong and what to write instead

    /// `file:line:column: pools.web.restart: sentence`
    [[nodiscard]] std::string text() const;
};

/// What loading a file gave: a config if and only if there are no errors. Warnings come with both.
struct Loaded {
    std::optional<Config> config;
    std::vector<Problem> errors;
    std::vector<Problem> warnings;
};

/// Facts about the machine that a file's meaning depends on; tests give their own.
struct Environment {
    std::uint32_t cpus = 1;                        ///< what `workers: auto` becomes: see cpus.hpp
    std::map<std::string, std::string> variables;  ///< for ${NAME} and ${NAME:-default}

    // What the kernel is set to, for warnings; nullopt: not known, no warning.
    std::optional<std::uint32_t> somaxconn;
    std::optional<std::uint32_t> tcp_migrate_req;
    std::optional<std::uint32_t> unix_dgram_qlen;
    std::optional<std::set<std::uint32_t>> online_cpus;

    [[nodiscard]] static Environment of_this_process();
};

/// Reads and checks the file at `path`. Never throws, never hangs, needs memory in proportion to
/// the file, which may have at most 1 MiB.
[[nodiscard]] Loaded load_file(const std::string& path, const Environment& environment);

/// The same for text that is already in memory; `path` names it in messages and resolves relative
/// paths.
[[nodiscard]] Loaded load_text(const std::string& text, const std::string& path,
                               const Environment& environment);

}  // namespace topsman::config
