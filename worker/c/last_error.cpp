#include "worker/c/last_error.hpp"

#include "topsman.h"

#include <cstdio>
#include <cstring>

namespace topsman::c {
namespace {

// No std::string: it would have to be destroyed with each thread.
thread_local char last_message[512] = "";

}  // namespace

int failed(const std::error_code& code, const char* message) noexcept {
    (void)std::snprintf(last_message, sizeof last_message, "%s", message);
    return code.value() > 0 ? -code.value() : -EINVAL;
}

int null_argument(const char* function) noexcept {
    (void)std::snprintf(last_message, sizeof last_message,
                        "%s: an argument that must not be NULL is", function);
    return -EINVAL;
}

}  // namespace topsman::c

extern "C" {

const char* topsman_last_error(void) {
    return topsman::c::last_message;
}

const char* topsman_strerror(int code) {
    const char* text = ::strerrordesc_np(code < 0 ? -code : code);
    return text != nullptr ? text : "unknown error";
}

}  // extern "C"
