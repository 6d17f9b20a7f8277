#pragma once

// System calls without the C library, for a child that shares its parent's memory until its exec.
//
// Such a child also shares the thread-local storage of the thread that started it, which runs on
// meanwhile: errno above all, and what the C library's cancellation points note there. So it calls
// nothing of the C library; here are the instructions themselves, always inlined.

#include <type_traits>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <cerrno>
#include <unistd.h>
#endif

namespace topsman::posix {

#if defined(__x86_64__) || defined(__aarch64__)
inline constexpr bool kOwnSystemCalls = true;
#else
inline constexpr bool kOwnSystemCalls = false;  ///< such a child needs memory of its own
#endif

namespace detail {

template <class Argument>
[[gnu::always_inline]] inline long word(Argument argument) noexcept {
    if constexpr (std::is_pointer_v<Argument>) {
        return reinterpret_cast<long>(argument);
    } else {
        return static_cast<long>(argument);
    }
}

#if defined(__x86_64__)
[[gnu::always_inline]] inline long enter_kernel(long number, long a, long b, long c, long d,
                                                long e) noexcept {
    long result;  // syscall(2): rcx and r11 are lost
    register long fourth asm("r10") = d;
    register long fifth asm("r8") = e;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                 : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
[[gnu::always_inline]] inline long enter_kernel(long number, long a, long b, long c, long d,
                                                long e) noexcept {
    register long which asm("x8") = number;
    register long first asm("x0") = a;
    register long second asm("x1") = b;
    register long third asm("x2") = c;
    register long fourth asm("x3") = d;
    register long fifth asm("x4") = e;
    asm volatile("svc 0"
                 : "+r"(first)
                 : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth)
                 : "memory");
    return first;
}
#else
[[gnu::always_inline]] inline long enter_kernel(long number, long a, long b, long c, long d,
                                                long e) noexcept {
    const long result = ::syscall(number, a, b, c, d, e);
    return result < 0 ? -static_cast<long>(errno) : result;
}
#endif

}  // namespace detail

/// Makes the system call SYS_... with up to five arguments. Gives its result, or -errno.
template <class... Arguments>
[[gnu::always_inline]] inline long system_call(long number, Arguments... arguments) noexcept {
    static_assert(sizeof...(arguments) <= 5);
    const long words[5] = {detail::word(arguments)...};
    return detail::enter_kernel(number, words[0], words[1], words[2], words[3], words[4]);
}

/// The errno of a result, 0 of a success.
[[gnu::always_inline]] inline int error_of(long result) noexcept {
    return result < 0 ? static_cast<int>(-result) : 0;
}

}  // namespace topsman::posix
