#include "supervisor/control/event_json.hpp"

#include "shm/base/check.hpp"
#include "shm/limits.hpp"
#include "supervisor/control/json_writer.hpp"

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
    const auto day = floor<days>(whole);
    const year_month_day date(day);
    const hh_mm_ss clock(whole - day);
    std::string text;
    // Each event has one: by hand it takes a tenth of what strftime(3) and printf(3) take.
    const auto put = [&text](auto number, int digits, char after) {
        for (auto unit = digits == 4 ? 1'000U : digits == 3 ? 100U : 10U; unit > 0; unit /= 10) {
            text += static_cast<char>('0' + static_cast<unsigned>(number) / unit % 10U);
        }
        text += after;
    };
    put(static_cast<int>(date.year()), 4, '-');
    put(static_cast<unsigned>(date.month()), 2, '-');
    put(static_cast<unsigned>(date.day()), 2, 'T');
    put(clock.hours().count(), 2, ':');
    put(clock.minutes().count(), 2, ':');
    put(clock.seconds().count(), 2, '.');
    put(ms, 3, 'Z');
    return text;
}

}  // namespace topsman::control
