#include "tests/bench/fork_watch.hpp"

#include <atomic>
#include <cstring>
#include <ctime>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::bench {
namespace {

constexpr std::size_t kPage = 4'096;
constexpr std::size_t kDataBytes = 8 * kPage;  // a power of two, perf_event_open(2)

struct ForkRecord {
    perf_event_header header;
    std::uint32_t pid, parent_pid;
    std::uint32_t tid, parent_tid;
    std::uint64_t time;
};

}  // namespace

ForkWatch::ForkWatch(std::int64_t thread) {
    perf_event_attr wanted{};
    wanted.size = sizeof(wanted);
    wanted.type = PERF_TYPE_SOFTWARE;
    wanted.config = PERF_COUNT_SW_DUMMY;
    wanted.task = 1;
    wanted.exclude_kernel = 1;
    wanted.exclude_hv = 1;
    wanted.use_clockid = 1;
    wanted.clockid = CLOCK_MONOTONIC;
    fd_.reset(static_cast<int>(::syscall(SYS_perf_event_open, &wanted, static_cast<pid_t>(thread),
                                         -1, -1, PERF_FLAG_FD_CLOEXEC)));
    if (!fd_) {
        return;
    }
    void* const ring =
        ::mmap(nullptr, kPage + kDataBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    ring_ = ring == MAP_FAILED ? nullptr : ring;
}

ForkWatch::~ForkWatch() {
    if (ring_ != nullptr) {
        (void)::munmap(ring_, kPage + kDataBytes);
    }
}

std::optional<std::int64_t> ForkWatch::forked_at(std::int64_t child) {
    if (ring_ == nullptr) {
        return std::nullopt;
    }
    auto* const control = static_cast<perf_event_mmap_page*>(ring_);
    const char* const data = static_cast<const char*>(ring_) + kPage;
    const std::uint64_t head = std::atomic_ref(control->data_head).load(std::memory_order_acquire);
    std::uint64_t at = control->data_tail;
    std::optional<std::int64_t> found;
    while (at < head) {
        // Records are multiples of 8 bytes long, so a header never wraps, but what follows may.
        perf_event_header header{};
        std::memcpy(&header, data + at % kDataBytes, sizeof(header));
        if (header.type == PERF_RECORD_FORK && header.size >= sizeof(ForkRecord)) {
            ForkRecord record{};
            auto* const to = reinterpret_cast<char*>(&record);
            for (std::size_t i = 0; i < sizeof(record); ++i) {
                to[i] = data[(at + i) % kDataBytes];
            }
            if (record.pid == static_cast<std::uint32_t>(child)) {
                found = static_cast<std::int64_t>(record.time);
            }
        }
        at += header.size;
    }
    std::atomic_ref(control->data_tail).store(head, std::memory_order_release);
    return found;
}

}  // namespace topsman::bench
