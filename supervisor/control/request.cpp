#include "supervisor/control/request.hpp"

#include "shm/limits.hpp"
#include "supervisor/control/json_writer.hpp"
#include "supervisor/control/text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <array>
#include <charconv>
#include <limits>

namespace topsman::control {
namespace {

namespace json = boost::json;

struct Path {
    std::string_view path;
    Request::Verb verb;
};

constexpr std::array<Path, 8> kPaths{{{"/v1/reload", Request::Verb::Reload},
                                      {"/v1/rollback", Request::Verb::Rollback},
                                      {"/v1/restart", Request::Verb::Restart},
                                      {"/v1/scale", Request::Verb::Scale},
                                      {"/v1/stop", Request::Verb::Stop},
                                      {"/v1/reset-failed", Request::Verb::ResetFailed},
                                      {"/v1/queue", Request::Verb::Queue},
                                      {"/v1/plan", Request::Verb::Plan}}};

std::optional<std::uint32_t> to_count(const json::value& value) {
    std::uint64_t number = 0;
    if (const auto* i = value.if_int64(); i != nullptr && *i >= 0) {
        number = static_cast<std::uint64_t>(*i);
    } else {
        return std::nullopt;
    }
    if (number > std::numeric_limits<std::uint32_t>::max()) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(number);
}

std::optional<std::string> to_name(const json::value& value) {
    const auto* text = value.if_string();
    if (text == nullptr || text->empty() || text->size() >= shm::kNameBytes) {
        return std::nullopt;
    }
    return std::string(text->data(), text->size());
}

/// As a string, because the numbers of JSON are not safe beyond 2^53.
std::optional<std::uint64_t> to_job(const json::value& value) {
    const std::string text = to_name(value).value_or("");
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

/// One member of the body. The sentence that is wrong with it, empty when nothing is.
std::string take_member(Request& request, std::string_view key, const json::value& value) {
    using Verb = Request::Verb;
    const Verb verb = request.verb;
    if (key == "wait") {
        const auto* wait = value.if_bool();
        request.wait = wait == nullptr || *wait;
        return wait != nullptr ? "" : "wait must be true or false";
    }
    if (key == "pool" &&
        (verb == Verb::Restart || verb == Verb::Scale || verb == Verb::ResetFailed)) {
        request.pool = to_name(value);
        return request.pool ? "" : "pool must be a pool's name";
    }
    if (key == "slot" && verb == Verb::Restart) {
        request.slot = to_count(value);
        return request.slot ? "" : "slot must be a slot's number";
    }
    if (key == "workers" && verb == Verb::Scale) {
        const auto workers = to_count(value);
        request.workers = workers.value_or(0);
        return request.workers > 0 ? "" : "workers must be a number from 1 on";
    }
    if (key == "mode" && verb == Verb::Stop) {
        const auto mode = to_name(value);
        request.mode = mode.value_or("");
        const bool known =
            request.mode == "graceful" || request.mode == "fast" || request.mode == "now";
        return known ? "" : "mode must be \"graceful\", \"fast\" or \"now\"";
    }
    if (key == "queue" && verb == Verb::Queue) {
        request.queue = to_name(value);
        return request.queue ? "" : "queue must be a queue's name";
    }
    if (key == "action" && verb == Verb::Queue) {
        request.mode = to_name(value).value_or("");
        const bool known = request.mode == "retry" || request.mode == "drop";
        return known ? "" : "action must be \"retry\" or \"drop\"";
    }
    if (key == "job" && verb == Verb::Queue) {
        request.job = to_job(value);
        return request.job ? "" : "job must be a dead letter's number, as a string";
    }
    return "unknown key \"" + printable(key.substr(0, 64)) + "\"";
}

}  // namespace

std::optional<Request::Verb> verb_of(std::string_view path) noexcept {
    for (const Path& known : kPaths) {
        if (known.path == path) {
            return known.verb;
        }
    }
    return std::nullopt;
}

std::string change_paths() {
    std::string text;
    for (const Path& known : kPaths) {
        text.append(" ").append(known.path);
    }
    return text;
}

Result<Request> parse_change(std::string_view path, std::string_view body) {
    const auto verb = verb_of(path);
    if (!verb) {
        return plain_error("there is nothing to change at this path",
                           std::errc::no_such_file_or_directory);
    }
    Request request{.verb = *verb, .pool = {}, .slot = {}};
    if (body.find_first_not_of(" \t\r\n") != std::string_view::npos) {
        boost::system::error_code error;
        const json::value value = json::parse({body.data(), body.size()}, error);
        if (error) {
            return plain_error("the body is not JSON: " + error.message());
        }
        const auto* object = value.if_object();
        if (object == nullptr) {
            return plain_error("the body must be a JSON object");
        }
        for (const auto& [key, member] : *object) {
            std::string wrong = take_member(request, {key.data(), key.size()}, member);
            if (!wrong.empty()) {
                return plain_error(std::move(wrong));
            }
        }
    }
    if (*verb == Request::Verb::Scale && (!request.pool || request.workers == 0)) {
        return plain_error(R"(scale needs a pool and a number: {"pool": "web", "workers": 4})");
    }
    if (*verb == Request::Verb::Queue && (!request.queue || request.mode == "graceful")) {
        return plain_error(
            R"(queue needs a queue and an action: {"queue": "thumbnails", "action": "retry"})");
    }
    if (request.slot && !request.pool) {
        return plain_error("slot needs a pool");
    }
    return request;
}

Result<std::uint64_t> parse_since(std::string_view query) {
    constexpr std::string_view kKey = "since=";
    if (query.empty()) {
        return std::uint64_t{0};
    }
    if (query.substr(0, kKey.size()) != kKey) {
        return plain_error("the only parameter is since=NUMBER");
    }
    query.remove_prefix(kKey.size());
    std::uint64_t since = 0;
    const auto [end, error] = std::from_chars(query.data(), query.data() + query.size(), since);
    if (error != std::errc{} || end != query.data() + query.size()) {
        return plain_error("since must be the number of an event");
    }
    return since;
}

std::string to_json(const Response& response) {
    JsonWriter w;
    w.begin_object().member("result", response.result);
    w.member("reason", response.reason).key("lines").begin_array();
    for (const std::string& line : response.lines) {
        w.value(line);
    }
    w.end_array();
    if (!response.details.empty()) {
        w.key("plan").json(response.details);
    }
    return w.end_object().take();
}

Result<Response> parse_response(std::string_view body) {
    boost::system::error_code error;
    const json::value value = json::parse({body.data(), body.size()}, error);
    const auto* object = error ? nullptr : value.if_object();
    const auto* result = object == nullptr ? nullptr : object->if_contains("result");
    if (result == nullptr || !result->is_string()) {
        return plain_error("the answer is not that of a topsman master", std::errc::protocol_error);
    }
    const auto text = [](const json::value& v) {
        return v.is_string() ? std::string(v.get_string()) : std::string();
    };
    Response response{.result = text(*result), .reason = {}, .lines = {}};
    if (const auto* reason = object->if_contains("reason")) {
        response.reason = text(*reason);
    }
    if (const auto* lines = object->if_contains("lines"); lines != nullptr && lines->is_array()) {
        for (const json::value& line : lines->get_array()) {
            response.lines.push_back(text(line));
        }
    }
    if (const auto* plan = object->if_contains("plan"); plan != nullptr && plan->is_object()) {
        response.details = json::serialize(*plan);
    }
    return response;
}

}  // namespace topsman::control
