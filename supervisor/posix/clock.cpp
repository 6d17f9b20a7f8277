#include "supervisor/posix/clock.hpp"

#include <fstream>
#include <time.h>

namespace topsman::posix {

core::TimePoint now() noexcept {
    return core::Clock::now();
}

std::uint64_t monotonic_ns() noexcept {
    timespec ts{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<std::uint64_t>(ts.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(ts.tv_nsec);
}

std::uint64_t monotonic_usec() noexcept {
    return monotonic_ns() / 1'000U;
}

std::string boot_id() {
    std::string id;
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::getline(file, id);
    return id;
}

}  // namespace topsman::posix
