#pragma once

// How a function of topsman says that it could not do what it was asked.
//
// Three kinds of wrong have three tools: the operator's mistake and the environment's refusal are a
// Result whose message is a sentence for the operator; a bug of our own is a CHECK (check.hpp).
// No exception crosses a folder. A function logs or returns an error, never both.

#include <boost/system/result.hpp>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace topsman {

/// What went wrong: a code for the program, a sentence for the operator.
struct Error {
    std::error_code code;  ///< errno where the system refused; `std::errc::invalid_argument` else
    std::string message;   ///< names the operator's word: "listener http: bind 0.0.0.0:80: ..."
};

/// A value or the reason why there is none. `if (!r) return r.error();` propagates.
template <class T>
using Result = boost::system::result<T, Error>;

/// The exception that `Result::value()` throws; part of Boost's result protocol (found by ADL).
[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location& /*where*/) {
    throw std::system_error(error.code, error.message);
}

/// An error from a failed system call: "<what>: <strerror(number)>".
inline Error system_error(std::string what, int number = errno) {
    std::error_code code(number, std::generic_category());
    return Error{code, std::move(what) + ": " + code.message()};
}

/// An error of our own making: the sentence as it is.
inline Error plain_error(std::string message, std::errc code = std::errc::invalid_argument) {
    return Error{std::make_error_code(code), std::move(message)};
}

}  // namespace topsman
