#include "supervisor/control/progress.hpp"

#include "supervisor/control/text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <string_view>

namespace topsman::control {
namespace {

namespace json = boost::json;

struct Words {
    std::string_view event;
    std::string_view words;
};

// What is not here is not worth a line: each start is followed by a ready or an end, and that a
// rollout is done is the answer itself.
constexpr std::array<Words, 11> kWords{{{"rollout.started", "rollout started"},
                                        {"rollout.canary", "the first new worker stays"},
                                        {"rollout.failed", "rollout failed"},
                                        {"rollout.paused", "rollout paused"},
                                        {"rollout.rolled_back", "rolled back"},
                                        {"slot.drained", "drained"},
                                        {"slot.tripped", "given up"},
                                        {"slot.waiting", ""},
                                        {"worker.ready", "ready"},
                                        {"worker.draining", "leaving"},
                                        {"worker.exited", ""}}};

std::string text_of(const json::object& event, std::string_view key) {
    const json::value* value = event.if_contains(json::string_view(key.data(), key.size()));
    return value != nullptr && value->is_string() ? printable(std::string(value->get_string()))
                                                  : std::string();
}

std::optional<std::uint64_t> number_of(const json::object& event, std::string_view key) {
    const json::value* value = event.if_contains(json::string_view(key.data(), key.size()));
    boost::system::error_code error;
    const auto number = value == nullptr ? 0 : value->to_number<std::uint64_t>(error);
    return value == nullptr || error ? std::nullopt : std::optional(number);
}

/// "web", "web/0", "web/0 (pid 7833)"
std::string who(const json::object& event) {
    std::string name = text_of(event, "pool");
    if (const auto slot = number_of(event, "slot")) {
        name += "/" + std::to_string(*slot);
    }
    if (const auto pid = number_of(event, "pid")) {
        name += " (pid " + std::to_string(*pid) + ")";
    }
    return name;
}

}  // namespace

std::optional<std::string> progress_line(const std::string& event) {
    boost::system::error_code error;
    const json::value value = json::parse({event.data(), event.size()}, error);
    const json::object* object = error ? nullptr : value.if_object();
    if (object == nullptr) {
        return std::nullopt;
    }
    const std::string name = text_of(*object, "event");
    const auto* const known = std::find_if(kWords.begin(), kWords.end(),
                                           [&](const Words& words) { return words.event == name; });
    if (known == kWords.end()) {
        return std::nullopt;
    }
    std::string line = who(*object);
    for (const std::string& part : {std::string(known->words), text_of(*object, "reason"),
                                    name == "worker.exited" ? text_of(*object, "next") : ""}) {
        line += part.empty() ? "" : (line.empty() ? "" : ": ") + part;
    }
    return line;
}

Progress::Progress(const std::string& segment, std::ostream& out) : out_(out) {
    auto opened = shm::Segment::open_read_only(segment);
    if (opened) {
        segment_.emplace(std::move(*opened));
        last_ = segment_->events().last_seq();
    }
}

void Progress::tell() {
    if (!segment_) {
        return;
    }
    for (const shm::EventLine& event : segment_->events().read_since(last_)) {
        last_ = std::max(last_, event.seq);
        if (const auto line = progress_line(event.json)) {
            out_ << *line << '\n';
        }
    }
    tell_rollouts();
    out_ << std::flush;
}

/// How far each is: "web: rolling 2/4".
void Progress::tell_rollouts() {
    const shm::Scoreboard& board = segment_->scoreboard();
    shm::MasterRecord master{};
    if (!board.master.load(master)) {
        return;
    }
    for (std::uint32_t i = 0; i < std::min(master.pools, shm::kMaxPools); ++i) {
        shm::PoolRecord record{};
        if (!board.pools[i].load(record)) {
            continue;
        }
        const std::string rollout = printable(record.rollout);
        std::string& before = rollouts_[printable(record.name)];
        if (before != rollout && rollout.find('/') != std::string::npos) {
            out_ << printable(record.name) << ": " << rollout << '\n';
        }
        before = rollout;
    }
}

}  // namespace topsman::control
