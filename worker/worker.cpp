#include "topsman/worker.hpp"

#include "shm/base/check.hpp"
#include "worker/process.hpp"

#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <mutex>
#include <sys/eventfd.h>
#include <unistd.h>

namespace topsman {

namespace {

using detail::Process;

// Only wakes; what draining means is decided by the program's own loop.
void on_stop_signal(int /*signal*/) {
    const int saved = errno;
    if (Process* process = detail::the_process.load(std::memory_order_acquire)) {
        detail::begin_drain(*process);
    }
    errno = saved;
}

Result<void> install_stop_handler(Process& process, int signal) {
    struct sigaction action = {};
    action.sa_handler = &on_stop_signal;
    action.sa_flags = SA_RESTART;
    (void)::sigemptyset(&action.sa_mask);
    if (::sigaction(signal, &action, &process.former_stop_action) != 0) {
        return system_error("stop signal " + std::to_string(signal) + ": sigaction");
    }
    process.stop_signal = signal;
    return {};
}

// Set at once: between here and an exec somewhere in a library lies nothing that we know.
Result<void> keep_from_exec(const detail::Environment& environment) {
    for (const InheritedListener& listener : environment.listeners) {
        if (::fcntl(listener.fd, F_SETFD, FD_CLOEXEC) != 0) {
            return system_error("listener " + listener.name + ": LISTEN_FDS promised descriptor " +
                                std::to_string(listener.fd));
        }
    }
    if (environment.wake_fd && ::fcntl(*environment.wake_fd, F_SETFD, FD_CLOEXEC) != 0) {
        return system_error("TOPSMAN_WAKE_FD=" + std::to_string(*environment.wake_fd));
    }
    return {};
}

Result<std::unique_ptr<Process>> make_process() {
    auto environment = detail::read_environment([](const char* name) { return std::getenv(name); },
                                                static_cast<std::uint32_t>(::getpid()));
    if (!environment) {
        return environment.error();
    }
    auto process = std::make_unique<Process>();
    process->environment = std::move(*environment);
    if (auto done = keep_from_exec(process->environment); !done) {
        return done.error();
    }
    auto notifier = detail::Notifier::open(process->environment.notify_socket);
    if (!notifier) {
        return notifier.error();
    }
    process->notifier = std::move(*notifier);
    process->drain_fd.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    process->idle_fd.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!process->drain_fd || !process->idle_fd) {
        return system_error("eventfd");
    }
    if (auto done = detail::find_parts(*process); !done) {
        return done.error();
    }
    process->slot = process->environment.slot;
    return process;
}

// sd_notify(3) separates assignments by newlines: a text must stay one line.
std::string one_line(std::string_view text) {
    std::string line(text);
    for (char& c : line) {
        if (c == '\n' || c == '\0') {
            c = ' ';
        }
    }
    return line;
}

}  // namespace

Result<Worker> Worker::attach(const AttachOptions& options) {
    static std::mutex once;
    const std::scoped_lock hold(once);
    if (Process* process = detail::the_process.load(std::memory_order_acquire)) {
        return Worker(process);
    }
    auto made = make_process();
    if (!made) {
        return made.error();
    }
    if (auto done = detail::watch_forks(); !done) {
        return done.error();
    }
    Process* process = made->release();  // Lives as long as the process: handlers point at it.
    detail::the_process.store(process, std::memory_order_release);
    if (options.handle_stop_signal) {
        if (auto done = install_stop_handler(*process, options.stop_signal); !done) {
            return done.error();
        }
    }
    return Worker(process);
}

bool Worker::is_supervised() const noexcept {
    return process_->environment.is_supervised;
}

bool Worker::has_segment() const noexcept {
    return process_->segment.has_value() && !detail::is_detached();
}

const std::string& Worker::cluster() const noexcept {
    return process_->environment.cluster;
}

const std::string& Worker::pool() const noexcept {
    return process_->environment.pool;
}

std::uint32_t Worker::slot() const noexcept {
    return process_->slot.load(std::memory_order_acquire);
}

bool Worker::is_spare() const noexcept {
    return slot() == kNoSlot;
}

std::uint64_t Worker::id() const noexcept {
    return process_->environment.worker;
}

std::string Worker::name() const {
    return is_supervised() ? slot_name(pool(), slot()) : std::string("alone");
}

Result<int> Worker::listener(std::string_view name) const {
    std::string others;
    for (const InheritedListener& one : listeners()) {
        if (one.name == name) {
            return one.fd;
        }
        others += (others.empty() ? "" : ", ") + one.name;
    }
    return plain_error("listener " + std::string(name) + ": not inherited (" +
                           (others.empty() ? "no socket was" : "there is " + others) + ")",
                       std::errc::no_such_file_or_directory);
}

const std::vector<InheritedListener>& Worker::listeners() const noexcept {
    return process_->environment.listeners;
}

namespace {

Result<void> notify(const Process& process, const std::string& lines) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    return process.notifier.send(lines);
}

}  // namespace

Result<void> Worker::ready() {
    // A master that is dead now cannot be told; the next one finds it here.
    if (!detail::is_detached()) {
        detail::wait_for_seat(*process_);
        process_->lane->flags.fetch_or(shm::kLaneReady, std::memory_order_relaxed);
    }
    return notify(*process_, "READY=1");
}

Result<void> Worker::status(std::string_view text) {
    return notify(*process_, "STATUS=" + one_line(text));
}

Result<void> Worker::stopping() {
    return notify(*process_, "STOPPING=1");
}

Result<void> Worker::extend_timeout(std::chrono::microseconds time) {
    return notify(*process_, "EXTEND_TIMEOUT_USEC=" + std::to_string(time.count()));
}

void Worker::beat() noexcept {
    if (detail::is_detached()) {
        return;
    }
    if (!process_->segment) {
        (void)process_->notifier.send("WATCHDOG=1");
        return;
    }
    timespec now = {};
    (void)::clock_gettime(CLOCK_MONOTONIC, &now);
    process_->lane->heartbeat_ns.store(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                                           static_cast<std::uint64_t>(now.tv_nsec),
                                       std::memory_order_relaxed);
}

std::chrono::microseconds Worker::watchdog_timeout() const noexcept {
    return process_->environment.watchdog;
}

bool Worker::draining() const noexcept {
    return process_->draining.load(std::memory_order_acquire);
}

int Worker::drain_fd() const noexcept {
    return process_->drain_fd.get();
}

void Worker::begin_drain() noexcept {
    detail::begin_drain(*process_);
}

std::uint32_t Worker::requests_in_flight() const noexcept {
    return process_->lane->in_flight.load(std::memory_order_relaxed);
}

void Worker::last_words(std::string_view text) noexcept {
    process_->last_words->say(text);
}

InFlight::InFlight(Process* process) noexcept : process_(process) {
    process->lane->in_flight.fetch_add(1, std::memory_order_relaxed);
}

void InFlight::end() noexcept {
    shm::Lane& lane = *process_->lane;
    lane.requests.fetch_add(1, std::memory_order_relaxed);
    if (lane.in_flight.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
        process_->waiting_for_idle.load(std::memory_order_seq_cst) != 0 && !detail::is_detached()) {
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t done = ::write(process_->idle_fd.get(), &one, sizeof one);
    }
}

}  // namespace topsman
