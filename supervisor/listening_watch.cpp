#include "supervisor/listening_watch.hpp"

#include "supervisor/posix/listening_scan.hpp"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <sys/stat.h>
#include <utility>

namespace topsman::supervisor {

namespace {

constexpr std::chrono::milliseconds kLastPause{100};
constexpr std::chrono::milliseconds kConfirmPause{10};
constexpr std::chrono::milliseconds kFirstDoubt{500};
// A look costs some system calls for each thread: of what takes long a small share is exact enough.
constexpr int kShare = 16;

}  // namespace

ListeningWatch::ListeningWatch(boost::asio::io_context& io, std::uint32_t pid,
                               const std::vector<int>& sockets)
    : later_(io), pid_(pid), doubt_(kFirstDoubt) {
    for (const int socket : sockets) {
        struct stat info {};

        if (::fstat(socket, &info) == 0) {
            inodes_.push_back(info.st_ino);
        }
    }
}

bool ListeningWatch::look() {
    const posix::ListeningScan scan = posix::scan_listening(pid_, inodes_);
    const bool waits = scan.answer == posix::ListeningScan::Answer::Waits;
    if (scan.answer == posix::ListeningScan::Answer::CannotTell) {
        trouble_ = scan.reason;
    }
    waited_ += pause_;
    if (!waits && !had_trouble() && waited_ >= doubt_) {
        trouble_ = posix::why_unseen(pid_, inodes_);
        doubt_ *= 2;
    }
    pause_ = waits ? kConfirmPause : std::min(pause_ * 2, std::max(kLastPause, waited_ / kShare));
    return std::exchange(seen_, waits) && waits;
}

std::optional<std::string> ListeningWatch::trouble() {
    const bool news = had_trouble() && !std::exchange(told_, true);
    return news ? std::optional(trouble_) : std::nullopt;
}

}  // namespace topsman::supervisor
