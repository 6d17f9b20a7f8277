#pragma once

#include <string>
#include <string_view>

namespace topsman::shm {

/// Text from shared memory, made fit for a terminal and a log: one line, valid UTF-8, no control
/// characters. Line breaks and tabs become blanks, what is illegal becomes '?'.
[[nodiscard]] std::string printable_line(std::string_view text);

/// How many bytes of `text` fit into `size` without cutting a UTF-8 character in two.
[[nodiscard]] std::size_t utf8_prefix(std::string_view text, std::size_t size) noexcept;

}  // namespace topsman::shm
