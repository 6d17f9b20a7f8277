#include "supervisor/posix/memory_room.hpp"

#include "shm/base/unique_fd.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace topsman::posix {
namespace {

std::string text_of_file(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 8'192> text{};
    const ssize_t size = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} ? std::optional(number) : std::nullopt;
}

/// What follows `key` where it begins a line.
std::string_view after(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        if (line.starts_with(key)) {
            return line.substr(key.size());
        }
        text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
    return {};
}

}  // namespace

std::optional<std::uint64_t> parse_available(std::string_view meminfo) {
    const auto kilobytes = leading_number(after(meminfo, "MemAvailable:"));
    return kilobytes ? std::optional(*kilobytes * 1'024) : std::nullopt;
}

std::optional<std::uint64_t> parse_group_room(std::string_view max, std::string_view current) {
    const auto limit = leading_number(max);
    const auto used = leading_number(current);
    if (!limit || !used) {
        return std::nullopt;
    }
    return *limit - std::min(*limit, *used);
}

std::string_view parse_group(std::string_view cgroup) {
    return after(cgroup, "0::");
}

std::optional<std::uint64_t> available_memory() {
    const auto machine = parse_available(text_of_file("/proc/meminfo"));
    const std::string own = text_of_file("/proc/self/cgroup");
    const std::string folder = "/sys/fs/cgroup" + std::string(parse_group(own));
    const auto group = parse_group_room(text_of_file(folder + "/memory.max"),
                                        text_of_file(folder + "/memory.current"));
    return machine && group ? std::min(machine, group) : machine ? machine : group;
}

}  // namespace topsman::posix
