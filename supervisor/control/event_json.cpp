#include "supervisor/control/event_json.hpp"

#include "shm/base/check.hpp"
#include "shm/limits.hpp"
#include "supervisor/control/json_writer.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace topsman::control {
namespace {

// Below this a cut text says nothing: it is left out.
constexpr std::size_t kShortestText = 12;
constexpr std::string_view kEllipsis = "…";

void append_text(std::string& line, std::string_view key, std::string_view text) {
    // ,"KEY":"" and the closing brace.
    const std::size_t frame = key.size() + 6 + 1;
    if (text.empty() || line.size() + frame + kShortestText > shm::kEventBytes) {
        return;
    }
    const std::size_t room = shm::kEventBytes - line.size() - frame;
    Escaped escaped = escape_json(text, room);
    if (!escaped.whole) {
        escaped = escape_json(text, room - kEllipsis.size());
        escaped.text += kEllipsis;
    }
    line += ",\"";
    line += key;
    line += "\":\"";
    line += escaped.text;
    line += '"';
}

}  // namespace

std::string event_json(std::uint64_t seq, std::string_view time, const EventFields& fields) {
    JsonWriter w;
    w.begin_object().member("seq", seq).member("time", time).member("event", fields.event);
    if (fields.pool) {
        w.member("pool", fields.pool->substr(0, shm::kNameBytes));
    }
    if (fields.slot) {
        w.member("slot", std::uint64_t{*fields.slot});
    }
    if (fields.worker) {
        w.member("worker", *fields.worker);
    }
    if (fields.pid) {
        w.member("pid", std::uint64_t{*fields.pid});
    }
    for (const auto& [key, number] : fields.numbers) {
        w.member(key, number);
    }
    std::string line = w.take();
    CHECK(line.size() < shm::kEventBytes);
    for (const auto& [key, text] : fields.texts) {
        append_text(line, key, text);
    }
    line += '}';
    return line;
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
    using namespace std::chrono;
    const auto whole = floor<seconds>(time);
    const auto ms = duration_cast<milliseconds>(time - whole).count();
    const std::time_t unix_time = system_clock::to_time_t(whole);
    std::tm utc{};
    (void)::gmtime_r(&unix_time, &utc);
    std::array<char, 32> date{};
    (void)std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::array<char, 48> full{};
    (void)std::snprintf(full.data(), full.size(), "%s.%03dZ", date.data(), static_cast<int>(ms));
    return full.data();
}

}  // namespace topsman::control
