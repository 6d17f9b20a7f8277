#pragma once

// How the keys of a pool are read that are more than one plain scalar and that only exec can
// change: command, environment, limits, umask, nice, cpu_affinity. The table that names them is the
// pool's.

#include "config/model.hpp"
#include "config/schema.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::config {

/// A program and its arguments, as a list.
void read_program(Reader& reader, const At& at, std::vector<std::string>& command);
void read_command(Reader& reader, const At& at, Pool& pool);
void read_environment(Reader& reader, const At& at, Pool& pool);
void read_limits(Reader& reader, const At& at, Pool& pool);
void read_cpu_affinity(Reader& reader, const At& at, Pool& pool);

[[nodiscard]] Result<std::optional<std::uint32_t>> parse_umask(std::string_view text);
[[nodiscard]] Result<std::optional<int>> parse_nice(std::string_view text);

}  // namespace topsman::config
