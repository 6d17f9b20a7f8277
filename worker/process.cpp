#include "worker/process.hpp"

#include "shm/parking.hpp"

#include <csignal>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

namespace topsman::detail {

std::atomic<Process*> the_process = nullptr;
std::atomic<bool> detached = false;

namespace {

// Runs in the child between its fork(2) and everything else, hence only async-signal-safe calls.
//
// The mapping was not inherited (MADV_DONTFORK): a child that outlives its worker must not write
// into a lane that is somebody else's by then. Pages of its own at the same addresses make every
// handle that the program still holds harmless instead of a fault.
void detach_child() noexcept {
    detached.store(true, std::memory_order_relaxed);
    Process* process = the_process.load(std::memory_order_relaxed);
    if (process == nullptr) {
        return;
    }
    if (process->segment) {
        void* at = const_cast<void*>(process->segment->address());
        const void* pages = ::mmap(at, process->segment->size(), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
        if (pages == MAP_FAILED) {
            ::_exit(127);  // It would fault at its first use of the SDK, with less of a reason.
        }
    }
    if (process->stop_signal != 0) {
        (void)::sigaction(process->stop_signal, &process->former_stop_action, nullptr);
    }
}

thread_local sigset_t mask_before_fork;

// A signal handler must not run in the child before detach_child() has put pages where the segment
// was: no signal from before the fork until then.
void block_signals() noexcept {
    sigset_t all;
    (void)::sigfillset(&all);
    (void)::pthread_sigmask(SIG_BLOCK, &all, &mask_before_fork);
}

void restore_signals() noexcept {
    (void)::pthread_sigmask(SIG_SETMASK, &mask_before_fork, nullptr);
}

void after_fork_in_child() noexcept {
    detach_child();
    restore_signals();
}

void use_own_parts(Process& process) {
    process.own = std::make_unique<OwnParts>();
    OwnParts& own = *process.own;
    own.metric_names.init(shm::kMaxMetrics);
    own.mutex_names.init(shm::kMaxMutexes);
    own.cell_names.init(shm::kMaxCells);
    own.object_names.init(shm::kMaxObjects);
    own.array_names.init(shm::kMaxArrays);
    process.owner = {1, 1};
    process.lane = &own.lanes[1];
    process.lanes = own.lanes;
    process.first_cell = own.cells.cell;
    process.metric_names = &own.metric_names;
    process.mutex_names = &own.mutex_names;
    process.cell_names = &own.cell_names;
    process.mutexes = own.mutexes;
    process.tx_cells = own.tx_cells;
    process.last_words = &own.last_words;
    process.object_names = &own.object_names;
    process.array_names = &own.array_names;
    process.objects = own.objects;
    process.arrays = own.arrays;
    process.blocks.know(own.blocks.pool());
}

Result<void> use_segment(Process& process, shm::Segment&& attached) {
    const Environment& environment = process.environment;
    const std::span<shm::Lane> lanes = attached.lanes();
    if (environment.lane >= lanes.size()) {
        return plain_error("TOPSMAN_LANE: the segment has no lane " +
                           std::to_string(environment.lane));
    }
    shm::Lane& lane = lanes[environment.lane];
    const auto word = shm::LaneWord::unpack(lane.word.load(std::memory_order_acquire));
    if (word.phase != shm::LanePhase::Started || word.generation != environment.lane_generation ||
        word.value != static_cast<std::uint32_t>(::getpid())) {
        return plain_error("TOPSMAN_LANE: lane " + std::to_string(environment.lane) +
                           " is another process's");
    }
    if (::madvise(const_cast<void*>(attached.address()), attached.size(), MADV_DONTFORK) != 0) {
        return system_error("TOPSMAN_SEGMENT_FD: madvise");
    }
    process.segment.emplace(std::move(attached));
    shm::Segment& segment = *process.segment;
    process.owner = {environment.lane, environment.lane_generation};
    process.lane = &lane;
    process.lanes = lanes;
    process.first_cell = &segment.metrics().cell(environment.lane, 0);
    process.metric_names = &segment.metric_names();
    process.mutex_names = &segment.mutex_names();
    process.cell_names = &segment.cell_names();
    process.mutexes = segment.mutexes();
    process.tx_cells = segment.cells();
    process.last_words = &segment.last_words()[environment.lane];
    process.object_names = &segment.object_names();
    process.array_names = &segment.array_names();
    process.objects = segment.objects();
    process.arrays = segment.arrays();
    process.blocks.know(segment.blocks());
    lane.flags.fetch_or(shm::kLaneAttached, std::memory_order_relaxed);
    return {};
}

}  // namespace

Error detached_error() {
    return plain_error("this is a forked child of the worker, which shares nothing",
                       std::errc::not_connected);
}

void begin_drain(Process& process) noexcept {
    process.draining.store(true, std::memory_order_release);
    process.lane->flags.fetch_or(shm::kLaneDraining, std::memory_order_relaxed);
    const std::uint64_t one = 1;
    if (!is_detached()) {  // A forked child shares the descriptor: it would drain its parent.
        [[maybe_unused]] const ssize_t done = ::write(process.drain_fd.get(), &one, sizeof one);
        shm::wake_everyone(process.lanes.subspan(process.owner.lane, 1));  // who waits for a job
    }
}

Result<void> find_parts(Process& process) {
    if (!process.environment.segment_fd) {
        use_own_parts(process);
        return {};
    }
    const int fd = *process.environment.segment_fd;
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return system_error("TOPSMAN_SEGMENT_FD=" + std::to_string(fd));
    }
    auto attached = shm::Segment::attach(UniqueFd(fd));
    if (!attached) {
        return Error{attached.error().code, "TOPSMAN_SEGMENT_FD: " + attached.error().message};
    }
    return use_segment(process, std::move(*attached));
}

Result<void> watch_forks() {
    if (const int number = ::pthread_atfork(&block_signals, &restore_signals, &after_fork_in_child);
        number != 0) {
        return system_error("pthread_atfork", number);
    }
    return {};
}

}  // namespace topsman::detail
