#include "supervisor/control/table.hpp"

#include "supervisor/control/text.hpp"

#include <algorithm>

namespace topsman::control {
namespace {

// Hidden columns have this width.
constexpr std::size_t kHidden = 0;

const char* escape_of(Tint tint) {
    switch (tint) {
        case Tint::Bold:
            return "\x1b[1m";
        case Tint::Dim:
            return "\x1b[2m";
        case Tint::Good:
            return "\x1b[32m";
        case Tint::Warn:
            return "\x1b[33m";
        case Tint::Bad:
            return "\x1b[31m";
        case Tint::Plain:
            break;
    }
    return "";
}

}  // namespace

std::string tinted(const std::string& text, Tint tint, bool color) {
    if (!color || tint == Tint::Plain || text.empty()) {
        return text;
    }
    // The colour ends with the line, so that a pager or a cut line does not carry it on.
    const std::size_t end = text.back() == '\n' ? text.size() - 1 : text.size();
    return escape_of(tint) + text.substr(0, end) + "\x1b[0m" + text.substr(end);
}

std::vector<std::size_t> Table::natural_widths() const {
    std::vector<std::size_t> widths(columns_.size(), kHidden);
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < widths.size(); ++i) {
            widths[i] = std::max(widths[i], width(row[i].text));
        }
    }
    for (std::size_t i = 0; i < widths.size(); ++i) {
        if (widths[i] != kHidden) {
            widths[i] = std::max(widths[i], width(columns_[i].title));
        }
    }
    return widths;
}

void Table::fit(std::vector<std::size_t>& widths, std::size_t room) const {
    for (;;) {
        std::size_t total = 0;
        std::size_t least = columns_.size();
        std::size_t flexible = columns_.size();
        for (std::size_t i = 0; i < widths.size(); ++i) {
            if (widths[i] == kHidden) {
                continue;
            }
            total += widths[i] + (total == 0 ? 0 : kGap);
            if (least == columns_.size() || columns_[i].importance <= columns_[least].importance) {
                least = i;
            }
            if (columns_[i].flexible) {
                flexible = i;
            }
        }
        if (total <= room || least == columns_.size()) {
            return;
        }
        const std::size_t excess = total - room;
        if (flexible != columns_.size() && widths[flexible] >= excess + kShortest) {
            widths[flexible] -= excess;
            return;
        }
        widths[least] = kHidden;
    }
}

void Table::append_line(std::string& out, const std::vector<Cell>& row,
                        const std::vector<std::size_t>& widths, std::size_t indent,
                        bool color) const {
    std::string pending(indent, ' ');
    bool is_first = true;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        if (widths[i] == kHidden) {
            continue;
        }
        pending.append(is_first ? 0 : kGap, ' ');
        is_first = false;
        const std::string text = cut(row[i].text, widths[i]);
        const std::size_t blanks = widths[i] - std::min(width(text), widths[i]);
        if (columns_[i].right) {
            pending.append(blanks, ' ');
        }
        if (!text.empty()) {
            out += pending + tinted(text, row[i].tint, color);
            pending.clear();
        }
        if (!columns_[i].right) {
            pending.append(blanks, ' ');
        }
    }
    out += '\n';
}

std::string Table::render(std::size_t columns, bool color, std::size_t indent) const {
    std::vector<std::size_t> widths = natural_widths();
    if (columns != 0) {
        fit(widths, columns - std::min(indent, columns));
    }
    std::vector<Cell> titles;
    for (const Column& column : columns_) {
        titles.push_back({.text = column.title, .tint = Tint::Dim});
    }
    std::string out;
    append_line(out, titles, widths, indent, color);
    for (const auto& row : rows_) {
        append_line(out, row, widths, indent, color);
    }
    return out;
}

}  // namespace topsman::control
