#include "supervisor/posix/notify_socket.hpp"

#include <charconv>

namespace topsman::posix {
namespace {

template <class Number>
std::optional<Number> parse(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

/// A status text goes to terminals and logs: no escape sequence of a worker may get there.
std::string printable(std::string_view text) {
    std::string clean(text);
    for (char& c : clean) {
        if (static_cast<unsigned char>(c) < 0x20U || c == '\x7f') {
            c = ' ';
        }
    }
    return clean;
}

void apply(NotifyMessage& message, std::string_view name, std::string_view value) {
    if (name == "READY") {
        message.ready = message.ready || value == "1";
    } else if (name == "STOPPING") {
        message.stopping = message.stopping || value == "1";
    } else if (name == "WATCHDOG") {
        message.watchdog = message.watchdog || value == "1";
        message.watchdog_trigger = message.watchdog_trigger || value == "trigger";
    } else if (name == "STATUS") {
        message.status = printable(value);
    } else if (name == "ERRNO") {
        message.error_number = parse<int>(value);
    } else if (name == "EXTEND_TIMEOUT_USEC") {
        // More than 292,000 years does not fit the type and is nobody's intention.
        if (const auto usec = parse<std::int64_t>(value); usec && *usec >= 0) {
            message.extend_timeout = std::chrono::microseconds(*usec);
        }
    }
}

}  // namespace

NotifyMessage parse_notify(std::string_view datagram) {
    NotifyMessage message;
    while (!datagram.empty()) {
        const auto end = std::min(datagram.find('\n'), datagram.size());
        const std::string_view line = datagram.substr(0, end);
        if (const auto equals = line.find('='); equals != std::string_view::npos) {
            apply(message, line.substr(0, equals), line.substr(equals + 1));
        }
        datagram.remove_prefix(std::min(end + 1, datagram.size()));
    }
    return message;
}

}  // namespace topsman::posix
