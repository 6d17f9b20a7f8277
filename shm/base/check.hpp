#pragma once

// CHECK: for our own bugs, on in release. It says where and aborts; that a master's death loses
// nothing is what makes this affordable. Not for the operator's mistakes or the environment's.

#include <cstdio>
#include <cstdlib>

namespace topsman::detail {

[[noreturn]] inline void check_failed(const char* what, const char* file, int line) noexcept {
    std::fprintf(stderr, "topsman: CHECK failed at %s:%d: %s\n", file, line, what);
    std::abort();
}

}  // namespace topsman::detail

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) [[unlikely]] {                                     \
            ::topsman::detail::check_failed(#condition, __FILE__, __LINE__); \
        }                                                                    \
    } while (false)
