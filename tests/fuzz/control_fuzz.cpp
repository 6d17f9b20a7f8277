// Any bytes as a path and a body on the control socket, as an answer, and as texts that a worker
// made: what is taken is well-formed, what is shown is safe, what is written is JSON.

#include "shm/base/check.hpp"
#include "shm/limits.hpp"
#include "supervisor/control/event_json.hpp"
#include "supervisor/control/request.hpp"
#include "supervisor/control/text.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using namespace topsman;

void check_json(const std::string& text) {
    boost::system::error_code error;
    (void)boost::json::parse(text, error);
    CHECK(!error);
}

void check_request(const control::Request& request) {
    using Verb = control::Request::Verb;
    CHECK(request.verb != Verb::Scale || (request.pool && request.workers > 0));
    CHECK(!request.slot || request.pool || request.verb == Verb::Send);
    CHECK(!request.pool || (!request.pool->empty() && request.pool->size() < shm::kNameBytes));
    CHECK(request.mode == "graceful" || request.mode == "fast" || request.mode == "now");
    CHECK(request.verb != Verb::Counter ||
          (request.name && request.add.has_value() != request.set.has_value()));
    CHECK(request.verb != Verb::Submit ||
          (request.queue && !request.queue->empty() && request.queue->size() < shm::kNameBytes));
    CHECK(!request.key || (!request.key->empty() && request.key->size() <= 64));
    CHECK(request.verb != Verb::Send || (request.channel && !request.channel->empty() &&
                                         request.channel->size() < shm::kNameBytes));
    CHECK(!request.to_all || !request.slot);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    // The first line is the path, the rest the body.
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string path = text.substr(0, end);
    const std::string body = text.substr(std::min(end + 1, text.size()));
    for (const std::string& at :
         {path, std::string("/v1/restart"), std::string("/v1/scale"), std::string("/v1/counter")}) {
        if (const auto request = control::parse_change(at, body)) {
            check_request(*request);
        } else {
            CHECK(control::printable(request.error().message) == request.error().message);
        }
    }
    for (const char* with_bytes : {"/v1/submit", "/v1/send"}) {
        if (const auto request = control::parse_change(with_bytes, body, path)) {
            check_request(*request);
            CHECK(request->item == body);
        }
    }
    (void)control::parse_since(path);
    (void)control::parse_duration(path);
    if (const auto response = control::parse_response(body)) {
        check_json(control::to_json(*response));
    }
    const std::string shown = control::printable(text);
    CHECK(std::none_of(shown.begin(), shown.end(), [](char c) { return c >= 0 && c < ' '; }));
    CHECK(control::width(control::cut(shown, 20)) <= 20);
    control::EventFields fields;
    fields.event = "worker.exited";
    fields.pool = std::string_view(path).substr(0, shm::kNameBytes - 1);
    fields.texts = {{"reason", text}, {"next", body}};
    const std::string line = control::event_json(1, "2026-11-21T09:20:51.123Z", fields);
    CHECK(line.size() <= shm::kEventBytes);
    check_json(line);
    return 0;
}
