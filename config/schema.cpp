#include "config/schema.hpp"

#include <algorithm>
#include <iterator>

namespace topsman::config {
namespace {

struct Synonym {
    std::string_view elsewhere;
    std::string_view here;
};

// What PM2, systemd, supervisord, uWSGI, Docker and gunicorn call it.
constexpr Synonym kSynonyms[] = {
    {"args", "command"},
    {"autorestart", "restart"},
    {"bind", "address"},
    {"cmd", "command"},
    {"cwd", "working_directory"},
    {"directory", "working_directory"},
    {"env", "environment"},
    {"exec", "command"},
    {"gid", "group"},
    {"instances", "workers"},
    {"kill_timeout", "stop_timeout"},
    {"listen", "listeners"},
    {"numprocs", "workers"},
    {"port", "address"},
    {"processes", "workers"},
    {"replicas", "workers"},
    {"rlimits", "limits"},
    {"script", "command"},
    {"sockets", "listeners"},
    {"stopsignal", "stop_signal"},
    {"uid", "user"},
};

}  // namespace

std::string meant_key(std::string_view key, std::span<const std::string> known) {
    for (const Synonym& synonym : kSynonyms) {
        if (synonym.elsewhere == key &&
            std::find(known.begin(), known.end(), synonym.here) != known.end()) {
            return std::string(synonym.here);
        }
    }
    return nearest(key, known);
}

bool is_harmless(const Node& value, const char* unless) {
    if (value.kind == Node::Kind::Map || value.kind == Node::Kind::List) {
        return value.items.empty() && value.entries.empty() && unless != nullptr &&
               std::string_view(unless) == "{}";
    }
    return value.kind == Node::Kind::Scalar && unless != nullptr && value.text == unless;
}

}  // namespace topsman::config
