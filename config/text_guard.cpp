#include "config/text_guard.hpp"

#include "config/limits.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

namespace topsman::config {
namespace {

/// The length of the UTF-8 sequence at `at`, 0 if it is none (overlong forms and surrogates are
/// none: RFC 3629).
std::size_t utf8_length(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) -> unsigned {
        return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
    };
    const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
    const unsigned first = byte(0);
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        return tail(1) ? 2 : 0;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        const bool range = !(first == 0xE0 && byte(1) < 0xA0) && !(first == 0xED && byte(1) > 0x9F);
        return range && tail(1) && tail(2) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        const bool range = !(first == 0xF0 && byte(1) < 0x90) && !(first == 0xF4 && byte(1) > 0x8F);
        return range && tail(1) && tail(2) && tail(3) ? 4 : 0;
    }
    return 0;
}

std::string hex(unsigned byte) {
    std::array<char, 8> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "0x%02X", byte);
    return buffer.data();
}

std::optional<YamlProblem> refuse_bytes(std::string_view text) {
    Mark mark{1, 1};
    bool in_indentation = true;
    for (std::size_t at = 0; at < text.size();) {
        const auto c = static_cast<unsigned char>(text[at]);
        const std::size_t length = utf8_length(text, at);
        if (length == 0) {
            return YamlProblem{mark, "",
                               "byte " + hex(c) + " is not UTF-8: save the file as UTF-8"};
        }
        if (c == '\t' && in_indentation) {
            const std::size_t next = text.find_first_not_of(" \t\r", at);
            if (next != std::string_view::npos && text[next] != '\n' && text[next] != '#') {
                return YamlProblem{mark, "", "a tab in the indentation: write spaces"};
            }
        }
        const bool carriage_return = c == '\r' && at + 1 < text.size() && text[at + 1] == '\n';
        if ((c < 0x20 && c != '\n' && c != '\t' && !carriage_return) || c == 0x7F) {
            return YamlProblem{mark, "",
                               "control character " + hex(c) +
                                   ": remove it, or write it in double "
                                   "quotes with a backslash"};
        }
        in_indentation = c == '\n' || (in_indentation && (c == ' ' || c == '\t'));
        mark = c == '\n' ? Mark{mark.line + 1, 1} : Mark{mark.line, mark.column + 1};
        at += length;
    }
    return std::nullopt;
}

/// Counts open brackets, knowing just enough of YAML to leave quotes, comments, plain text and
/// block scalars out. Where it is wrong it counts too many, and only text with 64 of those suffers.
class BracketScan {
  public:
    explicit BracketScan(std::string_view text) : text_(text) {}

    std::optional<YamlProblem> run() {
        while (at_ < text_.size()) {
            if (at_line_start_ && depth_ == 0 && block_indent_ >= 0 && skip_block_line()) {
                continue;
            }
            token();
            if (depth_ > kMaxDepth) {
                return YamlProblem{{line_, static_cast<int>(at_ - line_start_)},
                                   "",
                                   "brackets nest deeper than " + std::to_string(kMaxDepth) +
                                       " levels: no valid file does"};
            }
        }
        return std::nullopt;
    }

  private:
    [[nodiscard]] char peek(std::size_t ahead = 0) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\n';
    }

    void advance() {
        if (peek() == '\n') {
            ++line_;
            line_start_ = at_ + 1;
            at_line_start_ = true;
            parent_ = -1;
        } else if (peek() != ' ' && peek() != '\t') {
            at_line_start_ = false;
        }
        ++at_;
    }

    void skip_line() {
        while (at_ < text_.size() && peek() != '\n') {
            ++at_;
        }
    }

    /// In a block scalar: skips a line of it; false when the scalar is over.
    bool skip_block_line() {
        const std::size_t begin = text_.find_first_not_of(' ', at_);
        const bool blank = begin == std::string_view::npos || text_[begin] == '\n';
        if (!blank && static_cast<int>(begin - line_start_) <= block_indent_) {
            block_indent_ = -1;
            return false;
        }
        skip_line();
        if (at_ < text_.size()) {
            advance();
        }
        return true;
    }

    void token() {
        const char c = peek();
        const int column = static_cast<int>(at_ - line_start_);
        if (c == '\n' || c == ' ' || c == '\t') {
            advance();
        } else if (c == '#') {
            skip_line();
        } else if (c == '"' || c == '\'') {
            note_parent(column);
            quoted(c);
        } else if (c == '[' || c == '{') {
            note_parent(column);
            ++depth_;
            advance();
        } else if (depth_ > 0 && (c == ']' || c == '}')) {
            --depth_;
            advance();
        } else if (depth_ > 0 && (c == ',' || c == ':')) {
            advance();
        } else if (depth_ == 0 && (c == '|' || c == '>')) {
            block_indent_ = std::max(parent_, 0);
            // At the top level the content may start in the first column only after "---".
            skip_line();
        } else if (c == '&' || c == '!') {
            word();
        } else if ((c == '-' || c == '?' || c == ':') && is_space(peek(1))) {
            if (c == '-') {
                parent_ = column;
            }
            advance();
        } else {
            note_parent(column);
            plain();
        }
    }

    void note_parent(int column) {
        // The first thing on a line, or after its "- ", is the key that a block scalar belongs to.
        if (depth_ == 0 && !keyed_on_line()) {
            parent_ = column;
            keyed_line_ = line_;
        }
    }

    [[nodiscard]] bool keyed_on_line() const { return keyed_line_ == line_; }

    static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t'; }

    void quoted(char quote) {
        advance();
        while (at_ < text_.size() && peek() != quote) {
            if (quote == '"' && peek() == '\\' && at_ + 1 < text_.size()) {
                advance();
            }
            advance();
        }
        advance();
    }

    void word() {
        while (at_ < text_.size() && !is_space(peek()) &&
               !(depth_ > 0 && std::string_view("[]{},").find(peek()) != std::string_view::npos)) {
            advance();
        }
    }

    void plain() {
        while (at_ < text_.size() && peek() != '\n') {
            if (peek() == ':' && is_space(peek(1))) {
                return;
            }
            if (is_space(peek()) && peek(1) == '#') {
                return;
            }
            if (depth_ > 0 && std::string_view("[]{},").find(peek()) != std::string_view::npos) {
                return;
            }
            advance();
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t line_start_ = 0;
    std::size_t depth_ = 0;
    int line_ = 1;
    int parent_ = -1;
    int keyed_line_ = 0;
    int block_indent_ = -1;
    bool at_line_start_ = true;
};

}  // namespace

std::optional<YamlProblem> refuse_text(std::string_view text) {
    if (text.size() > kMaxFileBytes) {
        return YamlProblem{{}, "", "the file is larger than 1 MiB: no cluster needs that"};
    }
    if (text.substr(0, 3) == "\xEF\xBB\xBF") {
        return YamlProblem{
            {1, 1}, "", "the file starts with a byte order mark: save it as UTF-8 without BOM"};
    }
    if (text.substr(0, 2) == "\xFF\xFE" || text.substr(0, 2) == "\xFE\xFF") {
        return YamlProblem{{1, 1}, "", "the file is UTF-16: save it as UTF-8"};
    }
    if (auto problem = refuse_bytes(text)) {
        return problem;
    }
    return BracketScan(text).run();
}

std::string without_carriage_returns(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') {
            result += text[i];
        }
    }
    return result;
}

}  // namespace topsman::config
