#pragma once

// The keys of what all workers share.

#include "config/schema.hpp"

#include <vector>

namespace topsman::config {

void read_shared(Reader& reader, const At& at, Shared& shared);

/// "shared." and what is below it.
void add_shared_keys(std::vector<KnownKey>& keys);

}  // namespace topsman::config
