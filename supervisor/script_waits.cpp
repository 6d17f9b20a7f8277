#include "supervisor/script_waits.hpp"

#include <algorithm>
#include <utility>

namespace topsman::supervisor {
namespace {

// Between two looks. A script itself takes some milliseconds to start.
constexpr std::chrono::milliseconds kFirstPause{1};
constexpr std::chrono::milliseconds kLongestPause{50};

}  // namespace

void ScriptWaits::submit(const control::Request& request, const control::Responder& respond) {
    const auto job = ask_job(segment_, request);
    if (!job) {
        respond({"failed", job.error().message, {}});
        return;
    }
    waits_.push_back({*job, request.client, respond});
    pause_ = kFirstPause;
    look_later();
}

void ScriptWaits::look_later() {
    timer_.expires_after(pause_);
    timer_.async_wait([this](boost::system::error_code error) {
        if (!error) {
            look();
        }
    });
}

void ScriptWaits::look() {
    pause_ = std::min(2 * pause_, kLongestPause);
    std::erase_if(waits_, [this](const Wait& wait) {
        if (wait.client.expired()) {
            withdraw(segment_, wait.job);
            return true;
        }
        const auto answer = answer_of(segment_, wait.job);
        if (answer) {
            wait.respond(*answer);
        }
        return answer.has_value();
    });
    if (!waits_.empty()) {
        look_later();
    }
}

void ScriptWaits::give_up(const std::string& why) {
    timer_.cancel();
    for (const Wait& wait : std::exchange(waits_, {})) {
        withdraw(segment_, wait.job);
        wait.respond({"failed", why, {}});
    }
}

}  // namespace topsman::supervisor
