#pragma once

// What must hold between keys: names that refer to others, sums over pools, words that the machine
// must know. Runs on what was read, and shows problems at the keys they come from.

#include "config/node.hpp"
#include "config/reader.hpp"

namespace topsman::config {

/// Errors: references, sums, users and groups, addresses.
void check_config(Reader& reader, const Node& root, const Config& config);

/// Warnings: what will start, but not as meant; looks at the machine.
void check_machine(Reader& reader, const Node& root, const Config& config);

}  // namespace topsman::config
