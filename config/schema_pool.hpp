#pragma once

// The keys of one pool.

#include "config/schema.hpp"

#include <vector>

namespace topsman::config {

void read_pool(Reader& reader, const At& at, Pool& pool);

/// The keys below "pools.NAME".
void add_pool_keys(std::vector<KnownKey>& keys);

/// What a key of `limits` is: its unit decides how its value is written.
enum class LimitUnit : std::uint8_t { Count, Bytes, Seconds };

struct LimitName {
    const char* name;
    LimitUnit unit;
};

[[nodiscard]] std::span<const LimitName> limit_names();

}  // namespace topsman::config
