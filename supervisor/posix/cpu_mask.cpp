#include "supervisor/posix/cpu_mask.hpp"

#include <limits>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

constexpr std::uint32_t kWordBits = std::numeric_limits<unsigned long>::digits;
constexpr std::uint32_t kMostCpus = 8'192;  // the largest machine that Linux is built for

std::vector<unsigned long> mask_of(const std::vector<std::uint32_t>& cpus) {
    std::vector<unsigned long> mask;
    for (const std::uint32_t cpu : cpus) {
        if (mask.size() <= cpu / kWordBits) {
            mask.resize(cpu / kWordBits + 1);
        }
        mask[cpu / kWordBits] |= 1UL << (cpu % kWordBits);
    }
    return mask;
}

}  // namespace

std::vector<std::uint32_t> usable_cpus() {
    std::vector<unsigned long> mask(kMostCpus / kWordBits);
    // The bare call takes a mask that is larger than the kernel's own.
    const long bytes =
        ::syscall(SYS_sched_getaffinity, 0, mask.size() * sizeof(unsigned long), mask.data());
    std::vector<std::uint32_t> cpus;
    for (std::uint32_t cpu = 0; bytes > 0 && cpu < kMostCpus; ++cpu) {
        if ((mask[cpu / kWordBits] >> (cpu % kWordBits) & 1UL) != 0) {
            cpus.push_back(cpu);
        }
    }
    return cpus;
}

std::vector<unsigned long> cpu_mask(const config::CpuAffinity& affinity, std::uint32_t slot) {
    if (!affinity.by_slot) {
        return mask_of(affinity.cpus);
    }
    const std::vector<std::uint32_t> cpus = usable_cpus();
    return cpus.empty() ? std::vector<unsigned long>{} : mask_of({cpus[slot % cpus.size()]});
}

}  // namespace topsman::posix
