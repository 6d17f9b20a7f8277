#include "supervisor/control/request.hpp"

#include "shm/job_key.hpp"
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

constexpr std::array<Path, 13> kPaths{{{"/v1/reload", Request::Verb::Reload},
                                       {"/v1/rollback", Request::Verb::Rollback},
                                       {"/v1/restart", Request::Verb::Restart},
                                       {"/v1/drain", Request::Verb::Drain},
                                       {"/v1/scale", Request::Verb::Scale},
                                       {"/v1/stop", Request::Verb::Stop},
                                       {"/v1/reset-failed", Request::Verb::ResetFailed},
                                       {"/v1/queue", Request::Verb::Queue},
                                       {"/v1/plan", Request::Verb::Plan},
                                       {"/v1/counter", Request::Verb::Counter},
                                       {"/v1/submit", Request::Verb::Submit},
                                       {"/v1/send", Request::Verb::Send},
                                       {"/v1/upgrade", Request::Verb::Upgrade}}};
// What an answer may have beside result, reason and lines.
constexpr std::array<const char*, 4> kDetails{"plan", "counter", "job", "sent"};

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

/// All of `text`, in digits.
template <class Number>
std::optional<Number> to_number(std::string_view text) {
    Number number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

/// As a string, because the numbers of JSON are not safe beyond 2^53.
std::optional<std::uint64_t> to_job(const json::value& value) {
    return to_number<std::uint64_t>(to_name(value).value_or(""));
}

/// A number that may be below zero.
std::optional<std::int64_t> to_amount(const json::value& value) {
    const auto* number = value.if_int64();
    return number == nullptr ? std::nullopt : std::optional(*number);
}

std::string unknown(std::string_view what, std::string_view word) {
    return "unknown " + std::string(what) + " \"" + printable(word.substr(0, 64)) + "\"";
}

/// The sentence that is wrong with a name, empty when nothing is.
std::string take_name(std::optional<std::string>& name, const char* what, std::string_view value) {
    name = std::string(value);
    return !value.empty() && value.size() < shm::kNameBytes
               ? std::string()
               : std::string(what) + " must be a " + what + "'s name";
}

/// What %41 in a query stands for; nothing when it is cut off or no number.
std::optional<std::string> unquoted(std::string_view text) {
    std::string bytes;
    while (!text.empty()) {
        std::size_t length = 1;
        char byte = text[0];
        if (byte == '%') {
            length = 3;
            unsigned value = 0;
            const char* end = text.data() + std::min(length, text.size());
            if (text.size() < length ||
                std::from_chars(text.data() + 1, end, value, 16).ptr != end) {
                return std::nullopt;
            }
            byte = static_cast<char>(value);
        }
        bytes += byte;
        text.remove_prefix(length);
    }
    return bytes;
}

/// One parameter of a send.
std::string take_send_parameter(Request& request, std::string_view key, std::string_view value) {
    if (key == "channel") {
        return take_name(request.channel, "channel", value);
    }
    if (key == "to") {
        request.to_all = value == "all";
        request.slot = to_number<std::uint32_t>(value);  // none of the other two is one
        return request.to_all || request.slot || value == "any"
                   ? ""
                   : "to must be any, all or a slot's number";
    }
    return unknown("parameter", key);
}

/// One parameter of a submit. The sentence that is wrong with it, empty when nothing is.
std::string take_submit_parameter(Request& request, std::string_view key, std::string_view value) {
    if (key == "queue") {
        return take_name(request.queue, "queue", value);
    }
    if (key == "priority") {
        const auto priority = to_number<std::uint32_t>(value);
        request.priority = priority.value_or(0);
        return priority ? "" : "priority must be a number from 0 on";
    }
    if (key == "key") {
        request.key = unquoted(value);
        return request.key && !request.key->empty() &&
                       request.key->size() <= shm::JobKey::kMostBytes
                   ? ""
                   : "key must be 1 to 64 bytes, %XX for those that a query cannot have";
    }
    if (key == "wait") {
        request.wants_result = value == "result";
        return request.wants_result ? "" : "wait must be result";
    }
    if (key == "deadline_ms") {
        // So long that it never comes, and so short that it can be added to any clock.
        constexpr std::uint64_t kLongest = std::uint64_t{365} * 24 * 3'600 * 1'000;
        const auto ms = to_number<std::uint64_t>(value);
        request.deadline = std::chrono::milliseconds(std::min(ms.value_or(0), kLongest));
        return ms ? "" : "deadline_ms must be a number from 0 on";
    }
    return unknown("parameter", key);
}

/// A submit or a send: the query says what for, the body is the job or the message.
Result<Request> parse_bytes(Request::Verb verb, std::string_view query, std::string_view body) {
    const bool is_send = verb == Request::Verb::Send;
    Request request{.verb = verb, .pool = {}, .slot = {}, .item = std::string(body)};
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(pair.size() + 1, query.size()));
        const std::size_t equals = std::min(pair.find('='), pair.size());
        std::string wrong = (is_send ? take_send_parameter : take_submit_parameter)(
            request, pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size())));
        if (!wrong.empty()) {
            return plain_error(std::move(wrong));
        }
    }
    if (is_send && !request.channel) {
        return plain_error(
            "send needs a channel: POST /v1/send?channel=NAME, the body is the message");
    }
    if (!is_send && !request.queue) {
        return plain_error("submit needs a queue: POST /v1/submit?queue=NAME, the body is the job");
    }
    if (request.wants_result && request.key) {
        return plain_error("a job with a key has no result: leave out one of key and wait");
    }
    return request;
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
    if (key == "pool" && (verb == Verb::Restart || verb == Verb::Drain || verb == Verb::Scale ||
                          verb == Verb::ResetFailed)) {
        request.pool = to_name(value);
        return request.pool ? "" : "pool must be a pool's name";
    }
    if (key == "slot" && (verb == Verb::Restart || verb == Verb::Drain)) {
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
    if (key == "name" && verb == Verb::Counter) {
        request.name = to_name(value);
        return request.name ? "" : "name must be the name of a counter or a gauge";
    }
    if ((key == "add" || key == "set") && verb == Verb::Counter) {
        const auto amount = to_amount(value);
        (key == "add" ? request.add : request.set) = amount;
        return amount ? "" : std::string(key) + " must be a whole number";
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
    return unknown("key", key);
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

Result<Request> parse_change(std::string_view path, std::string_view body, std::string_view query) {
    const auto verb = verb_of(path);
    if (!verb) {
        return plain_error("there is nothing to change at this path",
                           std::errc::no_such_file_or_directory);
    }
    if (*verb == Request::Verb::Submit || *verb == Request::Verb::Send) {
        return parse_bytes(*verb, query, body);
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
    if (*verb == Request::Verb::Drain && (!request.pool || !request.slot)) {
        return plain_error(R"(drain needs a pool and a slot: {"pool": "web", "slot": 2})");
    }
    if (*verb == Request::Verb::Queue && (!request.queue || request.mode == "graceful")) {
        return plain_error(
            R"(queue needs a queue and an action: {"queue": "thumbnails", "action": "retry"})");
    }
    if (*verb == Request::Verb::Counter &&
        (!request.name || request.add.has_value() == request.set.has_value())) {
        return plain_error(
            R"(counter needs a name and one of add and set: {"name": "orders", "add": 1})");
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
        w.key(response.details_key).json(response.details);
    }
    return w.end_object().take();
}

void write_bytes(JsonWriter& w, const std::string& name, std::string_view bytes) {
    // What is not UTF-8 is a question mark in a string.
    boost::system::error_code error;
    const json::value read = json::parse('"' + escape_json(bytes).text + '"', error);
    if (!error && std::string_view(read.as_string()) == bytes) {
        w.member(name, bytes);
        return;
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string digits;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        digits += {kDigits[byte >> 4U], kDigits[byte & 0xfU]};
    }
    w.member(name + "_hex", digits);
}

std::optional<std::string> read_bytes(const Response& response, const std::string& name) {
    boost::system::error_code error;
    const json::value details = json::parse(response.details, error);
    const auto* object = error ? nullptr : details.if_object();
    if (object == nullptr) {
        return std::nullopt;
    }
    const auto* text = object->if_contains(name);
    if (text != nullptr && text->is_string()) {
        return std::string(text->get_string());
    }
    const auto* hex = object->if_contains(name + "_hex");
    if (hex == nullptr || !hex->is_string()) {
        return std::nullopt;
    }
    std::string quoted;
    const auto& digits = hex->get_string();
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        quoted += {'%', digits[i], digits[i + 1]};
    }
    return unquoted(quoted);
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
    for (const char* key : kDetails) {
        if (const auto* details = object->if_contains(key);
            details != nullptr && details->is_object()) {
            response.details = json::serialize(*details);
            response.details_key = key;
        }
    }
    return response;
}

}  // namespace topsman::control
