#include "supervisor/posix/line_splitter.hpp"

#include <algorithm>

namespace topsman::posix {
namespace {

constexpr std::string_view kCut = "[...]";

/// Cuts `text` to its last `size` bytes, at the start of a line where there is one.
void keep_tail(std::string& text, std::size_t size) {
    if (text.size() <= size) {
        return;
    }
    text.erase(0, text.size() - size);
    const auto newline = text.find('\n');
    if (newline != std::string::npos && newline + 1 < text.size()) {
        text.erase(0, newline + 1);
    }
}

}  // namespace

void LineSplitter::end_line(std::string_view mark, const Line& line) {
    std::string whole = prefix_;
    if (continues_) {
        whole += kCut;
    }
    whole += line_;
    whole += mark;
    line(whole);
    remember(line_);
    line_.clear();
    continues_ = !mark.empty();
}

void LineSplitter::remember(std::string_view line) {
    if (line.empty()) {
        return;
    }
    last_words_.append(line.substr(line.size() - std::min(line.size(), kMaxLastWords)));
    last_words_ += '\n';
    keep_tail(last_words_, kMaxLastWords + 1);
}

void LineSplitter::feed(std::string_view bytes, const Line& line) {
    while (!bytes.empty()) {
        const auto newline = bytes.find('\n');
        const std::size_t room = kMaxLine - line_.size();
        const std::size_t length = std::min(newline, bytes.size());
        if (length > room) {
            line_.append(bytes.substr(0, room));
            bytes.remove_prefix(room);
            end_line(kCut, line);
            continue;
        }
        line_.append(bytes.substr(0, length));
        bytes.remove_prefix(length);
        if (newline != std::string_view::npos) {
            bytes.remove_prefix(1);
            end_line({}, line);
        }
    }
}

void LineSplitter::finish(const Line& line) {
    if (!line_.empty()) {
        end_line({}, line);
    }
    continues_ = false;
}

void LineSplitter::resume(Rest rest) {
    line_ = rest.line.substr(0, kMaxLine);
    continues_ = rest.continues;
    last_words_ = std::move(rest.last_words);
    keep_tail(last_words_, kMaxLastWords + 1);
}

std::string LineSplitter::last_words() const {
    std::string words = last_words_ + line_;
    if (!words.empty() && words.back() == '\n') {
        words.pop_back();
    }
    keep_tail(words, kMaxLastWords);
    std::string joined;
    for (const char c : words) {
        if (c == '\n') {
            joined += " / ";
        } else {
            joined += static_cast<unsigned char>(c) < 0x20U || c == '\x7f' ? ' ' : c;
        }
    }
    return joined.substr(joined.size() - std::min(joined.size(), kMaxLastWords));
}

}  // namespace topsman::posix
