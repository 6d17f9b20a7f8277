#include "shm/text.hpp"

#include <cstdint>

namespace topsman::shm {
namespace {

/// Length of the UTF-8 character at the start of `text`; 0 if it is none (Unicode 15, table 3-7).
std::size_t utf8_character(std::string_view text) noexcept {
    const auto at = [text](std::size_t i) -> std::uint32_t {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto is_tail = [&at](std::size_t i) { return (at(i) & 0xc0U) == 0x80U; };
    const std::uint32_t first = at(0);
    if (first < 0x80U) {
        return 1;
    }
    if (first >= 0xc2U && first <= 0xdfU && is_tail(1)) {
        return 2;
    }
    if ((first & 0xf0U) == 0xe0U && is_tail(1) && is_tail(2)) {
        const bool is_overlong = first == 0xe0U && at(1) < 0xa0U;
        const bool is_surrogate = first == 0xedU && at(1) > 0x9fU;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    if (first >= 0xf0U && first <= 0xf4U && is_tail(1) && is_tail(2) && is_tail(3)) {
        const bool is_overlong = first == 0xf0U && at(1) < 0x90U;
        const bool is_too_high = first == 0xf4U && at(1) > 0x8fU;
        return is_overlong || is_too_high ? 0 : 4;
    }
    return 0;
}

/// C0, DEL and C1: what a terminal would obey instead of showing it.
bool is_control(std::string_view character) noexcept {
    const auto first = static_cast<unsigned char>(character[0]);
    if (character.size() == 1) {
        return first < 0x20 || first == 0x7f;
    }
    return character.size() == 2 && first == 0xc2 &&
           static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

std::string printable_line(std::string_view text) {
    std::string line;
    line.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8_character(text);
        const std::string_view character = text.substr(0, length == 0 ? 1 : length);
        if (character == "\n" || character == "\t" || character == "\r") {
            line += ' ';
        } else if (length == 0 || is_control(character)) {
            line += '?';
        } else {
            line += character;
        }
        text.remove_prefix(character.size());
    }
    while (!line.empty() && line.back() == ' ') {
        line.pop_back();
    }
    return line;
}

std::size_t utf8_prefix(std::string_view text, std::size_t size) noexcept {
    if (text.size() <= size) {
        return text.size();
    }
    std::size_t end = size;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) {
        --end;
    }
    return end;
}

}  // namespace topsman::shm
