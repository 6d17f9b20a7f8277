#include "supervisor/posix/clock.hpp"

#include <fstream>
#include <time.h>
#include <unistd.h>

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

std::uint64_t boot_ticks() noexcept {
    static const auto kTicksPerSecond = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    timespec ts{};
    (void)::clock_gettime(CLOCK_BOOTTIME, &ts);
    return static_cast<std::uint64_t>(ts.tv_sec) * kTicksPerSecond +
           static_cast<std::uint64_t>(ts.tv_nsec) / (1'000'000'000U / kTicksPerSecond);
}

std::string boot_id() {
    std::string id;
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::getline(file, id);
    return id;
}

}  // namespace topsman::posix
