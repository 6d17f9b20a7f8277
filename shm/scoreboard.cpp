#include "shm/scoreboard.hpp"

#include "shm/base/check.hpp"
#include "shm/text.hpp"

#include <cstring>

namespace topsman::shm {

void put_text(char* to, std::size_t size, std::string_view text) noexcept {
    CHECK(size > 0);
    const std::size_t length = utf8_prefix(text.substr(0, text.find('\0')), size - 1);
    std::memcpy(to, text.data(), length);
    // To the end: what a longer text left behind must not reach a reader, who copies it all.
    std::memset(to + length, 0, size - length);
}

}  // namespace topsman::shm
