#include "supervisor/posix/wait_state.hpp"

#include <charconv>
#include <string>

namespace topsman::posix {
namespace {

constexpr std::string_view kBlanks = " \t\n";

std::string_view take_word(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    return word;
}

template <class Number>
std::optional<Number> to_number(std::string_view word, int base) {
    Number number{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number, base);
    const bool whole = error == std::errc{} && end == word.data() + word.size();
    return whole ? std::optional(number) : std::nullopt;
}

/// The number after `name`, with or without blanks between.
template <class Number>
std::optional<Number> field(std::string_view line, std::string_view name, int base) {
    const std::size_t at = line.find(name);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    line.remove_prefix(at + name.size());
    return to_number<Number>(take_word(line), base);
}

}  // namespace

std::vector<EpollEntry> parse_epoll(std::string_view fdinfo) {
    std::vector<EpollEntry> entries;
    while (!fdinfo.empty()) {
        const std::string_view line = fdinfo.substr(0, fdinfo.find('\n'));
        fdinfo.remove_prefix(std::min(line.size() + 1, fdinfo.size()));
        const auto events = field<std::uint32_t>(line, " events:", 16);
        const auto inode = field<std::uint64_t>(line, " ino:", 16);
        if (line.starts_with("tfd:") && events && inode) {
            entries.push_back({*inode, *events});
        }
    }
    return entries;
}

std::optional<SystemCall> parse_syscall(std::string_view text) {
    SystemCall call;
    const auto number = to_number<long>(take_word(text), 10);
    if (!number || *number < 0) {
        return std::nullopt;
    }
    call.number = *number;
    for (std::uint64_t& argument : call.arguments) {
        const std::string_view word = take_word(text);
        const auto value =
            word.starts_with("0x") ? to_number<std::uint64_t>(word.substr(2), 16) : std::nullopt;
        if (!value) {
            return std::nullopt;
        }
        argument = *value;
    }
    return call;
}

std::optional<std::uint64_t> parse_socket(std::string_view link) {
    constexpr std::string_view kOpen = "socket:[";
    if (!link.starts_with(kOpen) || !link.ends_with(']')) {
        return std::nullopt;
    }
    return to_number<std::uint64_t>(link.substr(kOpen.size(), link.size() - kOpen.size() - 1), 10);
}

}  // namespace topsman::posix
