#include "topsman/acceptor.hpp"

#include "worker/process.hpp"
#include "worker/registration.hpp"
#include "worker/siblings.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace topsman {

namespace asio = boost::asio;

namespace {

// How long a worker that is not in the queue goes without looking whether it should be: short
// beside a request, long beside the look.
constexpr std::chrono::milliseconds kLookAgain{5};
constexpr std::chrono::milliseconds kWithoutResources{100};

enum Source : std::uint64_t { kListener, kWake, kIdle };

bool watch(int epoll, int fd, std::uint32_t events, std::uint64_t data) {
    epoll_event event = {};
    event.events = events;
    event.data.u64 = data;
    return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

// The flag lives on the open file description that all workers share (open(2)): one of them may
// have cleared it, and accept(2) would then wait for ever when a sibling was quicker.
void keep_non_blocking(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
        (void)::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
}

bool lacks_resources(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

// Waits through Asio for a set of its own, in which the wake and idle descriptors are. The listener
// cannot be given to Asio, which does not know EPOLLEXCLUSIVE, and must not be in our set either:
// the kernel counts a waiter of an inner set as woken by nobody, and goes on to wake every other
// worker (ep_poll_callback() in fs/eventpoll.c). So the listener goes into Asio's own epoll set,
// with the data of our set: what Asio sees is that our set is readable. Where Asio's set cannot be
// found the listener is in ours; all works then, with needless wake-ups.
// Armed means that the listener is in one of the two sets.
class Acceptor::Impl : public std::enable_shared_from_this<Impl> {
  public:
    Impl(asio::io_context& loop, detail::Process& process, int listener, UniqueFd own,
         detail::Siblings siblings, UniqueFd epoll)
        : process_(process),
          listener_(listener),
          own_(std::move(own)),
          siblings_(siblings),
          epoll_(epoll.get()),
          events_(loop, epoll.release()),
          look_again_(loop) {}

    void start(OnConnection on_connection) {
        on_connection_ = std::move(on_connection);
        detail::wait_for_seat(process_);
        place_ = detail::find_registration(epoll_).value_or(
            detail::Registration{epoll_, std::uint64_t{kListener}});
        arm();
        wait();
    }

    void stop() {
        if (stopped_) {
            return;
        }
        stopped_ = true;
        disarm();
        set_waiting_for_idle(false);
        look_again_.cancel();
        events_.close();
        // A wake-up may have come to this worker that no other will get: take that connection.
        // Nobody else takes what waits at a socket of our own.
        while (accept_one() && own_) {
        }
        own_.reset();
    }

    [[nodiscard]] int listener() const noexcept { return listener_; }

  private:
    void wait() {
        events_.async_wait(asio::posix::stream_descriptor::wait_read,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                               if (!error && !self->stopped_) {
                                   self->turn();
                               }
                           });
    }

    // One connection a turn, before anything else of it: a second one would wait here behind the
    // first one's handler while a sibling could have had it.
    void turn() {
        // What woke us is nearly always the listener: asked first, the sets are not asked at all.
        const bool has_accepted = armed_ && accept_one();
        if (!has_accepted && !stopped_ && master_asks() && !armed_) {
            (void)accept_one();
        }
        if (!stopped_) {
            arm_if_due();
            wait();
        }
    }

    /// Takes the edges out of our own set; true when the master's was among them.
    [[nodiscard]] bool master_asks() const {
        std::array<epoll_event, 3> events{};
        const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
        return std::any_of(events.begin(), events.begin() + std::max(count, 0),
                           [](const epoll_event& event) { return event.data.u64 == kWake; });
    }

    bool accept_one() {
        keep_non_blocking(listener_);
        UniqueFd connection(::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!connection) {
            if (lacks_resources(errno) && !stopped_) {
                disarm();  // Level-triggered: it would be told again at once, for ever.
                pause(kWithoutResources);
            }
            return false;
        }
        // The end of the queue is for those who wait: while nobody does, leaving it and joining
        // again would be two system calls for nothing.
        if (!siblings_.are_known() || siblings_.any_idle()) {
            disarm();
        }
        on_connection_(std::move(connection));
        return true;
    }

    void arm_if_due() {
        if (armed_ || without_resources_) {
            return;
        }
        if (process_.lane->in_flight.load(std::memory_order_seq_cst) == 0 ||
            !siblings_.any_idle()) {
            arm();
            return;
        }
        set_waiting_for_idle(true);
        // The last request may have ended between the two lines above.
        if (process_.lane->in_flight.load(std::memory_order_seq_cst) == 0) {
            arm();
            return;
        }
        pause(kLookAgain);
    }

    void pause(std::chrono::milliseconds time) {
        without_resources_ = time == kWithoutResources;
        look_again_.expires_after(time);
        look_again_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (!error && !self->stopped_) {
                self->without_resources_ = false;
                self->arm_if_due();
            }
        });
    }

    void arm() {
        set_waiting_for_idle(false);
        look_again_.cancel();
        armed_ = watch(place_.epoll, listener_, EPOLLIN | EPOLLEXCLUSIVE, place_.data);
        if (armed_) {
            siblings_.enter();
        } else {
            pause(kWithoutResources);  // ENOMEM, ENOSPC: epoll_ctl(2)
        }
    }

    void disarm() {
        if (armed_) {
            siblings_.leave();
            (void)::epoll_ctl(place_.epoll, EPOLL_CTL_DEL, listener_, nullptr);
            armed_ = false;
        }
    }

    void set_waiting_for_idle(bool waiting) {
        if (waiting != waiting_for_idle_) {
            waiting_for_idle_ = waiting;
            if (waiting) {
                process_.waiting_for_idle.fetch_add(1, std::memory_order_seq_cst);
            } else {
                process_.waiting_for_idle.fetch_sub(1, std::memory_order_seq_cst);
            }
        }
    }

    detail::Process& process_;
    int listener_;
    UniqueFd own_;  ///< the listener, when it is the program's own
    detail::Siblings siblings_;
    int epoll_;
    detail::Registration place_;  ///< where the listener goes
    asio::posix::stream_descriptor events_;
    asio::steady_timer look_again_;
    OnConnection on_connection_;
    bool armed_ = false;
    bool waiting_for_idle_ = false;
    bool without_resources_ = false;
    bool stopped_ = false;
};

namespace {

// The wake and idle descriptors are watched edge-triggered and never read: each write is an edge
// for every set that they are in, so several acceptors need not share what was written.
Result<UniqueFd> make_set(const detail::Process& process) {
    UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) {
        return system_error("acceptor: epoll_create1");
    }
    const auto& wake = process.environment.wake_fd;
    if (!watch(epoll.get(), process.idle_fd.get(), EPOLLIN | EPOLLET, kIdle) ||
        (wake && !watch(epoll.get(), *wake, EPOLLIN | EPOLLET, kWake))) {
        return system_error("acceptor: epoll_ctl");
    }
    return epoll;
}

}  // namespace

Acceptor::Acceptor(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Acceptor::~Acceptor() {
    if (impl_) {
        impl_->stop();
    }
}

Acceptor& Acceptor::operator=(Acceptor&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}

Result<Acceptor> Acceptor::open(asio::io_context& loop, Worker worker, std::string_view listener) {
    const auto fd = worker.listener(listener);
    if (!fd) {
        return fd.error();
    }
    auto epoll = make_set(*worker.process_);
    if (!epoll) {
        return epoll.error();
    }
    return Acceptor(std::make_shared<Impl>(loop, *worker.process_, *fd, UniqueFd(),
                                           detail::Siblings::of(*worker.process_, *fd),
                                           std::move(*epoll)));
}

Result<Acceptor> Acceptor::over(asio::io_context& loop, Worker worker, UniqueFd socket) {
    auto epoll = make_set(*worker.process_);
    if (!epoll) {
        return epoll.error();
    }
    const int fd = socket.get();
    return Acceptor(std::make_shared<Impl>(loop, *worker.process_, fd, std::move(socket),
                                           detail::Siblings(), std::move(*epoll)));
}

void Acceptor::start(OnConnection on_connection) {
    impl_->start(std::move(on_connection));
}

void Acceptor::stop() {
    impl_->stop();
}

std::uint16_t Acceptor::port() const noexcept {
    sockaddr_in6 address = {};
    socklen_t size = sizeof address;
    if (::getsockname(impl_->listener(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        (address.sin6_family != AF_INET && address.sin6_family != AF_INET6)) {
        return 0;
    }
    return ntohs(address.sin6_port);  // ip(7), ipv6(7): the port lies at the same place
}

}  // namespace topsman
