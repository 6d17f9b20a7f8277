#include "worker/environment.hpp"

#include "shm/base/slot_name.hpp"

#include <charconv>
#include <string_view>

namespace topsman::detail {

namespace {

using Get = std::function<const char*(const char*)>;

constexpr int kFirstListener = 3;  // SD_LISTEN_FDS_START, sd_listen_fds(3)
constexpr int kMaxDescriptors = 4'096;

template <class Number>
bool parse(std::string_view text, Number& number) {
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, number);
    return error == std::errc{} && at == end;
}

Error malformed(const char* variable, const char* value) {
    return plain_error(std::string(variable) + "=" + value +
                       ": not what a supervisor writes there");
}

/// Leaves `number` as it is when the variable is not set.
template <class Number>
Result<void> read_number(const Get& get, const char* variable, Number& number) {
    const char* text = get(variable);
    if (text != nullptr && !parse(std::string_view(text), number)) {
        return malformed(variable, text);
    }
    return {};
}

Result<void> read_descriptor(const Get& get, const char* variable, std::optional<int>& fd) {
    const char* text = get(variable);
    int number = -1;
    if (text == nullptr) {
        return {};
    }
    if (!parse(std::string_view(text), number) || number < kFirstListener) {
        return malformed(variable, text);
    }
    fd = number;
    return {};
}

Result<void> read_lane(const Get& get, Environment& into) {
    const char* text = get("TOPSMAN_LANE");
    if (text == nullptr) {
        return plain_error("TOPSMAN_SEGMENT_FD is set, but TOPSMAN_LANE is not");
    }
    const std::string_view both(text);
    const auto colon = both.find(':');
    if (colon == std::string_view::npos || !parse(both.substr(0, colon), into.lane) ||
        !parse(both.substr(colon + 1), into.lane_generation) || into.lane == 0) {
        return malformed("TOPSMAN_LANE", text);
    }
    return {};
}

/// The number of the process that a group of variables is for; nothing set: this one.
Result<bool> is_for(const Get& get, const char* variable, std::uint32_t pid) {
    std::uint32_t addressee = pid;
    if (auto done = read_number(get, variable, addressee); !done) {
        return done.error();
    }
    return addressee == pid;
}

Result<void> read_listeners(const Get& get, std::uint32_t pid, Environment& into) {
    // Unlike WATCHDOG_PID, LISTEN_PID is not optional (sd_listen_fds(3)).
    const auto ours = is_for(get, "LISTEN_PID", pid);
    if (!ours) {
        return ours.error();
    }
    int count = 0;
    if (auto done = read_number(get, "LISTEN_FDS", count); !done) {
        return done.error();
    }
    if (!*ours || get("LISTEN_PID") == nullptr || count <= 0) {
        return {};
    }
    if (count > kMaxDescriptors) {
        return malformed("LISTEN_FDS", get("LISTEN_FDS"));
    }
    const char* names = get("LISTEN_FDNAMES");
    std::string_view rest = names == nullptr ? std::string_view() : std::string_view(names);
    for (int i = 0; i < count; ++i) {
        const auto colon = rest.find(':');
        const std::string_view name = rest.substr(0, colon);
        into.listeners.push_back(
            {name.empty() ? std::string("unknown") : std::string(name), kFirstListener + i});
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
    return {};
}

Result<void> read_watchdog(const Get& get, std::uint32_t pid, Environment& into) {
    const auto ours = is_for(get, "WATCHDOG_PID", pid);
    if (!ours) {
        return ours.error();
    }
    std::int64_t microseconds = 0;
    if (auto done = read_number(get, "WATCHDOG_USEC", microseconds); !done) {
        return done.error();
    }
    if (*ours && microseconds > 0) {
        into.watchdog = std::chrono::microseconds(microseconds);
    }
    return {};
}

Result<void> read_identity(const Get& get, Environment& into) {
    for (auto [variable, text] :
         {std::pair{"TOPSMAN_CLUSTER", &into.cluster}, std::pair{"TOPSMAN_POOL", &into.pool}}) {
        if (const char* value = get(variable)) {
            *text = value;
        }
    }
    // A spare is started without a slot, see shm/lane.hpp.
    into.slot =
        get("TOPSMAN_WORKER") != nullptr && get("TOPSMAN_SLOT") == nullptr ? kNoSlot : into.slot;
    if (auto done = read_number(get, "TOPSMAN_SLOT", into.slot); !done) {
        return done;
    }
    if (auto done = read_number(get, "TOPSMAN_GENERATION", into.generation); !done) {
        return done;
    }
    return read_number(get, "TOPSMAN_WORKER", into.worker);
}

Result<void> read_segment(const Get& get, Environment& into) {
    if (auto done = read_descriptor(get, "TOPSMAN_SEGMENT_FD", into.segment_fd); !done) {
        return done;
    }
    if (into.segment_fd) {
        if (auto done = read_lane(get, into); !done) {
            return done;
        }
    }
    return read_descriptor(get, "TOPSMAN_WAKE_FD", into.wake_fd);
}

}  // namespace

Result<Environment> read_environment(const Get& get, std::uint32_t pid) {
    Environment environment;
    const auto ours = is_for(get, "TOPSMAN_PID", pid);
    if (!ours) {
        return ours.error();
    }
    if (!*ours) {
        return environment;  // A child of a worker: none of this was meant for it.
    }
    environment.is_supervised = get("TOPSMAN_PID") != nullptr;
    if (auto done = read_listeners(get, pid, environment); !done) {
        return done.error();
    }
    if (auto done = read_watchdog(get, pid, environment); !done) {
        return done.error();
    }
    if (const char* path = get("NOTIFY_SOCKET")) {
        environment.notify_socket = path;
    }
    if (!environment.is_supervised) {
        return environment;
    }
    if (auto done = read_identity(get, environment); !done) {
        return done.error();
    }
    if (auto done = read_segment(get, environment); !done) {
        return done.error();
    }
    return environment;
}

}  // namespace topsman::detail
