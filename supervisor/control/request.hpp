#pragma once

// What is said over the control socket, apart from how: JSON bodies to values and back. Pure, so
// that it can be tested and fuzzed without a socket.

#include "supervisor/control/control_server.hpp"
#include "supervisor/control/json_writer.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace topsman::control {

/// "/v1/scale" -> Scale; none for a path that is not a change.
[[nodiscard]] std::optional<Request::Verb> verb_of(std::string_view path) noexcept;

/// " /v1/reload /v1/scale ...": all there are, for whoever asked for another.
[[nodiscard]] std::string change_paths();

/// A change as its path and body say it. Errors: errc::no_such_file_or_directory for an unknown
/// path, else a sentence on what is wrong with the body. An empty body is {}. Of "/v1/submit" and
/// "/v1/send" the body is the job or the message, byte for byte, and the query says the rest:
/// "queue=thumbnails&priority=1&deadline_ms=30000&key=cat%2ejpg" (or "&wait=result"),
/// "channel=news&to=2" (a slot, any or all); others have no query.
[[nodiscard]] Result<Request> parse_change(std::string_view path, std::string_view body,
                                           std::string_view query = {});

/// The `since` of "/v1/events?since=N"; 0 when it is not given.
[[nodiscard]] Result<std::uint64_t> parse_since(std::string_view query);

[[nodiscard]] std::string to_json(const Response& response);

/// A member that may be any bytes: as a string when they are UTF-8, else as "NAME_hex".
void write_bytes(JsonWriter& w, const std::string& name, std::string_view bytes);

/// What write_bytes() wrote into the details of a response.
[[nodiscard]] std::optional<std::string> read_bytes(const Response& response,
                                                    const std::string& name);

/// Error: this is not an answer of a topsman master.
[[nodiscard]] Result<Response> parse_response(std::string_view body);

}  // namespace topsman::control
