#pragma once

// The keys of the whole file: everything but what is inside of a pool or shared.

#include "config/schema.hpp"

#include <string>

namespace topsman::config {

/// What the top level says; `user` and `group` are defaults for pools and not part of a Config.
struct File {
    Config config;
    std::string user;
    std::string group;
};

void read_file_keys(Reader& reader, const Node& root, File& file);

}  // namespace topsman::config
