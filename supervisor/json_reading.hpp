#pragma once

// Reading of JSON that topsman wrote itself: what is handed over, what is kept. But for document(),
// each throws what Boost.JSON throws at a value of another kind; who reads a whole document catches
// that once.

#include "supervisor/core/types.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace topsman::supervisor::json_reading {

/// Nothing: it is not JSON, or no object. Its texts may be any bytes, as a status may be.
inline std::optional<boost::json::object> document(std::string_view text) {
    boost::json::parse_options options;
    options.allow_invalid_utf8 = true;
    boost::system::error_code error;
    boost::json::value value = boost::json::parse({text.data(), text.size()}, error, {}, options);
    if (error || !value.is_object()) {
        return std::nullopt;
    }
    return std::move(value.get_object());
}

template <class Number>
Number number(const boost::json::value& value) {
    return value.to_number<Number>();
}

inline std::string text(const boost::json::value& value) {
    return std::string(value.as_string());
}

inline core::Generation generation(const boost::json::value& value) {
    return core::Generation{number<std::uint32_t>(value)};
}

}  // namespace topsman::supervisor::json_reading
