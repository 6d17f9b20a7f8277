#include "config/names.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>

namespace topsman::config {
namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Edit distance where a swap of neighbours is one edit; letters' case counts nothing.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    std::vector<std::size_t> next(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        next[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + (same ? 0U : 1U)});
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                next[j] = std::min(next[j], before[j - 2] + 1);
            }
        }
        before.swap(row);
        row.swap(next);
    }
    return row[b.size()];
}

}  // namespace

bool is_name(std::string_view word) {
    return !word.empty() && word.size() <= 32 && is_letter(word[0]) &&
           std::all_of(word.begin(), word.end(),
                       [](char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '-'; });
}

bool is_variable_name(std::string_view word) {
    return !word.empty() && !is_digit(word[0]) && std::all_of(word.begin(), word.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '_';
    });
}

std::string nearest(std::string_view word, std::span<const std::string> known) {
    if (word.empty() || word.size() > 64) {
        return "";
    }
    std::string best;
    std::size_t best_distance = std::min<std::size_t>(2, word.size() / 2) + 1;
    for (const std::string& candidate : known) {
        const std::size_t d = distance(word, candidate);
        if (d < best_distance) {
            best = candidate;
            best_distance = d;
        }
    }
    if (!best.empty() || word.size() < 3) {
        return best;
    }
    for (const std::string& candidate : known) {
        if (candidate.starts_with(word) || word.starts_with(candidate)) {
            return candidate;
        }
    }
    return "";
}

std::string listed(std::span<const std::string> words, std::string_view last_joint) {
    std::string result;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) {
            result += i + 1 == words.size() ? " " + std::string(last_joint) + " " : ", ";
        }
        result += words[i];
    }
    return result;
}

std::string shown(std::string_view text) {
    constexpr std::size_t kLongest = 60;
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        // Cut only where a character starts, so that what is shown stays UTF-8.
        if (i >= kLongest && (c & 0xC0U) != 0x80U) {
            return result + "...";
        }
        // U+0080 to U+009F are control characters too: a terminal obeys them.
        const bool c1 =
            c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
        if (c < 0x20 || c == 0x7F || c1) {
            std::array<char, 8> buffer{};
            const unsigned code = c1 ? static_cast<unsigned char>(text[++i]) : c;
            std::snprintf(buffer.data(), buffer.size(), "\\x%02X", code);
            result += buffer.data();
        } else {
            result += text[i];
        }
    }
    return result;
}

}  // namespace topsman::config
