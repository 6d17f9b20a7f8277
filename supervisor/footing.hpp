#pragma once

// What a start goes on with: what the file says, or what a dead master has kept. The second, if it
// left workers: what the file says by now is then rolled out like any other reload, and refused or
// undone like one. And if it left none, but the file is bad, or is what it had taken back: a master
// that crashes must not bring back what it had saved the cluster from.

#include "supervisor/config_loader.hpp"
#include "supervisor/kept_generations.hpp"

#include <optional>

namespace topsman::supervisor {

struct Footing {
    config::Config config;
    Specs specs;          ///< of its pools
    config::Config file;  ///< what the file said when it was read last
    /// What it says now, if that is not what the start goes on with.
    std::optional<Candidate> news;
    /// Where the start goes on with it.
    std::optional<KeptGenerations> kept;
};

/// A file that can be started from.
[[nodiscard]] bool is_good(const Candidate& file);

/// Of what the cluster's segment is made. `kept` is there if the file is not good.
[[nodiscard]] const config::Config& ground_config(const Candidate& file,
                                                  const std::optional<KeptGenerations>& kept);

[[nodiscard]] Footing choose_footing(Candidate file, std::optional<KeptGenerations> kept,
                                     bool has_workers);

}  // namespace topsman::supervisor
