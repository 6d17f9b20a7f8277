#include "supervisor/control/commands.hpp"
#include "supervisor/control/json_writer.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>

namespace topsman::control {
namespace {

using Clock = std::chrono::steady_clock;

// How often a follower that hears nothing makes sure that it still listens to the right segment.
constexpr std::chrono::seconds kLookAgain{1};

/// The `event` of a line; none when the line is not an event (any worker can write to the segment).
std::optional<std::string> event_of(const std::string& line) {
    boost::system::error_code error;
    const auto value = boost::json::parse({line.data(), line.size()}, error);
    const auto* object = error ? nullptr : value.if_object();
    const auto* event = object == nullptr ? nullptr : object->if_contains("event");
    if (event == nullptr || !event->is_string() || line.find('\n') != std::string::npos) {
        return std::nullopt;
    }
    return std::string(event->get_string());
}

/// A line of our own among the master's.
std::string own_line(std::uint64_t seq, std::string_view event, std::uint64_t count) {
    JsonWriter w;
    w.begin_object().member("seq", seq).member("event", event);
    if (count != 0) {
        w.member("count", count);
    }
    return w.end_object().take();
}

class Follower {
  public:
    Follower(Located located, const Target& target, const Output& output,
             const EventsOptions& options)
        : located_(std::move(located)), target_(target), output_(output), options_(options) {}

    int run();

  private:
    [[nodiscard]] const shm::EventRing& ring() const { return located_.segment.events(); }

    bool print_new();
    bool listen_again();

    Located located_;
    const Target& target_;
    const Output& output_;
    const EventsOptions& options_;
    std::uint64_t last_ = 0;
    bool tells_losses_ = false;
};

int Follower::run() {
    const bool goes_on = options_.follow || options_.until.has_value();
    last_ = options_.since_given ? options_.since : goes_on ? ring().last_seq() : 0;
    tells_losses_ = options_.since_given || goes_on;
    const auto deadline =
        options_.timeout ? Clock::now() + *options_.timeout : Clock::time_point::max();
    for (;;) {
        if (print_new()) {
            return kExitDone;
        }
        if (!goes_on || !output_.out) {
            return kExitDone;
        }
        const auto now = Clock::now();
        if (now >= deadline) {
            if (!options_.until) {
                return kExitDone;
            }
            output_.err << "topsman: no event " << *options_.until << " in time" << std::endl;
            return kExitTimedOut;
        }
        if (!ring().wait(last_, std::min(deadline, now + kLookAgain)) && is_replaced(located_) &&
            !listen_again()) {
            output_.err << "topsman: the cluster has stopped" << std::endl;
            return options_.until ? kExitNotRunning : kExitDone;
        }
    }
}

/// True: the event that is waited for was among them.
bool Follower::print_new() {
    for (const shm::EventLine& line : ring().read_since(last_)) {
        if (line.seq <= last_) {
            continue;
        }
        if (tells_losses_ && line.seq > last_ + 1) {
            output_.out << own_line(last_ + 1, "events.lost", line.seq - last_ - 1) << '\n';
        }
        last_ = line.seq;
        tells_losses_ = true;
        const auto event = event_of(line.json);
        output_.out << (event ? line.json : own_line(line.seq, "events.unreadable", 0))
                    << std::endl;
        if (event && event == options_.until) {
            return true;
        }
    }
    return false;
}

/// A new master that could not keep the segment has made another: its events start at 1.
bool Follower::listen_again() {
    auto located = locate(target_);
    if (!located) {
        return false;
    }
    located_ = std::move(*located);
    last_ = 0;
    return true;
}

}  // namespace

int events(const Target& target, const Output& output, const EventsOptions& options) {
    auto located = locate(target);
    if (!located) {
        print_error(output, located.error().message);
        return kExitNotRunning;
    }
    return Follower(std::move(*located), target, output, options).run();
}

}  // namespace topsman::control
