#include "supervisor/control/json_writer.hpp"

#include "supervisor/control/text.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace topsman::control {
namespace {

std::string escaped_character(std::string_view character) {
    constexpr std::string_view kHex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(character[0]);
    switch (byte) {
        case '"':
            return "\\\"";
        case '\\':
            return "\\\\";
        case '\n':
            return "\\n";
        case '\t':
            return "\\t";
        default:
            break;
    }
    if (byte < 0x20 || byte == 0x7f) {
        return std::string("\\u00") + kHex[byte >> 4U] + kHex[byte & 0xfU];
    }
    return std::string(character);
}

}  // namespace

Escaped escape_json(std::string_view text, std::size_t limit) {
    Escaped result;
    result.text.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        const std::string next = length == 0 ? "?" : escaped_character(text.substr(0, length));
        if (next.size() > limit - result.text.size()) {
            result.whole = false;
            break;
        }
        result.text += next;
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return result;
}

JsonWriter& JsonWriter::open(char bracket) {
    separate();
    text_ += bracket;
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
    text_ += bracket;
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    separate();
    text_ += '"';
    text_ += escape_json(name).text;
    text_ += "\":";
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
    return raw('"' + escape_json(text).text + '"');
}

JsonWriter& JsonWriter::value(std::uint64_t number) {
    return raw(std::to_string(number));
}

JsonWriter& JsonWriter::value(std::int64_t number) {
    return raw(std::to_string(number));
}

JsonWriter& JsonWriter::value(bool yes) {
    return raw(yes ? "true" : "false");
}

JsonWriter& JsonWriter::seconds(double s) {
    if (!std::isfinite(s)) {
        return raw("null");
    }
    std::array<char, 400> buffer{};
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), s, std::chars_format::fixed, 3);
    return raw(std::string_view(buffer.data(), end.ptr));
}

JsonWriter& JsonWriter::raw(std::string_view text) {
    separate();
    text_ += text;
    comma_ = true;
    return *this;
}

void JsonWriter::separate() {
    if (comma_) {
        text_ += ',';
    }
}

}  // namespace topsman::control
