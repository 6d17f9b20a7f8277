#pragma once

// Reading of JSON that topsman wrote itself: what is handed over, what is kept. Each throws what
// Boost.JSON throws at a value of another kind; who reads a whole document catches that once.

#include "supervisor/core/types.hpp"

#include <boost/json/value.hpp>

#include <cstdint>
#include <string>

namespace topsman::supervisor::json_reading {

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
