#include "supervisor/journal.hpp"

#include "shm/base/unique_fd.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman {

namespace {

// The deaths and new starts of all 512 slots at once fit. The queue is all of the master's memory
// that grows with a choice of ours (about 400 bytes a line, touched when it is made), and each fork
// copies the page tables of what is touched.
constexpr std::size_t kQueueLines = 2'048;

struct Shape {
    bool journald = false;
    bool terminal = false;
};

/// JOURNAL_STREAM names the device and inode of the stream that journald reads (systemd.exec(5)).
bool is_journald() {
    const char* stream = std::getenv("JOURNAL_STREAM");

    struct stat info {};

    if (stream == nullptr || fstat(STDERR_FILENO, &info) != 0) {
        return false;
    }
    const std::string ours = std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
    return ours == stream;
}

void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n > 0) {
            text.remove_prefix(static_cast<std::size_t>(n));
        } else if (n < 0 && errno == EAGAIN) {
            // Somebody made our stderr non-blocking: this is the log's thread, it may wait.
            pollfd ready{fd, POLLOUT, 0};
            (void)::poll(&ready, 1, -1);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            return;  // nobody reads: there is nowhere to say it
        }
    }
}

std::string timestamp(spdlog::log_clock::time_point at) {
    const std::time_t seconds = spdlog::log_clock::to_time_t(at);
    const auto millis =
        std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count() %
        1'000;
    std::tm local{};
    ::localtime_r(&seconds, &local);
    std::array<char, 40> text{};
    const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
    std::snprintf(text.data() + n, text.size() - n, ".%03d", static_cast<int>(millis));
    return text.data();
}

struct LevelWords {
    const char* name;
    const char* priority;  // sd-daemon(3)
    const char* color;
};

LevelWords words(spdlog::level::level_enum level) {
    switch (level) {
        case spdlog::level::debug:
            return {"debug", "<7>", "\x1b[2m"};
        case spdlog::level::warn:
            return {"warning", "<4>", "\x1b[33m"};
        case spdlog::level::err:
            return {"error", "<3>", "\x1b[31m"};
        default:
            return {"info", "<6>", ""};
    }
}

// Runs on the log's thread only.
class StderrSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
  public:
    StderrSink() : flushed_(::eventfd(0, EFD_CLOEXEC)) {
        shape_.journald = is_journald();
        shape_.terminal = ::isatty(STDERR_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    }

    void set_json(bool json) { json_.store(json); }

    [[nodiscard]] int flushed_fd() const { return flushed_.get(); }

  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        const std::string_view text(message.payload.data(), message.payload.size());
        if (message.level == spdlog::level::off) {  // a worker's own line
            write_all(STDOUT_FILENO, std::string(text) + "\n");
            return;
        }
        write_all(STDERR_FILENO, line(message, text));
    }

    void flush_() override {
        const std::uint64_t one = 1;
        (void)!::write(flushed_.get(), &one, sizeof one);
    }

  private:
    std::string line(const spdlog::details::log_msg& message, std::string_view text) const {
        const LevelWords level = words(message.level);
        if (json_.load()) {
            const boost::json::value object{{"time", timestamp(message.time)},
                                            {"level", level.name},
                                            {"message", boost::json::string_view(text)}};
            return boost::json::serialize(object) + "\n";
        }
        std::string out;
        if (shape_.journald) {
            out = level.priority;
        } else if (shape_.terminal) {
            out = timestamp(message.time) + " " + level.color;
        } else {
            out = timestamp(message.time) + " ";
        }
        if (!shape_.journald && message.level != spdlog::level::info) {
            out.append(level.name).append(": ");
        }
        out.append(text);
        if (shape_.terminal && level.color[0] != '\0') {
            out.append("\x1b[0m");
        }
        out.push_back('\n');
        return out;
    }

    Shape shape_;
    std::atomic<bool> json_{false};
    UniqueFd flushed_;
};

spdlog::level::level_enum level_of(config::LogLevel level) {
    switch (level) {
        case config::LogLevel::Debug:
            return spdlog::level::debug;
        case config::LogLevel::Warning:
            return spdlog::level::warn;
        case config::LogLevel::Error:
            return spdlog::level::err;
        case config::LogLevel::Info:
            break;
    }
    return spdlog::level::info;
}

}  // namespace

struct Journal::Impl {
    std::shared_ptr<spdlog::details::thread_pool> pool =
        std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
    std::shared_ptr<StderrSink> sink = std::make_shared<StderrSink>();
    std::shared_ptr<spdlog::async_logger> logger = std::make_shared<spdlog::async_logger>(
        "topsman", sink, pool, spdlog::async_overflow_policy::overrun_oldest);
    std::size_t dropped_said = 0;

    void log(spdlog::level::level_enum level, std::string_view line) {
        const std::size_t dropped = pool->overrun_counter();
        if (dropped > dropped_said) {
            logger->log(spdlog::level::warn,
                        "{} log lines were dropped: nobody read them fast enough",
                        dropped - dropped_said);
            dropped_said = dropped;
        }
        logger->log(level, spdlog::string_view_t(line.data(), line.size()));
    }
};

Journal::Journal(const config::Log& options) : impl_(std::make_unique<Impl>()) {
    configure(options);
}

// A reader that does not read would block the log's thread, and joining it, for ever.
Journal::~Journal() {
    if (!flush(1'000)) {
        std::_Exit(EXIT_FAILURE);
    }
}

void Journal::configure(const config::Log& options) {
    impl_->logger->set_level(level_of(options.level));
    impl_->sink->set_json(options.format == config::LogFormat::Json);
}

void Journal::debug(std::string_view line) {
    impl_->log(spdlog::level::debug, line);
}

void Journal::info(std::string_view line) {
    impl_->log(spdlog::level::info, line);
}

void Journal::warning(std::string_view line) {
    impl_->log(spdlog::level::warn, line);
}

void Journal::error(std::string_view line) {
    impl_->log(spdlog::level::err, line);
}

void Journal::output(std::string_view line) {
    impl_->log(spdlog::level::off, line);
}

bool Journal::flush(int milliseconds) {
    std::uint64_t count = 0;
    const int fd = impl_->sink->flushed_fd();
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, 0) == 1) {
        (void)!::read(fd, &count, sizeof count);  // of an earlier flush that came late
    }
    impl_->logger->flush();
    if (::poll(&ready, 1, milliseconds) != 1) {
        return false;
    }
    (void)!::read(fd, &count, sizeof count);
    return true;
}

}  // namespace topsman
