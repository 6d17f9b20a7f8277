#pragma once

// How the C interface says that something could not be done: a negative errno, and a sentence that
// the thread can ask for. Nothing that was thrown leaves a function of C.

#include "shm/base/result.hpp"

#include <new>
#include <type_traits>
#include <utility>

namespace topsman::c {

/// Keeps the sentence for topsman_last_error(). Returns the number for the caller.
int failed(const std::error_code& code, const char* message) noexcept;

inline int failed(const Error& error) noexcept {
    return failed(error.code, error.message.c_str());
}

/// An argument that must not be NULL is.
int null_argument(const char* function) noexcept;

/// `what()` for C: its number, or that of what it threw.
template <class What>
int guarded(What&& what) noexcept {
    try {
        return std::forward<What>(what)();
    } catch (const std::system_error& error) {
        return failed(error.code(), error.what());
    } catch (const std::bad_alloc&) {
        return failed(std::make_error_code(std::errc::not_enough_memory), "out of memory");
    } catch (const std::exception& error) {
        return failed(std::make_error_code(std::errc::io_error), error.what());
    } catch (...) {
        return failed(std::make_error_code(std::errc::io_error), "an unknown exception");
    }
}

/// 0 or the number of the error.
template <class T>
int done(const Result<T>& result) noexcept {
    return result ? 0 : failed(result.error());
}

}  // namespace topsman::c
