#include "supervisor/control/control_server.hpp"

#include "supervisor/control/control_session.hpp"
#include "supervisor/control/control_socket.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <set>
#include <sys/stat.h>
#include <utility>

namespace topsman::control {

namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;

// Clients above max_clients that are listened to just long enough to be told 503. Above those
// nobody is accepted: they wait in the kernel's queue.
constexpr std::size_t kExcessClients = 8;
// accept(2) failed for want of descriptors or memory: try again, not at once.
constexpr std::chrono::milliseconds kAcceptPause{250};

}  // namespace

struct ControlServer::Impl : ControlSession::Host,
                             std::enable_shared_from_this<ControlServer::Impl> {
    Impl(asio::io_context& io_context, Options o, Handlers h)
        : io(io_context),
          options(std::move(o)),
          handlers_(std::move(h)),
          acceptor(io_context),
          pause(io_context) {}

    [[nodiscard]] const Handlers& handlers() const override { return handlers_; }

    [[nodiscard]] bool is_shutting_down() const override { return shutting_down; }

    void ended(const std::shared_ptr<ControlSession>& session) override;

    void accept_next();
    void accept_ready();
    void serve(UniqueFd fd);
    void close_all();
    void unlink_own() const;

    asio::io_context& io;
    Options options;
    Handlers handlers_;
    stream_protocol::acceptor acceptor;
    asio::steady_timer pause;
    std::set<std::shared_ptr<ControlSession>> sessions;

    struct stat file {};  ///< the socket's own, to unlink no successor's

    bool waiting_for_room = false;
    bool shutting_down = false;
    std::function<void()> closed;
};

void ControlServer::Impl::accept_next() {
    if (shutting_down || waiting_for_room) {
        return;
    }
    acceptor.async_wait(stream_protocol::acceptor::wait_read,
                        [weak = weak_from_this()](boost::system::error_code error) {
                            const auto self = weak.lock();
                            if (self && !error) {
                                self->accept_ready();
                            }
                        });
}

void ControlServer::Impl::serve(UniqueFd fd) {
    const bool excess = sessions.size() >= options.max_clients;
    const ControlSession::Timeouts timeouts{options.read_timeout, options.write_timeout};
    const auto session =
        std::make_shared<ControlSession>(io, weak_from_this(), timeouts, std::move(fd), excess);
    sessions.insert(session);
    session->read();
}

void ControlServer::Impl::accept_ready() {
    if (shutting_down) {
        return;
    }
    if (sessions.size() >= options.max_clients + kExcessClients) {
        waiting_for_room = true;
        return;
    }
    // accept4(2) by hand: Asio's own does not set SOCK_CLOEXEC, and a worker that is being spawned
    // would inherit the connection.
    UniqueFd fd(
        ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
        serve(std::move(fd));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        pause.expires_after(kAcceptPause);
        pause.async_wait([weak = weak_from_this()](boost::system::error_code error) {
            const auto self = weak.lock();
            if (self && !error) {
                self->accept_next();
            }
        });
        return;
    }
    accept_next();
}

void ControlServer::Impl::ended(const std::shared_ptr<ControlSession>& session) {
    sessions.erase(session);
    if (std::exchange(waiting_for_room, false)) {
        accept_next();
    }
    if (shutting_down && sessions.empty() && closed) {
        asio::post(io, std::exchange(closed, nullptr));
    }
}

void ControlServer::Impl::close_all() {
    shutting_down = true;
    closed = nullptr;
    pause.cancel();
    boost::system::error_code ignored;
    acceptor.close(ignored);
    for (const auto& session : std::exchange(sessions, {})) {
        session->close();
    }
    unlink_own();
}

void ControlServer::Impl::unlink_own() const {
    struct stat there {};

    if (::lstat(options.path.c_str(), &there) == 0 && there.st_dev == file.st_dev &&
        there.st_ino == file.st_ino) {
        (void)::unlink(options.path.c_str());
    }
}

Result<std::unique_ptr<ControlServer>> ControlServer::listen(asio::io_context& io,
                                                             const Options& options,
                                                             Handlers handlers) {
    auto fd = listen_unix(options.path, options.mode, options.group);
    if (!fd) {
        return fd.error();
    }
    return resume(io, options, std::move(handlers), std::move(*fd), {});
}

Result<std::unique_ptr<ControlServer>> ControlServer::resume(asio::io_context& io,
                                                             const Options& options,
                                                             Handlers handlers, UniqueFd listening,
                                                             std::vector<UniqueFd> clients) {
    auto impl = std::make_shared<Impl>(io, options, std::move(handlers));
    (void)::lstat(options.path.c_str(), &impl->file);
    boost::system::error_code error;
    impl->acceptor.assign(stream_protocol(), listening.get(), error);
    if (error) {
        return plain_error("control socket " + options.path + ": " + error.message());
    }
    (void)listening.release();
    for (UniqueFd& client : clients) {
        impl->serve(std::move(client));
    }
    impl->accept_next();
    return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

int ControlServer::listening() const {
    return impl_->acceptor.native_handle();
}

std::vector<int> ControlServer::idle_clients() const {
    std::vector<int> clients;
    for (const auto& session : impl_->sessions) {
        if (session->is_idle()) {
            clients.push_back(session->descriptor());
        }
    }
    return clients;
}

bool ControlServer::is_amid_words() const {
    return std::any_of(impl_->sessions.begin(), impl_->sessions.end(),
                       [](const auto& session) { return session->is_amid_words(); });
}

ControlServer::ControlServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

ControlServer::~ControlServer() {
    impl_->close_all();
}

void ControlServer::shut_down(std::function<void()> closed) {
    impl_->shutting_down = true;
    boost::system::error_code ignored;
    impl_->acceptor.close(ignored);
    impl_->closed = std::move(closed);
    const auto sessions = impl_->sessions;
    for (const auto& session : sessions) {
        session->finish_up();
    }
    if (impl_->sessions.empty() && impl_->closed) {
        asio::post(impl_->io, std::exchange(impl_->closed, nullptr));
    }
}

}  // namespace topsman::control
