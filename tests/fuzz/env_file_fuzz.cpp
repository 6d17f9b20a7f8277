// Any text as a file of environment variables: names are names, nothing appears from nowhere.

#include "config/env_file.hpp"
#include "config/names.hpp"
#include "shm/base/check.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    const auto variables = topsman::config::parse_env_file(text, "fuzz.env");
    if (!variables) {
        CHECK(variables.error().message.starts_with("fuzz.env:"));
        return 0;
    }
    std::size_t total = 0;
    for (const auto& [name, value] : *variables) {
        CHECK(topsman::config::is_variable_name(name));
        CHECK(value.find('\0') == std::string::npos);
        total += name.size() + value.size() + 1;
    }
    CHECK(total <= size);
    return 0;
}
