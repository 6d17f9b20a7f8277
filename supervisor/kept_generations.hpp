#pragma once

// CLUSTER.generations: what the next master has to know of the configurations of this one, should
// this one die. The file on disk may say something else by then, or nothing that makes sense; what
// was rolled back is known to nobody else. It holds the texts that the generations were loaded
// from, the variables that these name, and what the files of variables held, so it is the master's
// own (0600) and lies where no worker can write: it decides what is executed.

#include "config/model.hpp"
#include "shm/base/result.hpp"
#include "supervisor/core/inheritance.hpp"
#include "supervisor/spec_book.hpp"

#include <string>
#include <string_view>

namespace topsman::supervisor {

struct KeptGenerations {
    core::Legacy legacy;
    SpecsByGeneration specs;  ///< of each generation that may be started again
    config::Config file;      ///< what the file said when it was read last

    /// Null: its specification is not known.
    [[nodiscard]] SpecPtr find(core::Generation generation, const std::string& pool) const {
        return find_spec(specs, generation, pool);
    }

    /// The same cluster, whose file is found elsewhere now.
    void move_to(const std::string& path);
};

[[nodiscard]] std::string generations_path(const std::string& dir, const std::string& cluster);

/// The text of it, and back. The error does not say where the text was.
[[nodiscard]] std::string generations_text(const core::Legacy& legacy,
                                           const SpecsByGeneration& specs,
                                           const config::Config& file);
[[nodiscard]] Result<KeptGenerations> parse_generations(std::string_view text);

/// Written whole or not at all; no flush to a disk, so it does not wait for one where the runtime
/// directory is in memory.
[[nodiscard]] Result<void> write_generations(const std::string& path, const core::Legacy& legacy,
                                             const SpecsByGeneration& specs,
                                             const config::Config& file);

/// Loads the texts again, as they were. Blocks on the user database. Errors:
/// errc::no_such_file_or_directory where nothing is kept; one that names the path where it is not
/// ours, not whole, or not to be loaded any more.
[[nodiscard]] Result<KeptGenerations> read_generations(const std::string& path);

}  // namespace topsman::supervisor
